//! Every change of state there is. State changes only through an event, and is what replaying them gives.
//!
//! Bytes are deterministic CBOR (RFC 8949 §4.2) with integer keys; stored bytes are what is hashed, and they are never
//! written anew. A number, once used, keeps its meaning.

mod about;
mod erasure;
mod log;

use minicbor::{Decode, Encode};

pub use self::{
    erasure::{ERASED_MAX, Erasure},
    log::{KeyPurpose, LogEvent, POLICY_BYTES_MAX, REASON_BYTES_MAX},
};
use crate::{
    api::Route,
    id::{ApiId, AppId, RoleId, TenantId, TokenId, UserId},
    permit::Permit,
    policy::ClassPolicy,
    scope::Scope,
    subject::{Standing, SubjectId},
    time::Time,
    token::{
        digest::Digest,
        record::{Reason, Terms},
        text::{Class, Prefix},
    },
};

/// Who made a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Actor {
    /// jeton itself: a sweep, a start.
    #[n(0)]
    Authority,
    /// Whoever redeemed the setup secret.
    #[n(1)]
    Setup,
    /// The holder of a token, with a right of its own or its subject's.
    #[n(2)]
    Token {
        /// The credential used.
        #[n(0)]
        token: TokenId,
        /// To whom it belongs.
        #[n(1)]
        subject: SubjectId,
        /// The ledger index of that credential's issuance: what authorised this.
        #[n(2)]
        issued: u64,
    },
    /// Somebody who proved possession of the token's text and nothing else.
    #[n(3)]
    Possession {
        /// The token.
        #[n(0)]
        token: TokenId,
    },
}

/// How a repeated request is known: digests of (tenant, subject, operation, key) and of the body.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct RequestKey {
    /// The first 16 bytes of SHA-256 over tenant, subject, operation and key.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: [u8; 16],
    /// The first 16 bytes of SHA-256 over the body.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub body: [u8; 16],
}

/// The canonical record of one event: what a leaf commits to.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Record {
    /// The version of this layout: 1.
    #[n(0)]
    pub version: u8,
    /// The tenant whose event it is.
    #[n(1)]
    pub tenant: TenantId,
    /// When it was decided (the issuer's claim).
    #[n(2)]
    pub at: Time,
    /// Who made it.
    #[n(3)]
    pub actor: Actor,
    /// How a repetition of the request is known.
    #[n(4)]
    pub request: Option<RequestKey>,
    /// The salted hash of the words beside it that may be erased (names, address, request id).
    #[cbor(n(5), with = "minicbor::bytes")]
    pub aside: Option<[u8; 32]>,
    /// What changed.
    #[n(6)]
    pub event: Event,
}

/// The version that [`Record::version`] holds.
pub const RECORD_VERSION: u8 = 1;
/// The longest record, in bytes: an entry of a bundle has a 16-bit length, and a catalogue must fit.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;

/// One change of state.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum Event {
    /// The first event: this authority exists.
    #[n(0)]
    Genesis {
        /// The name of the log, as in its checkpoints.
        #[n(0)]
        origin: String,
        /// The Ed25519 public key that signs its checkpoints.
        #[cbor(n(1), with = "minicbor::bytes")]
        log_key: [u8; 32],
    },
    /// A tenant was founded.
    #[n(1)]
    TenantCreated {
        /// The first part of its tokens.
        #[n(0)]
        prefix: Prefix,
    },
    /// A tenant was suspended, resumed or closed.
    #[n(2)]
    TenantStanding {
        /// Where it stood.
        #[n(0)]
        before: Standing,
        /// Where it stands.
        #[n(1)]
        after: Standing,
    },
    /// An API was defined.
    #[n(3)]
    ApiDefined {
        /// Its name in ids.
        #[n(0)]
        api: ApiId,
        /// Its short name within the tenant.
        #[n(1)]
        name: String,
        /// Its audience URI.
        #[n(2)]
        audience: String,
    },
    /// An API's catalogue got new scopes, or other words for old ones.
    #[n(4)]
    CatalogueSet {
        /// Which API.
        #[n(0)]
        api: ApiId,
        /// The whole catalogue, in the order of scope numbers.
        #[n(1)]
        scopes: Vec<Scope>,
    },
    /// An API's routes for forward-auth were set.
    #[n(5)]
    RoutesSet {
        /// Which API.
        #[n(0)]
        api: ApiId,
        /// Hosts (`Host` header, lower case) that these routes serve.
        #[n(1)]
        hosts: Vec<String>,
        /// The table, first match wins.
        #[n(2)]
        routes: Vec<Route>,
        /// The query parameter that may carry a credential; none: queries are not looked at.
        #[n(3)]
        query_parameter: Option<String>,
    },
    /// A role was made.
    #[n(6)]
    RoleCreated {
        /// Which role.
        #[n(0)]
        role: RoleId,
        /// Its short name within the tenant.
        #[n(1)]
        name: String,
        /// What its users may use and give.
        #[n(2)]
        permit: Permit,
    },
    /// A role's rights changed.
    #[n(7)]
    RoleChanged {
        /// Which role.
        #[n(0)]
        role: RoleId,
        /// Its rights before.
        #[n(1)]
        before: Permit,
        /// Its rights now.
        #[n(2)]
        after: Permit,
    },
    /// A role was deleted: nobody has it any more.
    #[n(8)]
    RoleDeleted {
        /// Which role.
        #[n(0)]
        role: RoleId,
    },
    /// A user was registered.
    #[n(9)]
    UserCreated {
        /// Who.
        #[n(0)]
        user: UserId,
        /// Their roles.
        #[n(1)]
        roles: Vec<RoleId>,
    },
    /// A user's roles changed.
    #[n(10)]
    UserRolesSet {
        /// Who.
        #[n(0)]
        user: UserId,
        /// Their roles before.
        #[n(1)]
        before: Vec<RoleId>,
        /// Their roles now.
        #[n(2)]
        after: Vec<RoleId>,
    },
    /// An application was registered.
    #[n(11)]
    AppCreated {
        /// Which.
        #[n(0)]
        app: AppId,
        /// Who answers for it; the first application of a tenant has none.
        #[n(1)]
        sponsor: Option<UserId>,
        /// What it may use and give.
        #[n(2)]
        permit: Permit,
    },
    /// An application's rights or sponsor changed.
    #[n(12)]
    AppChanged {
        /// Which.
        #[n(0)]
        app: AppId,
        /// Its rights and sponsor before.
        #[n(1)]
        before: (Permit, Option<UserId>),
        /// Its rights and sponsor now.
        #[n(2)]
        after: (Permit, Option<UserId>),
    },
    /// A user or application was suspended, resumed or deleted.
    #[n(13)]
    SubjectStanding {
        /// Who.
        #[n(0)]
        subject: SubjectId,
        /// Where it stood.
        #[n(1)]
        before: Standing,
        /// Where it stands.
        #[n(2)]
        after: Standing,
    },
    /// A class got a policy.
    #[n(14)]
    PolicySet {
        /// Which class.
        #[n(0)]
        class: Class,
        /// The policy before.
        #[n(1)]
        before: ClassPolicy,
        /// The policy now.
        #[n(2)]
        after: ClassPolicy,
    },
    /// A token was issued.
    #[n(15)]
    TokenIssued {
        /// Which.
        #[n(0)]
        token: TokenId,
        /// What it is.
        #[n(1)]
        class: Class,
        /// To whom it belongs.
        #[n(2)]
        subject: SubjectId,
        /// The keyed digest of its text.
        #[n(3)]
        digest: Digest,
        /// The number of the pepper that keyed it.
        #[n(4)]
        pepper: u8,
        /// On which terms.
        #[n(5)]
        terms: Terms,
        /// The first second at which it is no longer good; none: permanent, by explicit order.
        #[n(6)]
        expires: Option<Time>,
    },
    /// A token's terms or expiry changed.
    #[n(16)]
    TokenChanged {
        /// Which.
        #[n(0)]
        token: TokenId,
        /// Terms and expiry before.
        #[n(1)]
        before: (Terms, Option<Time>),
        /// Terms and expiry now.
        #[n(2)]
        after: (Terms, Option<Time>),
    },
    /// A token was suspended.
    #[n(17)]
    TokenSuspended {
        /// Which.
        #[n(0)]
        token: TokenId,
        /// Why.
        #[n(1)]
        reason: Reason,
    },
    /// A token works again.
    #[n(18)]
    TokenResumed {
        /// Which.
        #[n(0)]
        token: TokenId,
    },
    /// A token got a new secret; the one before it stays good until the overlap ends.
    #[n(19)]
    TokenRotated {
        /// Which.
        #[n(0)]
        token: TokenId,
        /// How many secrets it has had before.
        #[n(1)]
        generation: u32,
        /// The keyed digest of the new text.
        #[n(2)]
        digest: Digest,
        /// The number of the pepper that keyed it.
        #[n(3)]
        pepper: u8,
        /// The first second at which the secret before it is no longer good.
        #[n(4)]
        overlap_until: Time,
        /// When the token ends now.
        #[n(5)]
        expires: Option<Time>,
    },
    /// A token was revoked, with every secret it has.
    #[n(20)]
    TokenRevoked {
        /// Which.
        #[n(0)]
        token: TokenId,
        /// Why.
        #[n(1)]
        reason: Reason,
    },
    /// All tokens of the tenant, or of one subject, issued below an index are dead.
    #[n(21)]
    CutOff {
        /// Whose; none: the whole tenant's.
        #[n(0)]
        subject: Option<SubjectId>,
        /// The ledger index below which they are dead.
        #[n(1)]
        below: u64,
        /// Why.
        #[n(2)]
        reason: Reason,
    },
    /// A token's digest was made anew under a younger pepper, on its first use since.
    #[n(22)]
    TokenRehashed {
        /// Which.
        #[n(0)]
        token: TokenId,
        /// The digest of the same text under the younger pepper.
        #[n(1)]
        digest: Digest,
        /// The number of that pepper.
        #[n(2)]
        pepper: u8,
    },
    /// The words beside an API, role or subject changed (the new ones lie in the side table).
    #[n(23)]
    Renamed {
        /// The raw id of what they describe.
        #[cbor(n(0), with = "minicbor::bytes")]
        about: [u8; 16],
    },
    /// A younger pepper came in force; the one before it is still accepted.
    #[n(24)]
    PepperRotated {
        /// The number of the younger one.
        #[n(0)]
        pepper: u8,
    },
    /// The older pepper is accepted no more.
    #[n(25)]
    PepperRetired {
        /// Its number.
        #[n(0)]
        pepper: u8,
        /// How many live tokens were given up with it.
        #[n(1)]
        abandoned: u64,
    },
    /// The ledger itself changed: its keys, its witnesses, its name.
    #[n(26)]
    Ledger(#[n(0)] LogEvent),
    /// Something was erased.
    #[n(27)]
    Erased(#[n(0)] Erasure),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_of_older_ledgers_are_read_and_written_as_they_were() {
        let old = [&[0x82, 5, 0x83, 0x50][..], &[7; 16], &[0x80, 0x80]].concat();
        let routes = |query_parameter| Event::RoutesSet {
            api: ApiId::from_bytes([7; 16]),
            hosts: Vec::new(),
            routes: Vec::new(),
            query_parameter,
        };
        assert_eq!(minicbor::decode::<Event>(&old).unwrap(), routes(None));
        assert_eq!(minicbor::to_vec(routes(None)).unwrap(), old);
        let new = routes(Some("key".to_owned()));
        let bytes = minicbor::to_vec(&new).unwrap();
        assert_eq!(
            bytes,
            [&[0x82, 5, 0x84, 0x50][..], &[7; 16], b"\x80\x80\x63key"].concat()
        );
        assert_eq!(minicbor::decode::<Event>(&bytes).unwrap(), new);
    }
}
