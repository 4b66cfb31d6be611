//! Founding: the first event, the tenants, their first credential, and the policies they set.

use crate::{
    api::{JETON_API, own, own_catalogue},
    authority::Authority,
    decision::Decision,
    directory::{Directory, Inapplicable},
    event::{Actor, Event, RECORD_VERSION, Record},
    id::{AppId, TenantId},
    permit::{Conditions, Give, Grant, Permit, Rights},
    policy::{ClassPolicy, Lifetime},
    refusal::{Blame, Refusal},
    resource::Pattern,
    scope::ScopeSet,
    subject::{Standing, SubjectId},
    time::Time,
    token::{
        issue::{self, Asked, Drawn, IssueOrder, Issued},
        text::{Class, Prefix},
    },
};

/// The prefix of the system tenant's tokens.
pub const SYSTEM_PREFIX: &[u8] = b"jeton";

/// The records of a new authority: genesis, and the system tenant.
#[must_use]
pub fn genesis(
    system: TenantId,
    origin: &str,
    log_key: [u8; 32],
    now: Time,
) -> Option<[Record; 2]> {
    let record = |event| Record {
        version: RECORD_VERSION,
        tenant: system,
        at: now,
        actor: Actor::Authority,
        request: None,
        aside: None,
        event,
    };
    let prefix = Prefix::parse(SYSTEM_PREFIX)?;
    Some([
        record(Event::Genesis {
            origin: origin.to_owned(),
            log_key,
        }),
        record(Event::TenantCreated { prefix }),
    ])
}

/// Whether a tenant can be founded with this prefix.
///
/// # Errors
/// [`Refusal::ScopeMissing`] unless the caller is the operator; [`Refusal::NameTaken`] for a prefix in use.
pub fn may_found(operator: &Authority, prefix: Prefix, directory: &Directory) -> Result<(), Blame> {
    operate(operator, directory)?;
    if directory.tenant_of_prefix(prefix).is_some() {
        return Err(Blame::field(
            Refusal::NameTaken,
            "prefix",
            "another tenant has this prefix",
        ));
    }
    Ok(())
}

/// Whether the operator may give a tenant a new admin: once in an epoch that ended everything it had, and else never.
///
/// # Errors
/// [`Refusal::ScopeMissing`] unless the caller is the operator; [`Refusal::NotFound`]; [`Refusal::StateConflict`] where the tenant
/// has credentials of its own.
pub fn may_readmit(
    operator: &Authority,
    tenant: TenantId,
    directory: &Directory,
) -> Result<(), Blame> {
    operate(operator, directory)?;
    let found = directory.tenant(tenant).ok_or(Refusal::NotFound)?;
    let log = directory.log();
    let ended = log.epoch() > 1 && found.epoch_from == Some(log.epoch_from());
    if ended && found.admitted_in != Some(log.epoch()) {
        return Ok(());
    }
    let rule =
        "only a tenant whose credentials a new epoch has ended gets a new admin, and only once";
    Err(Blame {
        refusal: Refusal::StateConflict,
        field: None,
        rule: Some(rule.to_owned()),
    })
}

fn operate(operator: &Authority, directory: &Directory) -> Result<(), Blame> {
    let system = directory.system() == Some(operator.tenant());
    if system && operator.holds(own::TENANTS_WRITE) {
        return Ok(());
    }
    Err(Refusal::ScopeMissing.into())
}

/// Suspends or resumes a tenant: none of its tokens works while it is suspended.
pub fn set_tenant_standing(
    operator: &Authority,
    tenant: TenantId,
    after: Standing,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        operate(operator, directory)?;
        let before = directory.tenant(tenant).ok_or(Refusal::NotFound)?.standing;
        if directory.system() == Some(tenant) {
            let rule = Some("the system tenant cannot be suspended".to_owned());
            return Err(Blame {
                refusal: Refusal::StateConflict,
                field: None,
                rule,
            });
        }
        let events = if before == after {
            vec![]
        } else {
            vec![Event::TenantStanding { before, after }]
        };
        Ok(((), events))
    };
    decide().into()
}

/// Notes what the operator does with a tenant's pepper: the key itself is in no event.
pub fn note_pepper(
    operator: &Authority,
    tenant: TenantId,
    event: Event,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        if directory.system() != Some(operator.tenant()) || !operator.holds(own::KEYS_WRITE) {
            return Err(Blame::from(Refusal::ScopeMissing));
        }
        directory.tenant(tenant).ok_or(Refusal::NotFound)?;
        Ok(((), vec![event]))
    };
    decide().into()
}

/// What the first application of a tenant may do: run jeton there, and give everything on.
#[must_use]
pub fn admin_permit(system: bool) -> Permit {
    let all: ScopeSet = (0..own_catalogue().scopes().len())
        .filter_map(|n| u8::try_from(n).ok())
        .filter(|n| system || !own::SYSTEM_ONLY.contains(n))
        .collect();
    let grant = Grant {
        api: JETON_API,
        scopes: all,
        resources: vec![Pattern::everything()],
    };
    Permit {
        use_: Rights::Listed(vec![grant]),
        give: Some(Give::danger_everything()),
        conditions: Conditions::default(),
    }
}

/// Decides on a tenant's admin: an application without sponsor, and a token of it. `directory` must be that of the moment
/// after the application was applied.
pub fn admin_token(
    founder: &Authority,
    app: AppId,
    lifetime: Lifetime,
    directory: &Directory,
    (drawn, now): (Drawn, Time),
) -> Decision<Issued> {
    let permit = admin_permit(directory.system() == Some(founder.tenant()));
    let order = IssueOrder {
        class: Class::Svc,
        subject: SubjectId::App(app),
        asked: Asked::Rights(permit.use_),
        give: permit.give,
        conditions: Conditions::default(),
        lifetime,
        limit: None,
    };
    issue::issue(founder, order, directory, drawn, now)
}

/// Sets the policy of a class. It binds what is issued and changed from now on.
pub fn set_policy(
    authority: &Authority,
    class: Class,
    after: ClassPolicy,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        if !authority.holds(own::POLICIES_WRITE) {
            return Err(Blame::from(Refusal::ScopeMissing));
        }
        after.sound()?;
        let before = directory
            .tenant(authority.tenant())
            .ok_or(Refusal::NotFound)?
            .policy(class);
        let events = if before == after {
            vec![]
        } else {
            vec![Event::PolicySet {
                class,
                before,
                after,
            }]
        };
        Ok(((), events))
    };
    decide().into()
}

/// Applies records one after the other to a directory: the writer's batch, replay and tests alike.
///
/// # Errors
/// [`Inapplicable`] at the first record that does not fit.
pub fn apply_all(directory: &mut Directory, records: &[Record]) -> Result<(), Inapplicable> {
    records
        .iter()
        .try_for_each(|record| directory.apply(directory.size(), record))
}
