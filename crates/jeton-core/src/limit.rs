//! Rate limits by GCRA: pure arithmetic on one number, the theoretical arrival time.
//!
//! The limiter is a leaky bucket as a meter (ITU-T I.371 §A): `count` requests may come at once, then one each
//! `window / count`.

use minicbor::{Decode, Encode};

/// The most requests that a limit can name.
pub const COUNT_MAX: u32 = 1_000_000;
/// The longest window, in seconds.
pub const WINDOW_S_MAX: u32 = 86_400;

/// So many requests in so many seconds.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Limit {
    #[n(0)]
    count: u32,
    #[n(1)]
    window_s: u32,
}

/// The answer for one request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Metered {
    /// Within the limit; the meter now stands at `tat`.
    Within {
        /// The next theoretical arrival time, in microseconds of the caller's clock.
        tat: u64,
        /// How many more may come right now.
        remaining: u32,
    },
    /// Beyond it; the meter stays.
    Beyond {
        /// Microseconds until one more would be within.
        retry_us: u64,
    },
}

impl Limit {
    /// A limit of `count` (1 to 1,000,000) in `window_s` seconds (1 to 86,400).
    #[must_use]
    pub fn new(count: u32, window_s: u32) -> Option<Self> {
        let legal = (1..=COUNT_MAX).contains(&count) && (1..=WINDOW_S_MAX).contains(&window_s);
        legal.then_some(Self { count, window_s })
    }

    /// How many.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.count
    }

    /// In how many seconds.
    #[must_use]
    pub const fn window_s(self) -> u32 {
        self.window_s
    }

    fn interval_us(self) -> u64 {
        (u64::from(self.window_s) * 1_000_000 / u64::from(self.count)).max(1)
    }

    /// Meters one request: `tat` is where the meter stands (0 at first), `now` the same clock, in microseconds.
    #[must_use]
    pub fn meter(self, tat: u64, now: u64) -> Metered {
        let interval = self.interval_us();
        let burst = interval * u64::from(self.count);
        // A meter further ahead than a full bucket is a clock that went back: it costs one bucket, not more.
        let next = tat.clamp(now, now + burst) + interval;
        match (now + burst).checked_sub(next) {
            Some(left) => Metered::Within {
                tat: next,
                remaining: u32::try_from(left / interval).unwrap_or(u32::MAX),
            },
            None => Metered::Beyond {
                retry_us: next - now - burst,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_bucket_comes_at_once_and_then_one_each_interval() {
        let limit = Limit::new(3, 3).unwrap();
        let (mut tat, now) = (0, 1_000_000_000);
        for left in [2, 1, 0] {
            let Metered::Within { tat: t, remaining } = limit.meter(tat, now) else {
                panic!()
            };
            assert_eq!(remaining, left);
            tat = t;
        }
        assert_eq!(
            limit.meter(tat, now),
            Metered::Beyond {
                retry_us: 1_000_000
            }
        );
        assert_eq!(
            limit.meter(tat, now + 999_999),
            Metered::Beyond { retry_us: 1 }
        );
        assert!(matches!(
            limit.meter(tat, now + 1_000_000),
            Metered::Within { remaining: 0, .. }
        ));
    }

    #[test]
    fn the_bounds_are_kept() {
        assert!(Limit::new(0, 1).is_none() && Limit::new(1, 0).is_none());
        assert!(Limit::new(COUNT_MAX, WINDOW_S_MAX).is_some());
        assert!(
            Limit::new(COUNT_MAX + 1, 1).is_none() && Limit::new(1, WINDOW_S_MAX + 1).is_none()
        );
    }

    proptest! {
        /// The law of the meter: in any window, at most two buckets; and from rest, never more than one bucket at once.
        #[test]
        fn never_more_than_the_bucket_and_its_refill(
            count in 1..50u32, window in 1..20u32, steps in prop::collection::vec(0..2_000_000u64, 1..200),
        ) {
            let limit = Limit::new(count, window).unwrap();
            let (mut tat, start) = (0, 10_000_000_000u64);
            let (mut now, mut admitted) = (start, 0u64);
            for step in steps {
                now += step;
                if let Metered::Within { tat: t, .. } = limit.meter(tat, now) {
                    tat = t;
                    admitted += 1;
                }
            }
            let refill = (now - start) / limit.interval_us();
            prop_assert!(admitted <= u64::from(count) + refill);
        }
    }
}
