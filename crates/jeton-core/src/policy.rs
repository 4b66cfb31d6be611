//! What a tenant allows for each class of tokens: lifetimes, idleness, permanence, a default limit.

use minicbor::{Decode, Encode};

use crate::{
    limit::Limit,
    refusal::{Blame, Refusal},
    time::{Span, Time},
    token::text::Class,
};

/// The shortest idle expiry: last-used times survive a crash only to the minute.
pub const IDLE_MIN: Span = Span::DAY;
/// The longest lifetime that a policy can name: 20 years.
pub const LIFETIME_MAX: Span = Span::days(7305);

/// Whether a class may have tokens without an end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(index_only)]
pub enum Permanence {
    /// No.
    #[n(0)]
    Refused,
    /// Yes, when the order says so and the caller holds `jeton:tokens:permanent`.
    #[n(1)]
    Explicit,
}

/// What the ledger must show before a token authenticates.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Inclusion {
    /// Its issuance is in the ledger: true of every token there is.
    #[default]
    Logged,
    /// Its issuance lies below a checkpoint that the witnesses of the policy have cosigned. Revocation never waits.
    Witnessed,
}

impl Inclusion {
    /// The word in orders and answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Logged => "logged",
            Self::Witnessed => "witnessed",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Logged, Self::Witnessed]
            .into_iter()
            .find(|i| i.as_str() == text)
    }
}

/// Only what differs from the default is written: bytes of older ledgers keep their meaning and their hash.
impl<C> Encode<C> for Inclusion {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.u8(u8::from(*self == Self::Witnessed))?;
        Ok(())
    }

    fn is_nil(&self) -> bool {
        *self == Self::Logged
    }
}

impl<'b, C> Decode<'b, C> for Inclusion {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        match d.u8()? {
            1 => Ok(Self::Witnessed),
            _ => Err(minicbor::decode::Error::message("no such inclusion")),
        }
    }

    fn nil() -> Option<Self> {
        Some(Self::Logged)
    }
}

/// The policy of one class.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct ClassPolicy {
    /// The lifetime of a token whose order names none.
    #[n(0)]
    pub lifetime_default: Span,
    /// The longest lifetime that an order may name.
    #[n(1)]
    pub lifetime_max: Span,
    /// Unused for so long, a token stops working.
    #[n(2)]
    pub idle: Option<Span>,
    /// Whether tokens without an end may be ordered.
    #[n(3)]
    pub permanence: Permanence,
    /// The limit of a token whose order names none.
    #[n(4)]
    pub limit: Option<Limit>,
    /// The longest overlap of a rotation.
    #[n(5)]
    pub overlap_max: Span,
    /// What the ledger must show before a token of it authenticates.
    #[n(6)]
    pub inclusion: Inclusion,
}

/// The lifetime that an order names.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Lifetime {
    /// As the policy says.
    #[default]
    Default,
    /// So long from now.
    For(Span),
    /// Until this second.
    Until(Time),
    /// Without an end.
    Permanent,
}

impl ClassPolicy {
    /// What applies until a tenant says otherwise.
    #[must_use]
    pub const fn built_in(class: Class) -> Self {
        let (default_days, max_days, permanence) = match class {
            Class::Key => (365, 1827, Permanence::Explicit),
            Class::Pat => (30, 366, Permanence::Refused),
            Class::Svc => (90, 366, Permanence::Explicit),
            Class::Pub => (365, 1827, Permanence::Explicit),
            Class::Acc | Class::Ref | Class::Sec => (1, 1, Permanence::Refused),
        };
        Self {
            lifetime_default: Span::days(default_days),
            lifetime_max: Span::days(max_days),
            idle: None,
            permanence,
            limit: None,
            overlap_max: Span::days(30),
            inclusion: Inclusion::Logged,
        }
    }

    /// Checks that the policy makes sense in itself.
    pub fn sound(&self) -> Result<(), Blame> {
        let bad = |field: &str, rule: &str| Err(Blame::field(Refusal::FieldInvalid, field, rule));
        if self.lifetime_max > LIFETIME_MAX || self.lifetime_max < Span::seconds(1) {
            return bad(
                "lifetime_max_s",
                "must be between 1 and 631152000 seconds (20 years)",
            );
        }
        if self.lifetime_default > self.lifetime_max || self.lifetime_default < Span::seconds(1) {
            return bad("lifetime_default_s", "must be between 1 and lifetime_max_s");
        }
        if self
            .idle
            .is_some_and(|idle| idle < IDLE_MIN || idle > LIFETIME_MAX)
        {
            return bad("idle_s", "must be at least 86400 seconds (one day)");
        }
        if self.overlap_max > Span::days(366) {
            return bad(
                "overlap_max_s",
                "must be at most 31622400 seconds (366 days)",
            );
        }
        Ok(())
    }

    /// When a token ordered now for `lifetime` ends; `None`: never.
    pub fn expiry(
        &self,
        lifetime: Lifetime,
        given_max: Option<Span>,
        now: Time,
    ) -> Result<Option<Time>, Blame> {
        let now = now.whole_second();
        let max = given_max.map_or(self.lifetime_max, |given| given.min(self.lifetime_max));
        let too_long = || {
            let rule = format!(
                "at most {} seconds for this class and caller",
                max.as_seconds()
            );
            Err(Blame::field(Refusal::LifetimeTooLong, "lifetime", rule))
        };
        match lifetime {
            Lifetime::Default => Ok(Some(now.after(self.lifetime_default.min(max)))),
            Lifetime::For(span) if span > max => too_long(),
            Lifetime::For(span) if span.as_seconds() == 0 => Err(Blame::field(
                Refusal::FieldInvalid,
                "lifetime_s",
                "must be at least 1 second",
            )),
            Lifetime::For(span) => Ok(Some(now.after(span))),
            Lifetime::Until(at) if at > now.after(max) => too_long(),
            Lifetime::Until(at) if at <= now => Err(Blame::field(
                Refusal::FieldInvalid,
                "expires_at",
                "must lie in the future",
            )),
            Lifetime::Until(at) => Ok(Some(at.whole_second())),
            Lifetime::Permanent
                if self.permanence == Permanence::Refused || given_max.is_some() =>
            {
                Err(Blame::field(
                    Refusal::PermanentRefused,
                    "permanent",
                    "the policy of the class, or the caller's own, wants an end",
                ))
            }
            Lifetime::Permanent => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_each_boundary() {
        let now = Time::from_seconds(1000);
        let policy = ClassPolicy::built_in(Class::Pat);
        let max = policy.lifetime_max;
        let beyond = Span::seconds(max.as_seconds() + 1);
        assert_eq!(
            policy.expiry(Lifetime::For(max), None, now),
            Ok(Some(now.after(max)))
        );
        assert!(policy.expiry(Lifetime::For(beyond), None, now).is_err());
        assert_eq!(
            policy.expiry(Lifetime::Until(now.after(max)), None, now),
            Ok(Some(now.after(max)))
        );
        assert!(
            policy
                .expiry(Lifetime::Until(now.after(beyond)), None, now)
                .is_err()
        );
        assert!(policy.expiry(Lifetime::Until(now), None, now).is_err());
        assert!(policy.expiry(Lifetime::Permanent, None, now).is_err());
        let key = ClassPolicy::built_in(Class::Key);
        assert_eq!(key.expiry(Lifetime::Permanent, None, now), Ok(None));
        assert!(
            key.expiry(Lifetime::Permanent, Some(Span::DAY), now)
                .is_err()
        );
        assert_eq!(
            key.expiry(Lifetime::Default, Some(Span::DAY), now),
            Ok(Some(now.after(Span::DAY)))
        );
    }
}
