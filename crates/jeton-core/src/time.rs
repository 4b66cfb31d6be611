//! Instants and spans as values: a rule is told the time, it never asks.

use minicbor::{Decode, Encode};

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Encode, Decode)]
#[cbor(transparent)]
pub struct Time(#[n(0)] u64);

impl Time {
    /// The latest instant that fits a record: the last second that a `u32` can name (2106-02-07).
    pub const MAX: Self = Self(4_294_967_294_000);

    /// From milliseconds since the epoch, cut off at [`Time::MAX`].
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        if ms > Self::MAX.0 {
            Self::MAX
        } else {
            Self(ms)
        }
    }

    /// From whole seconds since the epoch, cut off at [`Time::MAX`].
    #[must_use]
    pub const fn from_seconds(s: u64) -> Self {
        Self::from_millis(s.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down. Fits `u32` by [`Time::MAX`].
    #[must_use]
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0 / 1000).unwrap_or(u32::MAX - 1)
    }

    /// This instant and `span` more, cut off at [`Time::MAX`].
    #[must_use]
    pub const fn after(self, span: Span) -> Self {
        Self::from_millis(self.0.saturating_add(span.0.saturating_mul(1000)))
    }

    /// The same instant, cut to its whole second: what a record can hold.
    #[must_use]
    pub const fn whole_second(self) -> Self {
        Self(self.0 - self.0 % 1000)
    }
}

/// A length of time in whole seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Encode, Decode)]
#[cbor(transparent)]
pub struct Span(#[n(0)] u64);

impl Span {
    /// One minute.
    pub const MINUTE: Self = Self(60);
    /// One hour.
    pub const HOUR: Self = Self(3600);
    /// One day of 86,400 seconds.
    pub const DAY: Self = Self(86_400);

    /// From seconds.
    #[must_use]
    pub const fn seconds(s: u64) -> Self {
        Self(s)
    }

    /// So many days.
    #[must_use]
    pub const fn days(n: u64) -> Self {
        Self(n.saturating_mul(86_400))
    }

    /// The length in seconds.
    #[must_use]
    pub const fn as_seconds(self) -> u64 {
        self.0
    }
}
