//! One token in 64 bytes: a cache line. What is rare (rotation, a long history) stands beside.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use jeton_core::{
    id::TokenId,
    limit::{Limit, Metered},
    time::Time,
    token::{
        record::{Reason, State},
        text::Class,
    },
};

const SEQUENCE_BITS: u32 = 16;
/// The longest history that a slot counts by itself; what goes beyond is counted beside.
pub const SEQUENCE_MAX: u64 = (1 << SEQUENCE_BITS) - 1;

/// A slot of the slab.
#[repr(C, align(64))]
#[derive(Default)]
pub struct Slot {
    /// The first half of the digest, as two words.
    pub digest: [u64; 2],
    id: [u8; 16],
    /// The owner's slot in the directory; of an alias, the position of the token that it leads to.
    pub owner: u32,
    /// The number of its terms.
    pub terms: u32,
    /// In seconds; `u32::MAX`: never. Of an alias: when the overlap ends.
    expires_s: u32,
    last_used_s: AtomicU32,
    /// 48 bits of meter (or, once revoked, the second of revocation), 16 bits of history length.
    meter: AtomicU64,
    /// 48 bits of issue index, 2 of state, 3 of class, 3 of reason, 8 of pepper.
    word: u64,
}

const _: () = assert!(size_of::<Slot>() == 64);
/// How often a token's use is told to the store, in seconds.
const TOLD_EVERY_S: u32 = 900;

const ACTIVE: u64 = 0;
const SUSPENDED: u64 = 1;
const REVOKED: u64 = 2;
const ALIAS: u64 = 3;
/// The number that no class has: of a token that was forgotten.
const FORGOTTEN: u64 = 7 << 11;

impl Slot {
    /// A fresh slot for a token.
    #[must_use]
    pub fn new(id: TokenId, issued: u64, class: Class, pepper: u8) -> Self {
        let word = issued << 16 | u64::from(class.number()) << 11 | u64::from(pepper);
        Self {
            id: *id.bytes(),
            expires_s: u32::MAX,
            word,
            ..Self::default()
        }
    }

    /// A slot that leads from a replaced secret to its token, until the overlap ends.
    #[must_use]
    pub fn alias(id: TokenId, digest: [u64; 2], target: u32, until: Time, pepper: u8) -> Self {
        Self {
            digest,
            id: *id.bytes(),
            owner: target,
            expires_s: until.seconds(),
            word: ALIAS << 14 | u64::from(pepper),
            ..Self::default()
        }
    }

    /// The token's id.
    #[must_use]
    pub fn id(&self) -> TokenId {
        TokenId::from_bytes(self.id)
    }

    /// Of an alias: the position of the token, and when the overlap ends.
    #[must_use]
    pub fn leads_to(&self) -> Option<(u32, Time)> {
        (self.word >> 14 & 3 == ALIAS)
            .then(|| (self.owner, Time::from_seconds(self.expires_s.into())))
    }

    /// Forgets what it was: nothing finds it any more, and an alias that leads here leads nowhere.
    pub fn forget(&mut self) {
        self.blank();
        self.set_state(State::Revoked {
            at: Time::default(),
            reason: Reason::Unspecified,
        });
        self.word |= FORGOTTEN;
    }

    /// Makes an alias lead nowhere, since the token that it led to was forgotten.
    pub fn blank(&mut self) {
        // What the table hashes stays, so that the table can grow. It is half of what was compared, and opens nothing.
        let [_, second] = &mut self.digest;
        *second = 0;
        self.id = [0; 16];
    }

    /// Whether what it was is forgotten.
    #[must_use]
    pub fn is_forgotten(&self) -> bool {
        self.word & FORGOTTEN == FORGOTTEN && self.leads_to().is_none()
    }

    /// The ledger index of its issuance.
    #[must_use]
    pub fn issued(&self) -> u64 {
        self.word >> 16
    }

    /// What it is.
    #[must_use]
    pub fn class(&self) -> Class {
        let number = u8::try_from(self.word >> 11 & 7).unwrap_or_default();
        Class::from_number(number).unwrap_or(Class::Key)
    }

    /// The number of the pepper that keyed its digest.
    #[must_use]
    pub fn pepper(&self) -> u8 {
        u8::try_from(self.word & 0xff).unwrap_or_default()
    }

    /// Sets the digest, and the pepper that keyed it.
    pub fn set_digest(&mut self, digest: [u64; 2], pepper: u8) {
        self.digest = digest;
        self.word = self.word & !0xff | u64::from(pepper);
    }

    /// Where the token stands.
    #[must_use]
    pub fn state(&self) -> State {
        let reason = Reason::from_number(u8::try_from(self.word >> 8 & 7).unwrap_or_default());
        match self.word >> 14 & 3 {
            SUSPENDED => State::Suspended { reason },
            REVOKED => {
                let at = Time::from_seconds(self.meter.load(Relaxed) >> SEQUENCE_BITS);
                State::Revoked { at, reason }
            }
            _ => State::Active,
        }
    }

    /// Sets where the token stands.
    pub fn set_state(&mut self, state: State) {
        let (bits, reason) = match state {
            State::Active => (ACTIVE, Reason::Unspecified),
            State::Suspended { reason } => (SUSPENDED, reason),
            State::Revoked { at, reason } => {
                let meter = self.meter.get_mut();
                *meter = *meter & SEQUENCE_MAX | u64::from(at.seconds()) << SEQUENCE_BITS;
                (REVOKED, reason)
            }
        };
        self.word = self.word & !(3 << 14 | 7 << 8) | bits << 14 | u64::from(reason.number()) << 8;
    }

    /// When it ends; `None`: never.
    #[must_use]
    pub fn expires(&self) -> Option<Time> {
        (self.expires_s != u32::MAX).then(|| Time::from_seconds(self.expires_s.into()))
    }

    /// Sets when it ends.
    pub fn set_expires(&mut self, at: Option<Time>) {
        self.expires_s = at.map_or(u32::MAX, Time::seconds);
    }

    /// When it was last used, to the minute.
    #[must_use]
    pub fn last_used(&self) -> Option<Time> {
        let s = self.last_used_s.load(Relaxed);
        (s != 0).then(|| Time::from_seconds(s.into()))
    }

    /// Notes a use, to the minute. Says whether it is the first within a quarter of an hour: then it is worth telling the
    /// store, which a crash would otherwise leave behind by that much.
    pub fn used(&self, now_s: u32) -> bool {
        let before = self.last_used_s.load(Relaxed);
        if now_s < before.saturating_add(60) && before != 0 {
            return false;
        }
        // Two at once may both report: an observation may be told twice.
        self.last_used_s.store(now_s.max(before), Relaxed);
        before / TOLD_EVERY_S != now_s / TOLD_EVERY_S
    }

    /// Notes that it was used, or counts as used, at an instant, unless it was later too: to the second, and nobody is told.
    pub fn recall_use(&self, at: Time) {
        self.last_used_s.fetch_max(at.seconds(), Relaxed);
    }

    /// How many events it has had.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.meter.load(Relaxed) & SEQUENCE_MAX
    }

    /// Counts an event, up to [`SEQUENCE_MAX`].
    pub fn count_event(&mut self) {
        let meter = self.meter.get_mut();
        if *meter & SEQUENCE_MAX < SEQUENCE_MAX {
            *meter += 1;
        }
    }

    /// Meters one use against a limit; `now_us` counts from the index's own zero. At most two threads at once can pass
    /// where one should: never, since the meter moves by compare-and-swap.
    pub fn meter(&self, limit: Limit, now_us: u64) -> Metered {
        let mut seen = self.meter.load(Relaxed);
        loop {
            let verdict = limit.meter(seen >> SEQUENCE_BITS, now_us);
            let Metered::Within { tat, .. } = verdict else {
                return verdict;
            };
            let next = tat << SEQUENCE_BITS | seen & SEQUENCE_MAX;
            match self
                .meter
                .compare_exchange_weak(seen, next, Relaxed, Relaxed)
            {
                Ok(_) => return verdict,
                Err(now) => seen = now,
            }
        }
    }

    /// The slot's words, for a snapshot.
    #[must_use]
    pub fn to_words(&self) -> SlotWords {
        SlotWords {
            digest: self.digest,
            id: self.id,
            owner: self.owner,
            terms: self.terms,
            expires_s: self.expires_s,
            last_used_s: self.last_used_s.load(Relaxed),
            // A live meter counts from a zero that ends with the process; a revocation's second stays.
            meter: match self.word >> 14 & 3 {
                REVOKED => self.meter.load(Relaxed),
                _ => self.meter.load(Relaxed) & SEQUENCE_MAX,
            },
            word: self.word,
        }
    }

    /// A slot from a snapshot's words.
    #[must_use]
    pub fn from_words(words: &SlotWords) -> Self {
        Self {
            digest: words.digest,
            id: words.id,
            owner: words.owner,
            terms: words.terms,
            expires_s: words.expires_s,
            last_used_s: AtomicU32::new(words.last_used_s),
            meter: AtomicU64::new(words.meter),
            word: words.word,
        }
    }
}

/// The words of a slot at rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SlotWords {
    digest: [u64; 2],
    id: [u8; 16],
    owner: u32,
    terms: u32,
    expires_s: u32,
    last_used_s: u32,
    meter: u64,
    word: u64,
}

impl SlotWords {
    /// The length of a slot in a snapshot.
    pub const BYTES: usize = 64;

    /// Little-endian bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let words = self
            .digest
            .iter()
            .flat_map(|w| w.to_le_bytes())
            .chain(self.id);
        let words = words
            .chain(self.owner.to_le_bytes())
            .chain(self.terms.to_le_bytes())
            .chain(self.expires_s.to_le_bytes())
            .chain(self.last_used_s.to_le_bytes())
            .chain(self.meter.to_le_bytes())
            .chain(self.word.to_le_bytes());
        for (to, from) in out.iter_mut().zip(words) {
            *to = from;
        }
        out
    }

    /// From little-endian bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let u64_at = |at: usize| {
            let part = bytes.get(at..at + 8).and_then(|b| b.first_chunk());
            part.map(|b| u64::from_le_bytes(*b)).unwrap_or_default()
        };
        let u32_at = |at: usize| {
            let part = bytes.get(at..at + 4).and_then(|b| b.first_chunk());
            part.map(|b| u32::from_le_bytes(*b)).unwrap_or_default()
        };
        let id = bytes
            .get(16..32)
            .and_then(|b| b.first_chunk())
            .copied()
            .unwrap_or_default();
        Self {
            digest: [u64_at(0), u64_at(8)],
            id,
            owner: u32_at(32),
            terms: u32_at(36),
            expires_s: u32_at(40),
            last_used_s: u32_at(44),
            meter: u64_at(48),
            word: u64_at(56),
        }
    }
}
