//! A protected resource: its audience, its catalogue of scopes, and its routes for forward-auth.

use minicbor::{Decode, Encode};

use crate::{
    id::{ApiId, TenantId},
    resource::Pattern,
    scope::{Catalogue, Scope, ScopeSet},
};

/// The most routes of one API.
pub const ROUTES_MAX: usize = 4096;
/// The most hosts of one API.
pub const HOSTS_MAX: usize = 16;
/// The longest audience URI, in bytes.
pub const AUDIENCE_BYTES_MAX: usize = 255;
/// The longest name of a query parameter that carries credentials, in bytes.
pub const QUERY_PARAMETER_BYTES_MAX: usize = 32;

/// Which scopes a request needs, by its method and path.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Route {
    /// The method in upper case; none: any.
    #[n(0)]
    pub method: Option<String>,
    /// The path.
    #[n(1)]
    pub path: Pattern,
    /// All of these are needed.
    #[n(2)]
    pub scopes: ScopeSet,
}

impl Route {
    /// Whether it is the route of a request.
    #[must_use]
    pub fn serves(&self, method: &str, path: &str) -> bool {
        self.method.as_deref().is_none_or(|m| m == method) && self.path.matches(path)
    }
}

/// What the rules know of one API.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Api {
    /// Its name in ids.
    #[n(0)]
    pub id: ApiId,
    /// Whose it is.
    #[n(1)]
    pub tenant: TenantId,
    /// Its short name within the tenant.
    #[n(2)]
    pub name: String,
    /// Its audience URI.
    #[n(3)]
    pub audience: String,
    /// Its scopes.
    #[n(4)]
    pub catalogue: Catalogue,
    /// Hosts that its routes serve.
    #[n(5)]
    pub hosts: Vec<String>,
    /// Its routes, first match wins.
    #[n(6)]
    pub routes: Vec<Route>,
    /// The query parameter that may carry a credential at forward-auth; none: queries are not looked at.
    #[n(7)]
    pub query_parameter: Option<String>,
}

impl Api {
    /// The scopes that a request needs; `None`: no route, so it is refused.
    #[must_use]
    pub fn route(&self, method: &str, path: &str) -> Option<ScopeSet> {
        self.routes
            .iter()
            .find(|r| r.serves(method, path))
            .map(|r| r.scopes)
    }
}

/// jeton's own API: the same in every tenant, its scopes fixed at these numbers.
pub const JETON_API: ApiId = ApiId::from_bytes(*b"jeton/management");
/// The short name of jeton's own API, taken in every tenant.
pub const JETON_API_NAME: &str = "jeton";
/// The audience of jeton's own API.
pub const JETON_AUDIENCE: &str = "urn:jeton:management";

macro_rules! own_scopes {
    ($($(#[$doc:meta])* $konst:ident $number:literal $name:literal $description:literal;)*) => {
        /// The numbers of jeton's own scopes.
        pub mod own {
            $($(#[$doc])* #[doc = $description] pub const $konst: u8 = $number;)*

            /// The scopes that only the system tenant can use.
            pub const SYSTEM_ONLY: &[u8] = &[TENANTS_READ, TENANTS_WRITE, KEYS_WRITE, LEDGER_READ];
        }

        /// The catalogue of jeton's own API.
        #[must_use]
        pub fn own_catalogue() -> &'static Catalogue {
            static OWN: std::sync::LazyLock<Catalogue> = std::sync::LazyLock::new(|| {
                let scopes = vec![$(Scope {
                    name: $name.to_owned(),
                    description: $description.to_owned(),
                    default: false,
                    retired: false,
                },)*];
                Catalogue::new(scopes).unwrap_or_default()
            });
            &OWN
        }
    };
}

own_scopes! {
    CHECK 0 "jeton:check" "Ask whether a token may do something.";
    TOKENS_READ 1 "jeton:tokens:read" "See all tokens and their state.";
    TOKENS_WRITE 2 "jeton:tokens:write" "Issue, change, rotate, suspend and resume tokens of anybody.";
    TOKENS_REVOKE 3 "jeton:tokens:revoke" "Revoke tokens, one or many.";
    TOKENS_OWN 4 "jeton:tokens:own" "Issue and manage tokens of the credential's own subject.";
    TOKENS_PERMANENT 5 "jeton:tokens:permanent" "Issue tokens without an end, where the policy allows it.";
    SUBJECTS_READ 6 "jeton:subjects:read" "See users and applications.";
    SUBJECTS_WRITE 7 "jeton:subjects:write" "Register, change, suspend and delete users and applications.";
    ROLES_READ 8 "jeton:roles:read" "See roles.";
    ROLES_WRITE 9 "jeton:roles:write" "Make and change roles.";
    APIS_READ 10 "jeton:apis:read" "See APIs, their scopes and routes.";
    APIS_WRITE 11 "jeton:apis:write" "Define APIs, their scopes and routes.";
    POLICIES_READ 12 "jeton:policies:read" "See the policies of token classes.";
    POLICIES_WRITE 13 "jeton:policies:write" "Set the policies of token classes.";
    EVENTS_READ 14 "jeton:events:read" "Read the audit trail.";
    TENANTS_READ 15 "jeton:tenants:read" "See all tenants (system tenant only).";
    TENANTS_WRITE 16 "jeton:tenants:write" "Found, suspend and resume tenants (system tenant only).";
    KEYS_WRITE 17 "jeton:keys:write" "Rotate and retire peppers and keys (system tenant only).";
    LEDGER_READ 18 "jeton:ledger:read" "Read the whole ledger with its openings, as a mirror does (system tenant only).";
}

/// A short name within a tenant: `[a-z][a-z0-9-]{0,47}`.
#[must_use]
pub fn is_slug(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    text.len() <= 48
        && text.bytes().next().is_some_and(|b| b.is_ascii_lowercase())
        && text.bytes().all(legal)
}

/// A query parameter that may carry a credential: `[A-Za-z][A-Za-z0-9_.-]{0,31}`, which no percent-encoding changes.
#[must_use]
pub fn is_query_parameter(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    text.len() <= QUERY_PARAMETER_BYTES_MAX
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && text.bytes().all(legal)
}

/// An audience: an absolute URI without fragment (RFC 8707 §2), at most 255 bytes of printable ASCII.
#[must_use]
pub fn is_audience(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_legal = scheme
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
    let plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'#' | b'"' | b'\\' | b'<' | b'>');
    scheme_legal && !rest.is_empty() && text.len() <= AUDIENCE_BYTES_MAX && rest.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_scopes_stand_at_their_numbers() {
        let catalogue = own_catalogue();
        assert_eq!(catalogue.number("jeton:check"), Some(own::CHECK));
        assert_eq!(catalogue.number("jeton:keys:write"), Some(own::KEYS_WRITE));
        assert_eq!(
            catalogue.number("jeton:ledger:read"),
            Some(own::LEDGER_READ)
        );
        assert_eq!(catalogue.scopes().len(), usize::from(own::LEDGER_READ) + 1);
    }

    #[test]
    fn audiences_are_absolute_uris() {
        for good in [
            "https://api.example.test",
            "urn:example:api",
            "https://a.test/v1?x=1",
        ] {
            assert!(is_audience(good), "{good}");
        }
        for bad in [
            "",
            "api",
            "https:",
            "https://a.test/#f",
            "1a:b",
            "https://a b",
        ] {
            assert!(!is_audience(bad), "{bad}");
        }
    }

    #[test]
    fn query_parameters_are_plain_names() {
        let longest = "a".repeat(QUERY_PARAMETER_BYTES_MAX);
        for good in ["a", "Z", "api_key", "access-token", "x.key2", &longest] {
            assert!(is_query_parameter(good), "{good}");
        }
        let too_long = "a".repeat(QUERY_PARAMETER_BYTES_MAX + 1);
        for bad in [
            "", "1a", "_key", "-key", ".key", "a b", "a+b", "a&b", "a=b", "a%62", "a[]",
            "cl\u{e9}", &too_long,
        ] {
            assert!(!is_query_parameter(bad), "{bad}");
        }
    }

    #[test]
    fn without_a_query_parameter_an_api_keeps_its_bytes() {
        // A map of seven: rows and snapshots from before there was an eighth.
        let api = Api {
            id: ApiId::from_bytes([1; 16]),
            tenant: TenantId::from_bytes([2; 16]),
            name: String::new(),
            audience: String::new(),
            catalogue: Catalogue::default(),
            hosts: Vec::new(),
            routes: Vec::new(),
            query_parameter: None,
        };
        let bytes = minicbor::to_vec(&api).unwrap();
        assert_eq!(bytes.first(), Some(&0xa7));
        assert_eq!(minicbor::decode::<Api>(&bytes).unwrap(), api);
        let with = Api {
            query_parameter: Some("key".to_owned()),
            ..api
        };
        let bytes = minicbor::to_vec(&with).unwrap();
        assert_eq!(bytes.first(), Some(&0xa8));
        assert_eq!(minicbor::decode::<Api>(&bytes).unwrap(), with);
    }
}
