//! Orders: every way in which authority is made, changed or taken away, with the rule that decides on it.

use jeton_core::{
    account,
    authority::{self, Authority},
    decision::Decision,
    event::Event,
    founding,
    id::{AppId, RoleId, TokenId, UserId},
    limit::Limit,
    permit::{Conditions, Permit, Rights},
    policy::{ClassPolicy, Lifetime},
    refusal::Refusal,
    role,
    subject::{Standing, SubjectId},
    time::Span,
    token::{
        change::{self, ChangeOrder},
        issue::{self, Asked, Drawn, IssueOrder},
        record::{Reason, Terms},
        revoke,
        rotate::{self, By, RotateOrder},
        text::Class,
    },
};

use super::{Protection, World};

/// An order, with what was drawn for it.
#[derive(Clone, Debug)]
pub enum Order {
    Issue(IssueOrder, DrawnFor),
    Change(TokenId, ChangeOrder),
    Rotate(TokenId, RotateOrder, DrawnFor),
    Suspend(TokenId),
    Resume(TokenId),
    Revoke(TokenId),
    CutOff(Option<SubjectId>),
    RoleCreate(RoleId, String, Permit),
    RoleChange(RoleId, Permit),
    RoleDelete(RoleId),
    UserCreate(UserId, Vec<RoleId>),
    UserRoles(UserId, Vec<RoleId>),
    AppCreate(AppId, UserId, Permit),
    AppChange(AppId, Option<Permit>, Option<UserId>),
    Standing(SubjectId, Standing),
    Policy(Class, ClassPolicy),
    Rename(SubjectId),
}

/// What a mint drew, without its digest in error texts.
pub type DrawnFor = Drawn;

const CLASSES: [Class; 5] = [Class::Key, Class::Key, Class::Svc, Class::Pat, Class::Pub];

impl Order {
    /// Some order that this caller could have in mind.
    pub fn draw(world: &mut World, caller: TokenId) -> Self {
        let empty = world.roles.is_empty() || world.users.is_empty();
        match world.rng.below(if empty { 12 } else { 46 }) {
            0..=2 => Self::role_create(world, caller),
            3..=5 => Self::UserCreate(world.id(), some_roles(world, 2)),
            6..=15 => Self::issue(world, caller),
            16..=20 => Self::change(world, caller),
            21..=24 => Self::rotate(world, caller),
            25..=28 => {
                let permit = permit(world, caller, None);
                Self::RoleChange(*world.rng.pick(&world.roles.clone()), permit)
            }
            29..=32 => {
                let user = *world.rng.pick(&world.users.clone());
                Self::UserRoles(user, some_roles(world, 3))
            }
            33 | 34 => {
                let sponsor = *world.rng.pick(&world.users.clone());
                let permit = permit(world, caller, None);
                Self::AppCreate(world.id(), sponsor, permit)
            }
            35..=38 => {
                let app = *world.rng.pick(&world.apps.clone());
                let sponsor = *world.rng.pick(&world.users.clone());
                let permit = permit(world, caller, None);
                Self::AppChange(app, Some(permit), world.rng.one_in(2).then_some(sponsor))
            }
            39 => Self::Suspend(world.some_token()),
            40 | 41 => Self::Resume(suspended(world)),
            42 => Self::takes_away(world),
            43 => Self::Standing(world.some_subject(), standing(world)),
            44 => {
                let class = *world.rng.pick(&CLASSES);
                let built_in = ClassPolicy::built_in(class);
                let policy = ClassPolicy {
                    inclusion: jeton_core::policy::Inclusion::Logged,
                    lifetime_default: Span::seconds(7200),
                    limit: Limit::new(5, 60),
                    ..built_in
                };
                let policy = if world.rng.one_in(2) {
                    policy
                } else {
                    built_in
                };
                Self::Policy(class, policy)
            }
            _ => Self::Rename(world.some_subject()),
        }
    }

    fn takes_away(world: &mut World) -> Self {
        match world.rng.below(6) {
            0 => Self::RoleDelete(*world.rng.pick(&world.roles.clone())),
            // The whole tenant's would end the story: only a subject's.
            1 => Self::CutOff(Some(world.some_subject())),
            _ => Self::Revoke(world.some_token()),
        }
    }

    fn role_create(world: &mut World, caller: TokenId) -> Self {
        let role: RoleId = world.id();
        let name = format!("r{}", world.rng.next() % 1_000_000);
        Self::RoleCreate(role, name, permit(world, caller, None))
    }

    fn issue(world: &mut World, caller: TokenId) -> Self {
        let drawn = world.drawn();
        let subject = world.some_subject();
        let class = match (subject, *world.rng.pick(&CLASSES)) {
            (SubjectId::App(_), Class::Pat) => Class::Svc,
            (SubjectId::User(_), Class::Svc) => Class::Pat,
            (_, class) => class,
        };
        let Permit {
            use_,
            give,
            conditions,
        } = permit(world, caller, Some(subject));
        let asked = match world.rng.below(6) {
            0 => Asked::Default,
            1 => Asked::Inherit,
            _ => Asked::Rights(use_),
        };
        let lifetime = lifetime(world);
        let order = IssueOrder {
            class,
            subject,
            asked,
            give,
            conditions,
            lifetime,
            limit: world.rng.one_in(4).then(|| Limit::new(3, 60)).flatten(),
        };
        Self::Issue(order, drawn)
    }

    fn change(world: &mut World, caller: TokenId) -> Self {
        let token = if world.rng.one_in(3) {
            caller
        } else {
            world.some_token()
        };
        let (subject, own) = {
            let record = &world.tokens[&token];
            (record.subject, record.terms.permit.clone())
        };
        let new = permit(world, caller, Some(subject));
        let rights = match world.rng.below(3) {
            0 => None,
            1 => Some(new.use_),
            _ => {
                let apis = world.apis.clone();
                Some(world.rng.rights_near(&own.use_, &apis))
            }
        };
        let conditions = match world.rng.below(3) {
            0 => Some(new.conditions),
            1 => Some(world.rng.conditions_near(&own.conditions)),
            _ => None,
        };
        let limit = match world.rng.below(6) {
            0 => Some(None),
            1 => Some(Limit::new(7, 60)),
            _ => None,
        };
        let lifetime = world.rng.one_in(2).then(|| lifetime(world));
        let order = ChangeOrder {
            lifetime,
            limit,
            rights,
            conditions,
        };
        Self::Change(token, order)
    }

    fn rotate(world: &mut World, caller: TokenId) -> Self {
        let token = if world.rng.one_in(2) {
            caller
        } else {
            world.some_token()
        };
        let drawn = world.drawn();
        let order = RotateOrder {
            overlap: world.rng.one_in(2).then_some(Span::seconds(100)),
            lifetime: world.rng.one_in(2).then(|| lifetime(world)),
        };
        Self::Rotate(token, order, drawn)
    }

    /// What the real rule says. With the protection off, a no for want of authority is not heard: the events are those that
    /// a rule would have made whose `attenuate` says yes to everything.
    pub fn decide(&self, world: &World, authority: &Authority) -> (Option<Refusal>, Vec<Event>) {
        let (refused, events) = self.rule(world, authority);
        let unheard = matches!(
            refused,
            Some(Refusal::Widening | Refusal::GiveMissing | Refusal::OwnerLacksRight)
        );
        if unheard && world.protection == Protection::Off {
            return (refused, self.unprotected(world).into_iter().collect());
        }
        (refused, events)
    }

    fn rule(&self, world: &World, authority: &Authority) -> (Option<Refusal>, Vec<Event>) {
        let (directory, now) = (&world.directory, world.now);
        match self {
            Self::Issue(order, drawn) => told(issue::issue(
                authority,
                order.clone(),
                directory,
                *drawn,
                now,
            )),
            Self::Change(token, order) => {
                let record = &world.tokens[token];
                told(change::change(
                    authority,
                    record,
                    order.clone(),
                    directory,
                    now,
                ))
            }
            Self::Rotate(token, order, drawn) => {
                let record = &world.tokens[token];
                let by = by(authority, *token);
                told(rotate::rotate(
                    &by,
                    record,
                    *order,
                    directory,
                    (*drawn, now),
                ))
            }
            Self::Suspend(token) => told(revoke::suspend(
                authority,
                &world.tokens[token],
                Reason::Abuse,
            )),
            Self::Resume(token) => told(revoke::resume(authority, &world.tokens[token], now)),
            Self::Revoke(token) => told(revoke::revoke(
                authority,
                &world.tokens[token],
                Reason::Leaked,
            )),
            Self::CutOff(subject) => told(revoke::cut_off(
                authority,
                *subject,
                Reason::Leaked,
                directory,
            )),
            Self::RoleCreate(id, name, permit) => told(role::create(
                authority,
                *id,
                name,
                permit.clone(),
                directory,
            )),
            Self::RoleChange(id, permit) => {
                told(role::change(authority, *id, permit.clone(), directory))
            }
            Self::RoleDelete(id) => told(role::delete(authority, *id, directory)),
            Self::UserCreate(id, roles) => told(account::create_user(
                authority,
                *id,
                roles.clone(),
                directory,
            )),
            Self::UserRoles(id, roles) => {
                told(account::set_roles(authority, *id, roles.clone(), directory))
            }
            Self::AppCreate(id, sponsor, permit) => told(account::create_app(
                authority,
                *id,
                *sponsor,
                permit.clone(),
                directory,
            )),
            Self::AppChange(id, permit, sponsor) => told(account::change_app(
                authority,
                *id,
                permit.clone(),
                *sponsor,
                directory,
            )),
            Self::Standing(id, after) => {
                told(account::set_standing(authority, *id, *after, directory))
            }
            Self::Policy(class, policy) => {
                told(founding::set_policy(authority, *class, *policy, directory))
            }
            Self::Rename(id) => told(account::rename(authority, *id, directory)),
        }
    }

    /// The event of an order that nobody measured.
    fn unprotected(&self, world: &World) -> Option<Event> {
        let normal = |p: &Permit| Permit {
            use_: p.use_.clone().normal(),
            ..p.clone()
        };
        match self {
            Self::Issue(order, drawn) => {
                let use_ = match &order.asked {
                    Asked::Rights(rights) => rights.clone().normal(),
                    Asked::Default => Rights::NONE,
                    Asked::Inherit => Rights::All,
                };
                let permit = Permit {
                    use_,
                    give: order.give.clone(),
                    conditions: order.conditions.clone(),
                };
                let terms = terms(permit);
                let expires = Some(world.now.after(Span::days(30)));
                Some(Event::TokenIssued {
                    token: drawn.token,
                    class: order.class,
                    subject: order.subject,
                    digest: drawn.digest,
                    pepper: drawn.pepper,
                    terms,
                    expires,
                })
            }
            Self::RoleCreate(role, name, permit) => Some(Event::RoleCreated {
                role: *role,
                name: name.clone(),
                permit: normal(permit),
            }),
            Self::RoleChange(role, permit) => Some(Event::RoleChanged {
                role: *role,
                before: world.directory.role(world.tenant, *role)?.permit.clone(),
                after: normal(permit),
            }),
            Self::AppCreate(app, sponsor, permit) => Some(Event::AppCreated {
                app: *app,
                sponsor: Some(*sponsor),
                permit: normal(permit),
            }),
            _ => None,
        }
    }
}

/// Who rotates: as the use case decides it.
pub fn by(authority: &Authority, token: TokenId) -> By<'_> {
    let own = matches!(authority.actor(), jeton_core::event::Actor::Token { token: own, .. } if own == token);
    if own && rotate::holder_may(authority) {
        By::Itself
    } else {
        By::Authority(authority)
    }
}

fn told<T>(decision: Decision<T>) -> (Option<Refusal>, Vec<Event>) {
    (decision.outcome.err().map(|b| b.refusal), decision.events)
}

fn terms(permit: Permit) -> Terms {
    Terms {
        inclusion: jeton_core::policy::Inclusion::Logged,
        permit,
        limit: None,
        idle: None,
        lifetime_max: None,
    }
}

fn lifetime(world: &mut World) -> Lifetime {
    match world.rng.below(5) {
        0 | 1 => Lifetime::Default,
        2 => Lifetime::For(world.rng.span()),
        3 => Lifetime::Until(world.now.after(world.rng.span())),
        _ => Lifetime::Permanent,
    }
}

fn standing(world: &mut World) -> Standing {
    match world.rng.below(8) {
        0 => Standing::Deleted,
        1 => Standing::Suspended,
        _ => Standing::Active,
    }
}

fn suspended(world: &mut World) -> TokenId {
    let found = world
        .tokens
        .values()
        .find(|t| matches!(t.state, jeton_core::token::record::State::Suspended { .. }));
    match found {
        Some(token) => token.id,
        None => world.some_token(),
    }
}

fn some_roles(world: &mut World, most: usize) -> Vec<RoleId> {
    if world.roles.is_empty() {
        return Vec::new();
    }
    let n = world.rng.below(most + 1);
    let roles = world.roles.clone();
    (0..n).map(|_| *world.rng.pick(&roles)).collect()
}

/// A permit near what the caller may give, near what the owner has, or anywhere. Roles and applications have no conditions
/// of their own.
fn permit(world: &mut World, caller: TokenId, owner: Option<SubjectId>) -> Permit {
    let apis = world.apis.clone();
    let give = world.tokens[&caller].terms.permit.give.clone();
    let owned = owner.and_then(|id| {
        let subject = world.directory.subject(world.tenant, id)?;
        Some(authority::rights(&world.directory, subject))
    });
    let use_ = match (world.rng.below(8), &give, &owned) {
        (0..=3, _, Some(owned)) => world.rng.rights_near(owned, &apis),
        (0..=6, Some(give), _) => world.rng.rights_near(&give.rights, &apis),
        _ => world.rng.rights(&apis),
    };
    let handed_on = world.rng.give_near(give.as_ref(), &apis);
    let conditions = match (owner, &give) {
        (None, _) => Conditions::default(),
        (Some(_), Some(give)) => world.rng.conditions_near(&give.conditions),
        (Some(_), None) => world.rng.conditions(),
    };
    Permit {
        use_,
        give: handed_on,
        conditions,
    }
}
