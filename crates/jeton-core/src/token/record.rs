//! A token as the rules see it: a value loaded from the index (or built by replay), never from a row.

use std::sync::Arc;

use minicbor::{Decode, Encode};

use crate::{
    directory::Inapplicable,
    event::Event,
    id::{TenantId, TokenId},
    limit::Limit,
    permit::Permit,
    policy::Inclusion,
    subject::SubjectId,
    time::{Span, Time},
    token::text::Class,
};

/// The terms on which a token was given: equal terms are kept once, however many tokens share them.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Terms {
    /// What it may use and give, and when.
    #[n(0)]
    pub permit: Permit,
    /// How often it may be used.
    #[n(1)]
    pub limit: Option<Limit>,
    /// Unused for so long, it stops working. One day at least.
    #[n(2)]
    pub idle: Option<Span>,
    /// The longest life that its giver could grant: its own renewals keep to it.
    #[n(3)]
    pub lifetime_max: Option<Span>,
    /// What the ledger must show before it authenticates.
    #[n(4)]
    pub inclusion: Inclusion,
}

/// Why a token was ended or suspended, in one word.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Reason {
    /// No reason was given.
    #[n(0)]
    Unspecified,
    /// The secret is known to somebody else.
    #[n(1)]
    Leaked,
    /// Replaced by another token.
    #[n(2)]
    Superseded,
    /// The holder does not need it any more.
    #[n(3)]
    Unneeded,
    /// The owner left.
    #[n(4)]
    OwnerLeft,
    /// Misuse.
    #[n(5)]
    Abuse,
    /// Whoever holds the secret ended it.
    #[n(6)]
    Holder,
    /// Not used for longer than the policy allows.
    #[n(7)]
    Idle,
}

impl Reason {
    /// Every reason, at its number.
    pub const ALL: &'static [Self] = &[
        Self::Unspecified,
        Self::Leaked,
        Self::Superseded,
        Self::Unneeded,
        Self::OwnerLeft,
        Self::Abuse,
        Self::Holder,
        Self::Idle,
    ];

    /// The word in answers and orders.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unspecified => "unspecified",
            Self::Leaked => "leaked",
            Self::Superseded => "superseded",
            Self::Unneeded => "unneeded",
            Self::OwnerLeft => "owner_left",
            Self::Abuse => "abuse",
            Self::Holder => "holder",
            Self::Idle => "idle",
        }
    }

    /// A small number, for compact records.
    #[must_use]
    pub fn number(self) -> u8 {
        Self::ALL
            .iter()
            .position(|r| *r == self)
            .and_then(|n| u8::try_from(n).ok())
            .unwrap_or(0)
    }

    /// The reason at a small number.
    #[must_use]
    pub fn from_number(n: u8) -> Self {
        Self::ALL
            .get(usize::from(n))
            .copied()
            .unwrap_or(Self::Unspecified)
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|r| r.as_str() == text)
    }
}

/// Where a token stands, apart from what time alone decides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It works, within its window and its owner's rights.
    Active,
    /// It does not work until it is resumed.
    Suspended {
        /// Why.
        reason: Reason,
    },
    /// It never works again.
    Revoked {
        /// Since when.
        at: Time,
        /// Why.
        reason: Reason,
    },
}

/// What the rules know of one token.
#[derive(Clone, Debug)]
pub struct TokenRecord {
    /// Its name.
    pub id: TokenId,
    /// Whose API it is for.
    pub tenant: TenantId,
    /// What it is.
    pub class: Class,
    /// To whom it belongs.
    pub subject: SubjectId,
    /// On which terms.
    pub terms: Arc<Terms>,
    /// The ledger index of its issuance.
    pub issued: u64,
    /// The first second at which it is no longer good; `None`: permanent.
    pub expires: Option<Time>,
    /// Where it stands.
    pub state: State,
    /// When it was last used, as far as the node knows; being resumed counts as a use where idleness ends it.
    pub last_used: Option<Time>,
    /// How often its secret was replaced.
    pub generation: u32,
    /// The number of the pepper that keyed the digest of its newest secret.
    pub pepper: u8,
    /// Until when the secret before this one is good too.
    pub overlap_until: Option<Time>,
    /// Its terms want it witnessed, and the secret that it was found by is not yet; its newest, where it was found by id.
    pub unwitnessed: bool,
}

impl TokenRecord {
    /// The record that an issuance makes; `None` for any other event.
    #[must_use]
    pub fn issued(index: u64, tenant: TenantId, event: &Event) -> Option<Self> {
        let Event::TokenIssued {
            token,
            class,
            subject,
            pepper,
            terms,
            expires,
            ..
        } = event
        else {
            return None;
        };
        Some(Self {
            id: *token,
            tenant,
            class: *class,
            subject: *subject,
            terms: Arc::new(terms.clone()),
            issued: index,
            expires: *expires,
            state: State::Active,
            last_used: None,
            generation: 0,
            pepper: *pepper,
            overlap_until: None,
            unwitnessed: terms.inclusion == Inclusion::Witnessed,
        })
    }

    /// Applies a later event about this token, stored at `at`. The same function serves the batch, the index and replay.
    ///
    /// # Errors
    /// [`Inapplicable`] where the event does not fit: revocation is final, and nothing follows it but itself.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the event's token was compared first"
    )]
    pub fn apply(&mut self, at: Time, event: &Event) -> Result<(), Inapplicable> {
        if event.token() != Some(self.id) {
            return Ok(());
        }
        if matches!(self.state, State::Revoked { .. }) {
            return Err(Inapplicable("something follows a token's revocation"));
        }
        match event {
            Event::TokenChanged {
                after: (terms, expires),
                ..
            } => {
                self.terms = Arc::new(terms.clone());
                self.expires = *expires;
            }
            Event::TokenSuspended { reason, .. } => {
                self.state = State::Suspended { reason: *reason }
            }
            Event::TokenResumed { .. } => {
                self.state = State::Active;
                if self.terms.idle.is_some() {
                    // Or it would be idle again at once.
                    self.last_used = self.last_used.max(Some(at.whole_second()));
                }
            }
            Event::TokenRotated {
                generation,
                pepper,
                overlap_until,
                expires,
                ..
            } => {
                if *generation != self.generation + 1 {
                    return Err(Inapplicable("a rotation skips a generation"));
                }
                self.generation = *generation;
                self.pepper = *pepper;
                self.overlap_until = Some(*overlap_until);
                self.expires = *expires;
                self.unwitnessed = self.terms.inclusion == Inclusion::Witnessed;
            }
            Event::TokenRehashed { pepper, .. } => self.pepper = *pepper,
            Event::TokenRevoked { reason, .. } => {
                self.state = State::Revoked {
                    at: at.whole_second(),
                    reason: *reason,
                };
            }
            Event::TokenIssued { .. } => return Err(Inapplicable("a token is issued twice")),
            // Only events that name a token reach this place.
            _ => {}
        }
        Ok(())
    }

    /// Whether it has expired at `now`.
    #[must_use]
    pub fn expired(&self, now: Time) -> bool {
        self.expires.is_some_and(|at| now >= at)
    }

    /// Whether it is ended for good at `now`: revoked or expired.
    #[must_use]
    pub fn ended(&self, now: Time) -> bool {
        matches!(self.state, State::Revoked { .. }) || self.expired(now)
    }
}
