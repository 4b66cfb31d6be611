//! Quorums: whether enough have cosigned, and how much a quorum is worth.
//!
//! Groups are a tree: nobody is a member twice, so each witness counts in one way. What a quorum is
//! worth follows from that tree by counting, without looking at every set of witnesses.

use super::{Policy, PolicyWitness};

/// The safe thresholds of flat groups: with `n` witnesses, the fewest `k` that must cosign.
///
/// Row `i` is for `n = i + 1`. Safe means `k > 2n/3`: if `k` witnesses are honest and all others
/// collude with the log, two quorums still share an honest witness, who cosigns no fork.
pub const SAFE_QUORUMS: [(usize, usize); 10] = [
    (1, 1),
    (2, 2),
    (3, 3),
    (4, 3),
    (5, 4),
    (6, 5),
    (7, 5),
    (8, 6),
    (9, 7),
    (10, 7),
];

/// The fewest of `witnesses` that must cosign for a flat group to be safe: more than two thirds.
#[must_use]
pub const fn safe_quorum(witnesses: usize) -> usize {
    witnesses.saturating_mul(2) / 3 + 1
}

/// A witness or a group, by its place in the policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Member {
    Witness(usize),
    Group(usize),
}

/// `needed` of `members`; they were all defined before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) name: String,
    pub(super) needed: usize,
    pub(super) members: Vec<Member>,
}

/// Whom the policy asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quorum {
    /// `quorum none`: nobody, so that a log's own word is enough.
    Nobody,
    Of(Member),
}

impl Quorum {
    const fn member(self) -> Option<Member> {
        match self {
            Self::Nobody => None,
            Self::Of(member) => Some(member),
        }
    }
}

/// What a quorum is worth, by counting witnesses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Strength {
    /// How many witnesses the quorum looks at.
    pub witnesses: usize,
    /// The fewest witnesses that are a quorum.
    pub smallest: usize,
    /// The fewest witnesses that two quorums share: so many colluding ones suffice for a split.
    /// For `k` of `n` that is `2k - n`.
    pub overlap: usize,
    /// The fewest witnesses whose silence stops the log's heads from being believed.
    pub blocking: usize,
}

impl Strength {
    /// Whether two quorums share an honest witness, even if no more are honest than the smallest
    /// quorum has: for `k` of `n`, whether `k > 2n/3`.
    #[must_use]
    pub const fn is_safe(&self) -> bool {
        self.overlap > self.witnesses.saturating_sub(self.smallest)
    }

    const WITNESS: Self = Self {
        witnesses: 1,
        smallest: 1,
        overlap: 1,
        blocking: 1,
    };
}

impl Policy {
    /// What the quorum is worth; `None` for `quorum none`.
    #[must_use]
    pub fn strength(&self) -> Option<Strength> {
        self.quorum.member().map(|member| self.strength_of(member))
    }

    fn strength_of(&self, member: Member) -> Strength {
        let Some(group) = self.group(member) else {
            return Strength::WITNESS;
        };
        let parts: Vec<Strength> = group.members.iter().map(|m| self.strength_of(*m)).collect();
        let (n, k) = (parts.len(), group.needed);
        // The cheapest way to have `count` members, each at its own price.
        let least = |count: usize, price: fn(&Strength) -> usize| {
            let mut prices: Vec<usize> = parts.iter().map(price).collect();
            prices.sort_unstable();
            prices.iter().take(count).sum()
        };
        Strength {
            witnesses: parts.iter().map(|part| part.witnesses).sum(),
            smallest: least(k, |part| part.smallest),
            overlap: least((2 * k).saturating_sub(n), |part| part.overlap),
            blocking: least((n + 1).saturating_sub(k), |part| part.blocking),
        }
    }

    /// What is missing for a quorum, in words; `None` if it is met.
    pub(super) fn missing(&self, cosigned: &impl Fn(&PolicyWitness) -> bool) -> Option<String> {
        self.missing_of(self.quorum.member()?, cosigned)
    }

    fn missing_of(
        &self,
        member: Member,
        cosigned: &impl Fn(&PolicyWitness) -> bool,
    ) -> Option<String> {
        let Some(group) = self.group(member) else {
            let witness = self.witness(member)?;
            return (!cosigned(witness)).then(|| witness.name().to_owned());
        };
        let parts = group.members.iter();
        let open: Vec<String> = parts
            .filter_map(|part| self.missing_of(*part, cosigned))
            .collect();
        let met = group.members.len() - open.len();
        let more = group.needed.saturating_sub(met);
        let words = || format!("{more} more of {} in {}", open.join(", "), group.name);
        (more > 0).then(words)
    }

    /// Which witnesses the quorum looks at.
    pub(super) fn counted(&self) -> Vec<&PolicyWitness> {
        let mut counted = Vec::new();
        let mut open: Vec<Member> = self.quorum.member().into_iter().collect();
        while let Some(member) = open.pop() {
            counted.extend(self.witness(member));
            let group = self.group(member);
            open.extend(group.into_iter().flat_map(|group| &group.members));
        }
        counted
    }

    fn group(&self, member: Member) -> Option<&Group> {
        match member {
            Member::Group(at) => self.groups.get(at),
            Member::Witness(_) => None,
        }
    }

    fn witness(&self, member: Member) -> Option<&PolicyWitness> {
        match member {
            Member::Witness(at) => self.witnesses.get(at),
            Member::Group(_) => None,
        }
    }
}
