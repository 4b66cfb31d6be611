//! Every reason for which jeton says no, in one table: a stable code, whose fault it is, a sentence.

macro_rules! refusals {
    ($($name:ident $code:literal $fault:ident $sentence:literal;)*) => {
        /// An expected "no". Each has a page in `docs/refusals/`; transport alone turns it into a status.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Refusal { $(#[doc = $sentence] $name,)* }

        impl Refusal {
            /// All of them, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name that answers, logs, metrics and pages carry.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Who can mend it.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$name => Fault::$fault,)* }
            }

            /// One sentence for people.
            #[must_use]
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

/// Whose fault a refusal is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nobody proved anything: the answer is the same for all.
    Unknown,
    /// The holder of the credential can mend it (or ask for another).
    Holder,
    /// The caller sent something that cannot be done.
    Caller,
    /// jeton, or the machine under it.
    Server,
}

refusals! {
    CredentialMissing "credential_missing" Holder "the request carries no credential";
    CredentialAmbiguous "credential_ambiguous" Caller "the request carries more than one credential";
    TokenMalformed "token_malformed" Unknown "the text does not have the shape of a token";
    TokenChecksum "token_checksum" Unknown "the token's checksum is wrong: a letter was lost or changed";
    TokenUnknown "token_unknown" Unknown "no such token was issued here";
    TokenRevoked "token_revoked" Holder "the token was revoked";
    TokenExpired "token_expired" Holder "the token has expired";
    TokenReplaced "token_replaced" Holder "the secret was replaced by rotation and its overlap is over";
    TokenSuspended "token_suspended" Holder "the token is suspended";
    TokenIdle "token_idle" Holder "the token was not used for longer than its policy allows";
    TokenCutOff "token_cut_off" Holder "all tokens issued before a cut-off were ended, this one among them";
    TokenNotWitnessed "token_not_witnessed" Holder "the token works once witnesses have cosigned its issuance: try again shortly";
    TokenNotYetValid "token_not_yet_valid" Holder "the token is not valid yet";
    OwnerSuspended "owner_suspended" Holder "the user or application that the token belongs to is suspended";
    OwnerDeleted "owner_deleted" Holder "the user or application that the token belongs to was deleted";
    TenantSuspended "tenant_suspended" Holder "the tenant is suspended";
    AudienceWrong "audience_wrong" Holder "the token is not meant for this API";
    AddressRefused "address_refused" Holder "the token may not be used from this address";
    MethodRefused "method_refused" Holder "the token may not be used with this method";
    PathRefused "path_refused" Holder "the token may not be used on this path";
    ScopeMissing "scope_missing" Holder "the token lacks a scope that the request needs";
    OwnerScopeMissing "owner_scope_missing" Holder "the token's owner no longer has a right that the request needs";
    ResourceRefused "resource_refused" Holder "the token has the scope, but not on this resource";
    LimitExceeded "limit_exceeded" Holder "the token's rate limit is used up";
    RouteUnknown "route_unknown" Caller "no route of the API matches the request, and unknown routes are refused";
    GiveMissing "give_missing" Holder "the credential may not give rights to others";
    Widening "widening" Holder "the request asks for more than the credential may give";
    OwnerLacksRight "owner_lacks_right" Caller "the token's owner does not have a right that the request asks for";
    LifetimeTooLong "lifetime_too_long" Caller "the lifetime is longer than the policy of the class allows";
    PermanentRefused "permanent_refused" Caller "the policy of the class does not allow permanent tokens";
    ClassRefused "class_refused" Caller "tokens of this class cannot belong to this kind of owner";
    FieldInvalid "field_invalid" Caller "a field of the request breaks a rule";
    ScopeUnknown "scope_unknown" Caller "the API's catalogue has no such scope";
    NotFound "not_found" Caller "there is nothing here by that name";
    NameTaken "name_taken" Caller "the name is taken";
    StateConflict "state_conflict" Caller "the thing is not in a state that allows this";
    TooMany "too_many" Caller "a documented maximum would be exceeded";
    IdempotencyMismatch "idempotency_mismatch" Caller "the idempotency key was used with another request";
    LedgerBehind "ledger_behind" Server "this node has not yet seen the ledger size that the request requires";
    SetupSpent "setup_spent" Unknown "the setup secret is wrong, used or expired";
    BodyInvalid "body_invalid" Caller "the body is not the JSON that the operation takes";
    BodyTooLarge "body_too_large" Caller "the body is larger than the operation takes";
    MediaTypeRefused "media_type_refused" Caller "the body must be application/json";
    MethodUnknown "method_unknown" Caller "the resource does not have this method";
    Busy "busy" Server "the node has as much work as it can queue; try again";
    Quarantined "quarantined" Server "the ledger here is older than one that was shown before: nothing is allowed or changed until that is settled";
    StoreFull "store_full" Server "the disk is too full to issue; revocation still works";
    OutcomeUnknown "outcome_unknown" Server "whether the change was stored is not known; repeat it with the same key";
    Unavailable "unavailable" Server "the node cannot answer for the ledger now";
    Internal "internal" Server "an unexpected error; the request id finds it in the log";
}

impl Refusal {
    /// What an outsider is told: everything that proves no possession looks the same.
    #[must_use]
    pub const fn outward(self) -> Self {
        match self.fault() {
            Fault::Unknown if matches!(self, Self::SetupSpent) => Self::SetupSpent,
            Fault::Unknown => Self::TokenUnknown,
            Fault::Holder | Fault::Caller | Fault::Server => self,
        }
    }
}

/// A refusal of a command, with the field it is about and what is wrong there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Blame {
    /// Why.
    pub refusal: Refusal,
    /// The field's path in the request (`scopes[2]`), if one is to blame.
    pub field: Option<String>,
    /// The rule that was broken, in a sentence without secrets.
    pub rule: Option<String>,
}

impl Blame {
    /// Blames one field for breaking one rule.
    #[must_use]
    pub fn field(refusal: Refusal, field: impl Into<String>, rule: impl Into<String>) -> Self {
        Self {
            refusal,
            field: Some(field.into()),
            rule: Some(rule.into()),
        }
    }
}

impl From<Refusal> for Blame {
    fn from(refusal: Refusal) -> Self {
        Self {
            refusal,
            field: None,
            rule: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_plain() {
        let mut codes: Vec<_> = Refusal::ALL.iter().map(|r| r.code()).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Refusal::ALL.len());
        assert!(
            codes
                .iter()
                .all(|c| c.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }

    #[test]
    fn unknown_strings_look_the_same() {
        for refusal in [
            Refusal::TokenMalformed,
            Refusal::TokenChecksum,
            Refusal::TokenUnknown,
        ] {
            assert_eq!(refusal.outward(), Refusal::TokenUnknown);
        }
    }
}
