//! Rehashing: the digest of a secret under a younger pepper takes the place of the one under the older, on its first use since.
//!
//! A check makes the digest, and the writer hears of it later. Meanwhile the secret may have been replaced, because it leaked: so
//! the check says which secret it saw, and what is late changes nothing.

use crate::{
    decision::Decision,
    event::Event,
    token::{
        digest::Digest,
        record::{State, TokenRecord},
    },
};

/// A token's newest secret, as a check found it under the older pepper.
#[derive(Clone, Copy, Debug)]
pub struct Rehash {
    /// How many secrets the token had had before this one.
    pub generation: u32,
    /// The number of the pepper that it was found under.
    pub from: u8,
    /// The number of the younger pepper.
    pub pepper: u8,
    /// The digest of the presented text under the younger pepper.
    pub digest: Digest,
}

/// Renews the digest of a token's newest secret, if that is still the one that was seen, and still as it was kept then. Anything
/// else changes nothing: the secret was replaced, the token was revoked, another check was faster.
pub fn rehash(token: &TokenRecord, seen: &Rehash) -> Decision<()> {
    let live = match token.state {
        State::Active | State::Suspended { .. } => true,
        State::Revoked { .. } => false,
    };
    let same = token.generation == seen.generation && token.pepper == seen.from;
    if !live || !same {
        return Decision::yes((), Vec::new());
    }
    let event = Event::TokenRehashed {
        token: token.id,
        digest: seen.digest,
        pepper: seen.pepper,
    };
    Decision::yes((), vec![event])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        founding,
        id::{Id, TokenId},
        policy::Inclusion,
        subject::SubjectId,
        time::Time,
        token::{
            record::{Reason, Terms},
            text::Class,
        },
    };

    const BORN: Time = Time::from_seconds(1_700_000_000);

    fn token() -> TokenRecord {
        let event = Event::TokenIssued {
            token: TokenId::from_draw(BORN, [9; 10]),
            class: Class::Key,
            subject: SubjectId::App(Id::from_bytes([3; 16])),
            digest: Digest::from_bytes([1; 32]),
            pepper: 4,
            terms: Terms {
                permit: founding::admin_permit(false),
                limit: None,
                idle: None,
                lifetime_max: None,
                inclusion: Inclusion::Logged,
            },
            expires: None,
        };
        TokenRecord::issued(7, Id::from_bytes([2; 16]), &event).unwrap()
    }

    const SEEN: Rehash = Rehash {
        generation: 0,
        from: 4,
        pepper: 5,
        digest: Digest::from_bytes([2; 32]),
    };

    #[test]
    fn only_the_secret_that_was_seen_is_hashed_anew_and_once() {
        let mut token = token();
        let events = rehash(&token, &SEEN).events;
        let [event @ Event::TokenRehashed { digest, pepper, .. }] = events.as_slice() else {
            panic!("{events:?}")
        };
        assert_eq!((digest, *pepper), (&SEEN.digest, 5));
        token.apply(BORN, event).unwrap();
        // The same use was told twice.
        assert_eq!(rehash(&token, &SEEN).events, []);
    }

    #[test]
    fn what_happened_meanwhile_is_not_undone() {
        let id = token().id;
        let rotated = |pepper| Event::TokenRotated {
            token: id,
            generation: 1,
            digest: Digest::from_bytes([3; 32]),
            pepper,
            overlap_until: BORN,
            expires: None,
        };
        let revoked = Event::TokenRevoked {
            token: id,
            reason: Reason::Leaked,
        };
        // Whichever pepper keyed the new secret.
        for event in [rotated(4), rotated(5), revoked] {
            let mut token = token();
            token.apply(BORN, &event).unwrap();
            assert_eq!(rehash(&token, &SEEN).events, [], "{event:?}");
        }
        // A suspended token may be resumed, and then its secret shall be known.
        let mut token = token();
        let reason = Reason::Leaked;
        let suspended = Event::TokenSuspended { token: id, reason };
        token.apply(BORN, &suspended).unwrap();
        assert_eq!(rehash(&token, &SEEN).events.len(), 1);
    }
}
