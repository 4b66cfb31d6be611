//! Erasing: what must not be kept goes by an event that names every index. Words go once their subject is deleted, those beside what
//! it did itself a day later; the openings of a token go once it has been dead for a day.

use crate::{
    api::own,
    authority::Authority,
    decision::Decision,
    directory::{Directory, REQUEST_MEMORY},
    event::{Actor, ERASED_MAX, Erasure, Event, Record},
    id::{TenantId, TokenId},
    refusal::{Blame, Refusal},
    subject::{Standing, SubjectId},
    time::{Span, Time},
    token::record::{State, TokenRecord},
};

/// How long a token must have been dead, and nothing have happened to it: so long a repeated request may name one of its events.
/// And how long a subject must have been deleted before it is forgotten from where it acted: whoever deletes it, to cover what it
/// did, has others look at it first.
pub const DEAD_FOR: Span = REQUEST_MEMORY;
/// The most events that one command erases: the writer does nothing else meanwhile.
pub const AT_ONCE_MAX: usize = 16 * ERASED_MAX;

/// Words that shall go, as they were found beside the writer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// In whose trail they lie.
    pub place: TenantId,
    /// Beside which events, in ascending order. None is legal, and asks whether the subject's words may go.
    pub indexes: Vec<u64>,
    /// Whether the subject did some of it itself: when it was deleted, as the event says.
    pub did: Option<Time>,
}

/// Erases words beside events about a subject, about its tokens, and of what it did itself.
///
/// Whoever runs the deployment acts in all tenants, so a subject of the system tenant has words in all of them.
pub fn words(
    authority: &Authority,
    subject: SubjectId,
    found: &Found,
    directory: &Directory,
    now: Time,
) -> Decision<()> {
    let Found {
        place,
        indexes,
        did,
    } = found;
    let decide = || {
        if !authority.holds(own::SUBJECTS_WRITE) {
            return Err(Refusal::ScopeMissing.into());
        }
        let tenant = authority.tenant();
        let known = directory.subject(tenant, subject);
        let standing = known.ok_or(Refusal::NotFound)?.standing;
        if *place != tenant && directory.system() != Some(tenant) {
            return Err(Refusal::NotFound.into());
        }
        if standing != Standing::Deleted {
            return Err(conflict(None, "delete it first: it could go on acting"));
        }
        if did.is_some_and(|deleted| !may_go(Concern::Did, Some(deleted), now)) {
            let rule = "it was deleted less than 24 hours ago: what it did stays for so long";
            return Err(conflict(None, rule));
        }
        bounded(indexes.len())?;
        let named = indexes.chunks(ERASED_MAX).map(|some| Erasure::Words {
            subject,
            indexes: some.to_vec(),
        });
        Ok(((), named.map(Event::Erased).collect()))
    };
    decide().into()
}

/// How the words beside an event concern a subject.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Concern {
    /// The event is about it, or about one of its tokens.
    About,
    /// It did it itself.
    Did,
}

/// Whether words may go that concern a subject, which was `deleted` then, if anybody knows.
#[must_use]
pub fn may_go(concern: Concern, deleted: Option<Time>, now: Time) -> bool {
    match concern {
        Concern::About => true,
        Concern::Did => deleted.is_some_and(|at| at.after(DEAD_FOR) <= now),
    }
}

/// When an event deleted a subject, if it did.
#[must_use]
pub fn deleted(record: &Record, subject: SubjectId) -> Option<Time> {
    let deleted = matches!(
        record.event,
        Event::SubjectStanding { subject: whom, after: Standing::Deleted, .. } if whom == subject
    );
    deleted.then_some(record.at)
}

/// Whether the words beside an event concern a subject: it did it itself, or the event is about it or a token that it `owns`.
#[must_use]
pub fn concerns(
    record: &Record,
    subject: SubjectId,
    owns: impl Fn(TokenId) -> bool,
) -> Option<Concern> {
    if matches!(record.actor, Actor::Token { subject: by, .. } if by == subject) {
        return Some(Concern::Did);
    }
    // Beside an erasure lie the words of whoever ordered it. They stay, or each erasure would call for the next.
    let erasure = matches!(record.event, Event::Erased(_));
    let about = !erasure && record.event.about(record.tenant) == *subject.bytes();
    (about || record.event.token().is_some_and(owns)).then_some(Concern::About)
}

/// A token that shall go, as it is at the moment of the decision, and where its events lie.
pub struct Traced {
    /// The token.
    pub token: TokenRecord,
    /// How many events it has had.
    pub events: u64,
    /// Where they lie, as was found out before.
    pub trace: Trace,
}

/// Where the events of a token lie. Whoever makes one has read in each record, as the authority sealed it, that it is this
/// token's: an opening of another token that went with these could bring that one back to life.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trace {
    /// Their indexes, in ascending order.
    pub indexes: Vec<u64>,
    /// When the last of them was decided.
    pub last: Time,
}

/// Erases all openings of tokens that are dead: afterwards nobody knows them. All go, or none.
///
/// It is for whoever manages the tokens of everybody, and not for whoever manages its own or may only end some: with a token
/// goes what it was good for, and a holder could cover its tracks.
pub fn openings(authority: &Authority, dead: &[Traced], now: Time) -> Decision<()> {
    let decide = || {
        if !authority.holds(own::TOKENS_WRITE) {
            return Err(Refusal::ScopeMissing.into());
        }
        for (at, traced) in dead.iter().enumerate() {
            gone(authority, traced, &format!("tokens[{at}]"), now)?;
        }
        bounded(dead.iter().map(|t| t.trace.indexes.len()).sum())?;
        Ok(((), packed(dead)))
    };
    decide().into()
}

/// Whether a token may go.
fn gone(authority: &Authority, traced: &Traced, field: &str, now: Time) -> Result<(), Blame> {
    let Traced {
        token,
        events,
        trace,
    } = traced;
    if token.tenant != authority.tenant() {
        let rule = "no such token in the tenant";
        return Err(Blame::field(Refusal::NotFound, field, rule));
    }
    let ended = match token.state {
        State::Revoked { at, .. } => Some(at),
        State::Active | State::Suspended { .. } => token.expires.filter(|at| now >= *at),
    };
    let ended =
        ended.ok_or_else(|| conflict(Some(field), "the token is alive: revoke it first"))?;
    if ended.max(trace.last).after(DEAD_FOR) > now {
        let rule = "the token ended, or was changed, less than 24 hours ago";
        return Err(conflict(Some(field), rule));
    }
    // What has come since the trace was taken would be left behind, and explain nothing.
    if u64::try_from(trace.indexes.len()) != Ok(*events) {
        return Err(conflict(
            Some(field),
            "the token changed meanwhile: try again",
        ));
    }
    Ok(())
}

/// Each event names events and the tokens whose they are, so that their leaves can be held against the tags of these. A history that
/// is longer than one event can name takes several: they are stored together or not at all.
fn packed(dead: &[Traced]) -> Vec<Event> {
    let mut packed = Vec::new();
    let mut tokens: Vec<TokenId> = Vec::new();
    let mut indexes: Vec<u64> = Vec::new();
    for Traced { token, trace, .. } in dead {
        if indexes.len() + trace.indexes.len() > ERASED_MAX {
            packed.extend(named(&mut tokens, &mut indexes));
        }
        let mut rest = trace.indexes.as_slice();
        while let Some((some, more)) = rest.split_at_checked(ERASED_MAX)
            && !more.is_empty()
        {
            packed.extend(named(&mut vec![token.id], &mut some.to_vec()));
            rest = more;
        }
        tokens.push(token.id);
        indexes.extend_from_slice(rest);
    }
    packed.extend(named(&mut tokens, &mut indexes));
    packed
}

fn named(tokens: &mut Vec<TokenId>, indexes: &mut Vec<u64>) -> Option<Event> {
    if indexes.is_empty() {
        return None;
    }
    let tokens = core::mem::take(tokens);
    let mut indexes = core::mem::take(indexes);
    indexes.sort_unstable();
    Some(Event::Erased(Erasure::Openings { tokens, indexes }))
}

/// That more would go at once than [`AT_ONCE_MAX`].
#[must_use]
pub fn too_many() -> Blame {
    Blame {
        refusal: Refusal::TooMany,
        field: None,
        rule: Some(format!("at most {AT_ONCE_MAX} events at once")),
    }
}

fn bounded(events: usize) -> Result<(), Blame> {
    if events <= AT_ONCE_MAX {
        Ok(())
    } else {
        Err(too_many())
    }
}

fn conflict(field: Option<&str>, rule: &str) -> Blame {
    Blame {
        refusal: Refusal::StateConflict,
        field: field.map(str::to_owned),
        rule: Some(rule.to_owned()),
    }
}

#[cfg(test)]
mod tests;
