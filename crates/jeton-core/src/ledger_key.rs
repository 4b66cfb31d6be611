//! The keys that sign the ledger's checkpoints: one takes over from another, and there is never none.

use crate::{
    api::own,
    authority::Authority,
    decision::Decision,
    directory::Directory,
    event::{Event, KeyPurpose, LogEvent},
    refusal::{Blame, Refusal},
};

/// The most keys that sign at once: the one that goes and the one that comes.
pub const SIGNING_MAX: usize = 2;

/// Whether another key may be added: asked before one is made.
///
/// # Errors
/// [`Refusal::ScopeMissing`] unless the caller is the operator; [`Refusal::StateConflict`] while two sign already.
pub fn may_add(operator: &Authority, directory: &Directory) -> Result<(), Blame> {
    operate(operator, directory)?;
    if directory.log().signing().count() < SIGNING_MAX {
        return Ok(());
    }
    Err(conflict(
        "two keys sign already: retire the older one first",
    ))
}

/// Puts a key in force, beside the one that is. Its seed is on the disk before.
pub fn add(operator: &Authority, key: &[u8; 32], directory: &Directory) -> Decision<()> {
    let decide = || {
        may_add(operator, directory)?;
        if directory.log().keys.iter().any(|k| k.public == *key) {
            return Err(conflict("the ledger has this key already"));
        }
        let event = LogEvent::KeyAdded {
            purpose: KeyPurpose::Ledger,
            key: key.to_vec(),
        };
        Ok(((), vec![Event::Ledger(event)]))
    };
    decide().into()
}

/// Retires a key. Where somebody else may have it, what it signed from a size on is not to be believed. To retire it again in the
/// same words changes nothing; that it was stolen is said when it is retired, and never later.
pub fn retire(
    operator: &Authority,
    key: &[u8; 32],
    compromised_from: Option<u64>,
    directory: &Directory,
) -> Decision<()> {
    let decide = || {
        operate(operator, directory)?;
        let log = directory.log();
        let found = log.keys.iter().find(|k| k.public == *key);
        let found = found.ok_or(Refusal::NotFound)?;
        if found.retired.is_some() {
            let same = compromised_from.is_none_or(|_| compromised_from == found.compromised_from);
            return if same {
                Ok(((), Vec::new()))
            } else {
                Err(conflict("the key was retired before, in other words"))
            };
        }
        if log.signing().count() < 2 {
            return Err(conflict("it is the only key: add another first"));
        }
        if compromised_from.is_some_and(|from| from > directory.size()) {
            let rule = "no more than the ledger's size";
            let field = "compromised_from";
            return Err(Blame::field(Refusal::FieldInvalid, field, rule));
        }
        let event = LogEvent::KeyRetired {
            purpose: KeyPurpose::Ledger,
            key: key.to_vec(),
            compromised_from,
        };
        Ok(((), vec![Event::Ledger(event)]))
    };
    decide().into()
}

fn operate(operator: &Authority, directory: &Directory) -> Result<(), Blame> {
    let system = directory.system() == Some(operator.tenant());
    if system && operator.holds(own::KEYS_WRITE) {
        return Ok(());
    }
    Err(Refusal::ScopeMissing.into())
}

fn conflict(rule: &str) -> Blame {
    Blame {
        refusal: Refusal::StateConflict,
        field: None,
        rule: Some(rule.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        event::{Actor, RECORD_VERSION, Record},
        founding,
        id::TenantId,
        time::Time,
        token::text::Prefix,
    };

    const SYSTEM: TenantId = TenantId::from_bytes([1; 16]);
    const OTHER: TenantId = TenantId::from_bytes([2; 16]);

    fn directory() -> Directory {
        let mut directory = Directory::new();
        let genesis = founding::genesis(SYSTEM, "keys.test/log", [1; 32], Time::default()).unwrap();
        founding::apply_all(&mut directory, &genesis).unwrap();
        let prefix = Prefix::parse(b"acme").unwrap();
        append(&mut directory, OTHER, Event::TenantCreated { prefix });
        directory
    }

    fn append(directory: &mut Directory, tenant: TenantId, event: Event) {
        let record = Record {
            version: RECORD_VERSION,
            tenant,
            at: Time::default(),
            actor: Actor::Authority,
            request: None,
            aside: None,
            event,
        };
        directory.apply(directory.size(), &record).unwrap();
    }

    /// Decides, and applies what was decided.
    fn done(directory: &mut Directory, decision: Decision<()>) -> (Option<Refusal>, usize) {
        let count = decision.events.len();
        for event in decision.events {
            append(directory, SYSTEM, event);
        }
        (decision.outcome.err().map(|b| b.refusal), count)
    }

    fn operator() -> Authority {
        Authority::danger_founder(SYSTEM, Actor::Setup)
    }

    #[test]
    fn one_key_takes_over_from_another_and_there_is_never_none() {
        let mut d = directory();
        let conflict = (Some(Refusal::StateConflict), 0);
        let decided = retire(&operator(), &[1; 32], None, &d);
        assert_eq!(done(&mut d, decided), conflict, "the only key");
        for (key, due) in [(1, conflict), (2, (None, 1)), (3, conflict)] {
            let decided = add(&operator(), &[key; 32], &d);
            assert_eq!(done(&mut d, decided), due, "key {key}");
        }
        assert_eq!(d.log().signing().count(), SIGNING_MAX);
        let decided = retire(&operator(), &[9; 32], None, &d);
        assert_eq!(done(&mut d, decided), (Some(Refusal::NotFound), 0));
        for due in [(None, 1), (None, 0)] {
            let decided = retire(&operator(), &[1; 32], None, &d);
            assert_eq!(done(&mut d, decided), due);
        }
        let late = retire(&operator(), &[1; 32], Some(1), &d);
        assert_eq!(done(&mut d, late), conflict, "stolen, it is said too late");
        let again = add(&operator(), &[1; 32], &d);
        assert_eq!(done(&mut d, again), conflict, "what is retired never signs");
        let decided = add(&operator(), &[3; 32], &d);
        assert_eq!(done(&mut d, decided), (None, 1));
    }

    #[test]
    fn a_theft_lies_within_the_ledger() {
        let mut d = directory();
        let decided = add(&operator(), &[2; 32], &d);
        assert_eq!(done(&mut d, decided), (None, 1));
        let size = d.size();
        for (from, due) in [
            (size + 1, (Some(Refusal::FieldInvalid), 0)),
            (size, (None, 1)),
        ] {
            let decided = retire(&operator(), &[1; 32], Some(from), &d);
            assert_eq!(done(&mut d, decided), due, "from {from} of {size}");
        }
        let again = retire(&operator(), &[1; 32], Some(size), &d);
        assert_eq!(done(&mut d, again), (None, 0));
    }

    #[test]
    fn only_the_operator_changes_the_keys() {
        let mut d = directory();
        let admin = Authority::danger_founder(OTHER, Actor::Setup);
        for decided in [
            add(&admin, &[2; 32], &d),
            retire(&admin, &[1; 32], None, &d),
        ] {
            assert_eq!(done(&mut d, decided), (Some(Refusal::ScopeMissing), 0));
        }
    }
}
