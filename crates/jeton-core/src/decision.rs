//! What a rule returns: the answer and the events. A "no" may have consequences too, so this is not a `Result`.

use crate::{event::Event, refusal::Blame};

/// The outcome of a command, and what it changes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Decision<T> {
    /// What the caller is told, once the events are stored.
    pub outcome: Result<T, Blame>,
    /// What changes, in order; may be empty.
    pub events: Vec<Event>,
}

impl<T> Decision<T> {
    /// Yes, and this changes.
    pub fn yes(outcome: T, events: Vec<Event>) -> Self {
        Self {
            outcome: Ok(outcome),
            events,
        }
    }

    /// No, and nothing changes.
    pub fn no(blame: impl Into<Blame>) -> Self {
        Self {
            outcome: Err(blame.into()),
            events: Vec::new(),
        }
    }
}

impl<T> From<Result<(T, Vec<Event>), Blame>> for Decision<T> {
    fn from(result: Result<(T, Vec<Event>), Blame>) -> Self {
        match result {
            Ok((outcome, events)) => Self::yes(outcome, events),
            Err(blame) => Self::no(blame),
        }
    }
}
