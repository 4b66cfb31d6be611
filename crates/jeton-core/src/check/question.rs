//! What is asked about a request.

use core::net::IpAddr;

use crate::{
    id::{ApiId, TenantId},
    scope::ScopeSet,
};

/// One request, as far as its credential is to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The tenant whose API it is: a token of another tenant is unknown here.
    pub tenant: TenantId,
    /// The API it goes to.
    pub api: ApiId,
    /// The scopes that it needs, all of them; none: any right at the API will do.
    pub needed: ScopeSet,
    /// The resource that it touches.
    pub resource: Option<&'a str>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The request's method, in upper case.
    pub method: Option<&'a str>,
    /// The request's path, without query.
    pub path: Option<&'a str>,
}
