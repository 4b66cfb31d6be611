//! What most checks need of a token's terms, in less than a cache line: a quick yes that can never be wider than the slow one.
//!
//! Terms lie in several places of memory, and each costs a look that waits for the one before. Nearly all tokens have plain
//! terms: rights at one API, no conditions, no idle expiry. Their brief says the same in 46 bytes. Where it cannot tell, it
//! says so, and the terms are read; a no always comes from them.

use crate::{
    id::ApiId,
    limit::Limit,
    permit::{Conditions, Grant, Rights},
    policy::Inclusion,
    resource::Pattern,
    scope::ScopeSet,
    token::record::Terms,
};

/// The brief of some terms.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Brief {
    api: ApiId,
    /// The scopes on every resource, as far as their numbers are below 128.
    scopes: [u64; 2],
    limit: Option<Limit>,
    plain: bool,
    /// Some scopes are held on some resources only: asked about a resource, the brief cannot tell.
    partial: bool,
}

impl Brief {
    /// Sums up some terms.
    #[must_use]
    pub fn of(terms: &Terms) -> Self {
        let unclear = Self {
            api: ApiId::from_bytes([0; 16]),
            scopes: [0; 2],
            limit: terms.limit,
            plain: false,
            partial: false,
        };
        let Rights::Listed(grants) = &terms.permit.use_ else {
            return unclear;
        };
        let Some(first) = grants.first() else {
            return unclear;
        };
        let free = terms.permit.conditions == Conditions::default()
            && terms.idle.is_none()
            && terms.inclusion == Inclusion::Logged;
        if !free || grants.iter().any(|g| g.api != first.api) {
            return unclear;
        }
        let everywhere = |g: &&Grant| g.resources.iter().any(Pattern::is_everything);
        let whole = grants.iter().filter(everywhere);
        let held = whole.fold(ScopeSet::EMPTY, |set, g| set.union(&g.scopes));
        match held.low() {
            None => unclear,
            Some(scopes) => Self {
                api: first.api,
                scopes,
                plain: true,
                partial: !grants.iter().all(|g| everywhere(&g)),
                ..unclear
            },
        }
    }

    /// Exactly the scopes that the terms hold at an API on a resource; `None`: read the terms.
    #[must_use]
    pub fn held(&self, api: &ApiId, resource: Option<&str>) -> Option<ScopeSet> {
        let tells = self.plain && self.api == *api && !(self.partial && resource.is_some());
        tells.then(|| ScopeSet::from_low(self.scopes))
    }

    /// Whether the terms know neither conditions nor idle expiry, and wait for no witness.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// The terms' limit.
    #[must_use]
    pub fn limit(&self) -> Option<Limit> {
        self.limit
    }
}

const _: () = assert!(size_of::<Brief>() <= 48);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        permit::Permit,
        time::{Span, Time},
    };
    use proptest::prelude::*;

    fn terms(grants: Vec<Grant>) -> Terms {
        Terms {
            permit: Permit::to_use(Rights::Listed(grants)),
            limit: None,
            idle: None,
            lifetime_max: None,
            inclusion: Inclusion::Logged,
        }
    }

    fn grant(api: u8, scope: u8, pattern: &str) -> Grant {
        Grant {
            api: ApiId::from_bytes([api; 16]),
            scopes: ScopeSet::one(scope),
            resources: vec![Pattern::parse(pattern).unwrap()],
        }
    }

    #[test]
    fn what_is_not_plain_is_left_to_the_terms() {
        let api = ApiId::from_bytes([1; 16]);
        let plain = terms(vec![grant(1, 5, "**")]);
        assert_eq!(Brief::of(&plain).held(&api, None), Some(ScopeSet::one(5)));
        let told = |change: &dyn Fn(&mut Terms)| {
            let mut terms = plain.clone();
            change(&mut terms);
            Brief::of(&terms).held(&api, None)
        };
        assert_eq!(told(&|t| t.idle = Some(Span::days(1))), None);
        let from = Time::from_seconds(7);
        assert_eq!(told(&|t| t.permit.conditions.not_before = Some(from)), None);
        assert_eq!(
            told(&|t| t.permit.conditions.methods = vec!["GET".into()]),
            None
        );
        assert_eq!(told(&|t| t.inclusion = Inclusion::Witnessed), None);
        assert_eq!(told(&|t| t.permit.use_ = Rights::All), None);
        assert_eq!(told(&|t| t.permit.use_ = Rights::NONE), None);
        assert_eq!(
            Brief::of(&terms(vec![grant(1, 128, "**")])).held(&api, None),
            None
        );
        assert!(
            Brief::of(&terms(vec![grant(1, 127, "**")]))
                .held(&api, None)
                .is_some()
        );
        assert_eq!(
            Brief::of(&plain).held(&ApiId::from_bytes([2; 16]), None),
            None
        );
    }

    proptest! {
        #[test]
        fn a_brief_says_what_the_terms_say_or_nothing(
            grants in prop::collection::vec((1u8..3, any::<u8>(), prop::sample::select(vec!["**", "a/**", "a/*", "b"])), 0..5),
            asked in 1u8..3,
            resource in prop::option::of(prop::sample::select(vec!["a/1", "a/1/2", "b", "c"])),
        ) {
            let terms = terms(grants.iter().map(|(a, s, p)| grant(*a, *s, p)).collect());
            let api = ApiId::from_bytes([asked; 16]);
            if let Some(held) = Brief::of(&terms).held(&api, resource) {
                prop_assert_eq!(held, terms.permit.use_.held(&api, resource));
            }
        }
    }
}
