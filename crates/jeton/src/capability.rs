//! The one file that reads the clock, draws entropy and looks at the environment. All else gets them as values.

#![expect(clippy::disallowed_methods, reason = "this is the one file that may")]

use std::{
    ffi::OsString,
    sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use jeton_core::{
    id::{Id, Kind},
    time::{Span, Time},
    token::text::TextDraw,
};
use jeton_verify::check::Now;

/// A step of wall time against the boot clock beyond this is an alarm, and is not followed at once.
const STEP_MS_MAX: i64 = 60_000;
/// How fast smaller differences are followed: one millisecond in a hundred.
const SLEW: i64 = 100;

/// The node's clock: wall time at start plus the boot clock, slewed towards wall time.
pub struct Clock {
    start: Instant,
    boot_start_us: u64,
    wall_start_ms: u64,
    /// What is added to wall time at start plus boot time, in milliseconds.
    offset_ms: AtomicI64,
    last_slew_ms: AtomicU64,
}

impl Clock {
    /// A clock that starts now.
    #[must_use]
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            boot_start_us: boot_us(),
            wall_start_ms: wall_ms(),
            offset_ms: AtomicI64::new(0),
            last_slew_ms: AtomicU64::new(0),
        }
    }

    /// Wall time, as far as it can be believed.
    #[must_use]
    pub fn time(&self) -> Time {
        let told = self
            .steady_ms()
            .saturating_add_signed(self.offset_ms.load(Relaxed));
        Time::from_millis(told)
    }

    fn steady_ms(&self) -> u64 {
        self.wall_start_ms + self.since_start_us() / 1000
    }

    fn since_start_us(&self) -> u64 {
        boot_us().saturating_sub(self.boot_start_us)
    }

    /// The instant of a check, from one reading of the boot clock.
    #[must_use]
    pub fn now(&self) -> Now {
        let meter_us = self.since_start_us();
        let told = (self.wall_start_ms + meter_us / 1000)
            .saturating_add_signed(self.offset_ms.load(Relaxed));
        Now {
            time: Time::from_millis(told),
            meter_us,
        }
    }

    /// Follows wall time a little. Call it about once a second; a jump of more than a minute is returned as an alarm, in
    /// milliseconds, and not followed.
    pub fn slew(&self) -> Option<i64> {
        let steady = self.steady_ms();
        let wall = i64::try_from(wall_ms()).unwrap_or(i64::MAX);
        let told = i64::try_from(steady).unwrap_or(i64::MAX) + self.offset_ms.load(Relaxed);
        let difference = wall - told;
        let since = steady
            .saturating_sub(self.last_slew_ms.swap(steady, Relaxed))
            .min(10_000);
        if difference.abs() > STEP_MS_MAX {
            return Some(difference);
        }
        let most = i64::try_from(since).unwrap_or(0) / SLEW;
        self.offset_ms
            .fetch_add(difference.clamp(-most, most), Relaxed);
        None
    }

    /// Puts it forward, as if so much time had passed: for tests of what days bring.
    pub fn danger_advance(&self, by: Span) {
        let ms = i64::try_from(by.as_seconds().saturating_mul(1000)).unwrap_or(i64::MAX);
        self.offset_ms.fetch_add(ms, Relaxed);
    }

    /// Time since the clock started, for measuring work.
    #[must_use]
    pub fn elapsed(&self) -> core::time::Duration {
        self.start.elapsed()
    }
}

fn wall_ms() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Microseconds since the machine started, suspension included.
fn boot_us() -> u64 {
    let ts = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let (s, ns) = (
        u64::try_from(ts.tv_sec).unwrap_or(0),
        u64::try_from(ts.tv_nsec).unwrap_or(0),
    );
    s * 1_000_000 + ns / 1000
}

/// An instant for measuring, on the monotonic clock.
#[must_use]
pub fn stopwatch() -> impl Fn() -> core::time::Duration {
    let start = Instant::now();
    move || start.elapsed()
}

/// Entropy from the operating system's CSPRNG.
///
/// A machine that cannot give entropy must not make tokens: the process ends.
#[must_use]
pub fn draw<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        tracing::error!(
            "no entropy can be drawn: nothing can be issued safely, so the process ends"
        );
        std::process::abort();
    }
    bytes
}

/// Entropy for the text of a token.
#[must_use]
pub fn draw_text() -> TextDraw {
    TextDraw(draw())
}

/// A new id.
#[must_use]
pub fn draw_id<K: Kind>(now: Time) -> Id<K> {
    Id::from_draw(now, draw())
}

/// An environment variable. Secrets never come this way.
#[must_use]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// An environment variable that names a path.
#[must_use]
pub fn environment_path(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}
