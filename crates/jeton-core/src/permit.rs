//! What a holder may use and what it may give, and the one function that creates authority.

use core::net::IpAddr;

use ipnet::IpNet;
use minicbor::{Decode, Decoder, Encode, Encoder, decode, encode};

use crate::{
    id::ApiId,
    refusal::Refusal,
    resource::{self, Pattern},
    scope::ScopeSet,
    time::{Span, Time},
};

/// The most grants in one permit.
pub const GRANTS_MAX: usize = 64;

/// Scopes of one API on the resources that the patterns reach.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Grant {
    /// The API whose scopes these are.
    #[n(0)]
    pub api: ApiId,
    /// The scopes, by number.
    #[n(1)]
    pub scopes: ScopeSet,
    /// Which resources; never empty.
    #[n(2)]
    pub resources: Vec<Pattern>,
}

impl PartialOrd for ScopeSet {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for ScopeSet {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.iter().cmp(other.iter())
    }
}

/// Rights: everything in the tenant, or a list of grants.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Encode, Decode)]
pub enum Rights {
    /// Everything, in APIs and scopes that come later too. On a user-based token it means: all that the user may.
    #[n(0)]
    All,
    /// These grants and no others.
    #[n(1)]
    Listed(#[n(0)] Vec<Grant>),
}

impl Rights {
    /// No right at all.
    pub const NONE: Self = Self::Listed(Vec::new());

    /// The scopes held at `api` on `resource`. Where no resource is named, only grants on `**` count: a restricted
    /// right says nothing about "all of them".
    #[must_use]
    pub fn held(&self, api: &ApiId, resource: Option<&str>) -> ScopeSet {
        let Self::Listed(grants) = self else {
            return ScopeSet::FULL;
        };
        let reaches = |grant: &Grant| match resource {
            None => grant.resources.iter().any(Pattern::is_everything),
            Some(name) => grant
                .resources
                .iter()
                .any(|p| p.is_everything() || p.matches(name)),
        };
        let mut held = ScopeSet::EMPTY;
        for grant in grants.iter().filter(|g| g.api == *api && reaches(g)) {
            held = held.union(&grant.scopes);
        }
        held
    }

    /// Whether these rights allow all of `needed` at `api`, on `resource`; needing nothing takes some right there.
    #[must_use]
    pub fn allow(&self, api: &ApiId, needed: &ScopeSet, resource: Option<&str>) -> bool {
        let held = self.held(api, resource);
        held.covers(needed) && !held.is_empty()
    }

    /// Whether there is any right at this API.
    #[must_use]
    pub fn touches(&self, api: &ApiId) -> bool {
        match self {
            Self::All => true,
            Self::Listed(grants) => grants.iter().any(|g| g.api == *api && !g.scopes.is_empty()),
        }
    }

    /// The scopes held at an API on at least some resource.
    #[must_use]
    pub fn scopes_at(&self, api: &ApiId) -> ScopeSet {
        let Self::Listed(grants) = self else {
            return ScopeSet::FULL;
        };
        let at = grants.iter().filter(|g| g.api == *api);
        at.fold(ScopeSet::EMPTY, |set, g| set.union(&g.scopes))
    }

    /// Whether whatever `other` allows, these rights allow.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::All, _) => true,
            (Self::Listed(_), Self::All) => false,
            (Self::Listed(own), Self::Listed(theirs)) => theirs.iter().all(|t| covered(own, t)),
        }
    }

    /// Both sets of rights together.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Listed(own), Self::Listed(theirs)) => {
                Self::Listed(own.iter().chain(theirs).cloned().collect()).normal()
            }
            _ => Self::All,
        }
    }

    /// The one form of the same rights: sorted, without empty and repeated grants.
    #[must_use]
    pub fn normal(self) -> Self {
        let Self::Listed(mut grants) = self else {
            return Self::All;
        };
        for grant in &mut grants {
            grant.resources.sort();
            grant.resources.dedup();
            if grant.resources.iter().any(Pattern::is_everything) {
                grant.resources = vec![Pattern::everything()];
            }
        }
        grants.retain(|g| !g.scopes.is_empty() && !g.resources.is_empty());
        grants.sort_by(|a, b| (a.api, &a.resources).cmp(&(b.api, &b.resources)));
        let mut out: Vec<Grant> = Vec::with_capacity(grants.len());
        for grant in grants {
            match out.last_mut() {
                Some(last) if last.api == grant.api && last.resources == grant.resources => {
                    last.scopes = last.scopes.union(&grant.scopes);
                }
                _ => out.push(grant),
            }
        }
        Self::Listed(out)
    }
}

fn covered(own: &[Grant], theirs: &Grant) -> bool {
    theirs.resources.iter().all(|pattern| {
        let reaching = own
            .iter()
            .filter(|o| o.api == theirs.api && o.resources.iter().any(|p| p.covers(pattern)));
        let held = reaching.fold(ScopeSet::EMPTY, |set, o| set.union(&o.scopes));
        held.covers(&theirs.scopes)
    })
}

/// An IP network, stored as its text so that the record says what was written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network(IpNet);

impl Network {
    /// Reads CIDR notation or a bare address; host bits are cleared.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let net = text
            .parse::<IpNet>()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(Into::into));
        net.map(|n| Self(n.trunc()))
    }

    /// Whether the address lies in it. An IPv4-mapped IPv6 address is judged as the IPv4 address it is.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl core::fmt::Display for Network {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

impl<C> Encode<C> for Network {
    fn encode<W: encode::Write>(
        &self,
        e: &mut Encoder<W>,
        _: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.str(&self.0.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Network {
    fn decode(d: &mut Decoder<'b>, _: &mut C) -> Result<Self, decode::Error> {
        Self::parse(d.str()?).ok_or_else(|| decode::Error::message("not a network"))
    }
}

/// From where, when and for which requests a token may be used. An empty list does not restrict.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default, Encode, Decode)]
#[cbor(map)]
pub struct Conditions {
    /// The client's address must lie in one of them.
    #[n(0)]
    pub networks: Vec<Network>,
    /// The request's method must be one of them, in upper case.
    #[n(1)]
    pub methods: Vec<String>,
    /// The request's path must match one of them.
    #[n(2)]
    pub paths: Vec<Pattern>,
    /// Not good before this second.
    #[n(3)]
    pub not_before: Option<Time>,
}

impl Conditions {
    /// Whether nothing is restricted.
    #[must_use]
    pub fn is_free(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `other` is at least as strict in every respect.
    #[must_use]
    pub fn cover(&self, other: &Self) -> bool {
        let restricts = |own: bool, theirs: bool| !own || theirs;
        let networks = restricts(!self.networks.is_empty(), !other.networks.is_empty())
            && (self.networks.is_empty()
                || other
                    .networks
                    .iter()
                    .all(|n| self.networks.iter().any(|w| w.0.contains(&n.0))));
        let methods = restricts(!self.methods.is_empty(), !other.methods.is_empty())
            && (self.methods.is_empty() || other.methods.iter().all(|m| self.methods.contains(m)));
        let paths = restricts(!self.paths.is_empty(), !other.paths.is_empty())
            && (self.paths.is_empty() || resource::all_covered(&self.paths, &other.paths));
        networks && methods && paths && self.not_before <= other.not_before
    }
}

/// What a holder may hand on, and the bounds it must set when it does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Give {
    /// The rights that it may hand on, to use or to give further.
    #[n(0)]
    pub rights: Rights,
    /// Every token it makes is bound by conditions at least as strict as these.
    #[n(1)]
    pub conditions: Conditions,
    /// Every token it makes lives at most this long. `None`: as policy says.
    #[n(2)]
    pub lifetime_max: Option<Span>,
}

impl Give {
    /// The root of a tenant's authority. Only the use cases that found a tenant may name it.
    #[must_use]
    pub const fn danger_everything() -> Self {
        Self {
            rights: Rights::All,
            conditions: Conditions {
                networks: Vec::new(),
                methods: Vec::new(),
                paths: Vec::new(),
                not_before: None,
            },
            lifetime_max: None,
        }
    }

    fn covers(&self, other: &Self) -> bool {
        let lifetime = match (self.lifetime_max, other.lifetime_max) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(theirs)) => theirs <= own,
        };
        self.rights.cover(&other.rights) && self.conditions.cover(&other.conditions) && lifetime
    }
}

/// What a token, an application or a role may use and may give.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Permit {
    /// What its holder may do itself.
    #[n(0)]
    pub use_: Rights,
    /// What its holder may hand on; `None`: nothing. A key cannot manage keys unless told so.
    #[n(1)]
    pub give: Option<Give>,
    /// When and from where it may be used.
    #[n(2)]
    pub conditions: Conditions,
}

impl Permit {
    /// A permit to use these rights freely and give none of them.
    #[must_use]
    pub fn to_use(rights: Rights) -> Self {
        Self {
            use_: rights,
            give: None,
            conditions: Conditions::default(),
        }
    }
}

/// A permit that [`attenuate`] has measured against the authority it comes from.
///
/// ```compile_fail
/// use jeton_core::permit::{Attenuated, Permit, Rights};
/// let forged = Attenuated(Permit::to_use(Rights::All));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attenuated(Permit);

impl Attenuated {
    /// The permit inside.
    #[must_use]
    pub fn permit(&self) -> &Permit {
        &self.0
    }

    /// Gives the permit up to a record.
    #[must_use]
    pub fn into_permit(self) -> Permit {
        self.0
    }
}

/// Creates authority: the requested permit, if all of it lies within what the parent may give.
///
/// Every path that hands out rights passes here: tokens, applications, roles, changes of any of them.
///
/// # Errors
/// [`Refusal::GiveMissing`] if the parent may give nothing; [`Refusal::Widening`] if the request reaches further
/// than the parent in rights, conditions or lifetime of what it may give.
pub fn attenuate(parent: Option<&Give>, requested: Permit) -> Result<Attenuated, Refusal> {
    let parent = parent.ok_or(Refusal::GiveMissing)?;
    let within = parent.rights.cover(&requested.use_)
        && parent.conditions.cover(&requested.conditions)
        && requested
            .give
            .as_ref()
            .is_none_or(|give| parent.covers(give));
    if !within {
        return Err(Refusal::Widening);
    }
    Ok(Attenuated(Permit {
        use_: requested.use_.normal(),
        give: requested.give.map(|g| Give {
            rights: g.rights.normal(),
            ..g
        }),
        conditions: requested.conditions,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Id;
    use proptest::prelude::*;

    fn rights() -> impl Strategy<Value = Rights> {
        let pattern = prop::sample::select(vec!["**", "a/**", "a/*", "a/b", "b"]);
        let grant = (
            0..2u8,
            prop::collection::vec(0..4u8, 0..4),
            prop::collection::vec(pattern, 1..3),
        )
            .prop_map(|(api, scopes, patterns)| Grant {
                api: Id::from_bytes([api; 16]),
                scopes: scopes.into_iter().collect(),
                resources: patterns.iter().filter_map(|p| Pattern::parse(p)).collect(),
            });
        prop_oneof![
            1 => Just(Rights::All),
            9 => prop::collection::vec(grant, 0..4).prop_map(Rights::Listed),
        ]
    }

    fn conditions() -> impl Strategy<Value = Conditions> {
        let network =
            prop::sample::select(vec!["10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24", "::/0"]);
        let method = prop::sample::select(vec!["GET", "PUT"]);
        (
            prop::collection::vec(network, 0..3),
            prop::collection::vec(method, 0..2),
            prop::collection::vec(prop::sample::select(vec!["a/**", "a/b", "**"]), 0..2),
            prop::option::of(0..3u64),
        )
            .prop_map(|(networks, methods, paths, from)| Conditions {
                networks: networks.iter().filter_map(|n| Network::parse(n)).collect(),
                methods: methods.into_iter().map(str::to_owned).collect(),
                paths: paths.iter().filter_map(|p| Pattern::parse(p)).collect(),
                not_before: from.map(Time::from_seconds),
            })
    }

    fn give() -> impl Strategy<Value = Give> {
        (rights(), conditions(), prop::option::of(0..3u64)).prop_map(|(rights, conditions, s)| {
            Give {
                rights,
                conditions,
                lifetime_max: s.map(Span::seconds),
            }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The law: a permit that came through allows no request that the parent could not have allowed.
        #[test]
        fn attenuation_never_widens(
            parent in give(), use_ in rights(), inner in prop::option::of(give()), conditions in conditions(),
            api in 0..2u8, scope in 0..4u8,
            resource in prop::option::of(prop::sample::select(vec!["a", "a/b", "a/b/c", "b", "c"])),
        ) {
            let asked = Permit { use_, give: inner, conditions };
            if let Ok(child) = attenuate(Some(&parent), asked) {
                let (api, scope) = (ApiId::from_bytes([api; 16]), ScopeSet::one(scope));
                let child = child.permit();
                if child.use_.allow(&api, &scope, resource) {
                    prop_assert!(parent.rights.allow(&api, &scope, resource));
                }
                if let Some(give) = &child.give {
                    prop_assert!(parent.rights.cover(&give.rights));
                    if give.rights.allow(&api, &scope, resource) {
                        prop_assert!(parent.rights.allow(&api, &scope, resource));
                    }
                }
            }
        }

        #[test]
        fn the_normal_form_allows_the_same(
            rights in rights(), api in 0..2u8, scope in 0..4u8,
            resource in prop::option::of(prop::sample::select(vec!["a", "a/b", "b", "c"])),
        ) {
            let (api, scope) = (ApiId::from_bytes([api; 16]), ScopeSet::one(scope));
            let normal = rights.clone().normal();
            prop_assert_eq!(rights.allow(&api, &scope, resource), normal.allow(&api, &scope, resource));
            prop_assert!(normal.cover(&rights) && rights.cover(&normal));
            prop_assert_eq!(normal.clone().normal(), normal);
        }
    }

    #[test]
    fn nothing_comes_from_a_parent_that_may_give_nothing() {
        let asked = Permit::to_use(Rights::NONE);
        assert_eq!(attenuate(None, asked), Err(Refusal::GiveMissing));
    }

    #[test]
    fn a_mapped_address_is_judged_as_ipv4() {
        let net = Network::parse("192.0.2.0/24").unwrap();
        assert!(net.contains("::ffff:192.0.2.7".parse().unwrap()));
        assert!(!net.contains("::ffff:192.0.3.7".parse().unwrap()));
    }

    #[test]
    fn stricter_conditions_are_covered_and_looser_are_not() {
        let of = |networks: &[&str], methods: &[&str]| Conditions {
            networks: networks.iter().filter_map(|n| Network::parse(n)).collect(),
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            ..Conditions::default()
        };
        let parent = of(&["10.0.0.0/8"], &["GET"]);
        assert!(parent.cover(&of(&["10.1.0.0/16"], &["GET"])));
        assert!(!parent.cover(&of(&[], &["GET"])));
        assert!(!parent.cover(&of(&["10.0.0.0/7"], &["GET"])));
        assert!(!parent.cover(&of(&["10.1.0.0/16"], &["GET", "PUT"])));
        assert!(!parent.cover(&of(&["10.1.0.0/16"], &[])));
    }
}
