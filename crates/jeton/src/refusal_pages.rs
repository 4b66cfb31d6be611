//! The pages of all refusals, as `docs/refusals/` has them: `jeton explain` and `/refusals/…` show them.

/// The page of a refusal, by code.
#[must_use]
pub fn page(code: &str) -> Option<&'static str> {
    PAGES
        .iter()
        .find(|(c, _)| *c == code)
        .map(|(_, page)| *page)
}

macro_rules! pages {
    ($($code:literal)*) => {
        /// Code and page of every refusal.
        pub const PAGES: &[(&str, &str)] =
            &[$(($code, include_str!(concat!("../../../docs/refusals/", $code, ".md"))),)*];
    };
}

pages! {
    "credential_missing"
    "credential_ambiguous"
    "token_malformed"
    "token_checksum"
    "token_unknown"
    "token_revoked"
    "token_expired"
    "token_replaced"
    "token_suspended"
    "token_idle"
    "token_cut_off"
    "token_not_witnessed"
    "token_not_yet_valid"
    "owner_suspended"
    "owner_deleted"
    "tenant_suspended"
    "audience_wrong"
    "address_refused"
    "method_refused"
    "path_refused"
    "scope_missing"
    "owner_scope_missing"
    "resource_refused"
    "limit_exceeded"
    "route_unknown"
    "give_missing"
    "widening"
    "owner_lacks_right"
    "lifetime_too_long"
    "permanent_refused"
    "class_refused"
    "field_invalid"
    "scope_unknown"
    "not_found"
    "name_taken"
    "state_conflict"
    "too_many"
    "idempotency_mismatch"
    "ledger_behind"
    "setup_spent"
    "body_invalid"
    "body_too_large"
    "media_type_refused"
    "method_unknown"
    "busy"
    "quarantined"
    "store_full"
    "outcome_unknown"
    "unavailable"
    "internal"
}

#[cfg(test)]
mod tests {
    use super::*;
    use jeton_core::refusal::Refusal;

    #[test]
    fn every_refusal_has_its_page() {
        let codes: Vec<_> = Refusal::ALL.iter().map(|r| r.code()).collect();
        assert_eq!(codes, PAGES.iter().map(|(c, _)| *c).collect::<Vec<_>>());
    }
}
