//! Leaves without an opening, until the event comes that says it erased them: then each must be an event of a token that it names,
//! in its turn. The tags say so, and no tag can be made without the tenant's key. So whatever led an erasure astray, it takes no
//! event of another token with it that nobody misses.

use std::collections::{BTreeMap, HashMap};

use jeton_core::{
    event::Erasure,
    id::{TenantId, TokenId},
    leaf::{TagKey, token_tag},
};

/// A leaf without an opening.
struct Gap {
    tenant: TenantId,
    tag: Option<[u8; 32]>,
}

/// The leaves that are not explained yet.
#[derive(Default)]
pub(crate) struct Gaps {
    open: BTreeMap<u64, Gap>,
    /// How many events of erased tokens were come upon: a long history is named by several events.
    next: HashMap<TokenId, u64>,
}

impl Gaps {
    /// Notes a leaf of a tenant that has no opening.
    pub(crate) fn note(&mut self, index: u64, tenant: TenantId, leaf: &[u8]) {
        let tag = token_tag(leaf).copied();
        self.open.insert(index, Gap { tenant, tag });
    }

    /// Takes an event of a tenant that erased something. `known` tells how many events of a token had an opening.
    ///
    /// # Errors
    /// The first leaf that it names and that is no next event of its tokens.
    pub(crate) fn explain(
        &mut self,
        (tenant, key): (TenantId, &TagKey),
        erasure: &Erasure,
        known: impl Fn(TokenId) -> u64,
    ) -> Result<(), u64> {
        let Erasure::Openings { tokens, indexes } = erasure else {
            return Ok(());
        };
        let tag = |(token, number): (TokenId, u64)| key.token_tag(token.bytes(), number);
        let mut due = HashMap::with_capacity(tokens.len());
        for token in tokens {
            let number = self.next.get(token).copied();
            let event = (*token, number.unwrap_or_else(|| known(*token)));
            due.insert(tag(event), event);
        }
        for index in indexes {
            // What is named and still there is believed by what it says.
            let Some(gap) = self.open.get(index).filter(|gap| gap.tenant == tenant) else {
                continue;
            };
            let found = gap.tag.and_then(|tag| due.remove(&tag));
            let (token, number) = found.ok_or(*index)?;
            self.open.remove(index);
            let event = (token, number + 1);
            due.insert(tag(event), event);
        }
        self.next.extend(due.into_values());
        Ok(())
    }

    /// The first leaf that no event has explained.
    pub(crate) fn first(&self) -> Option<u64> {
        self.open.first_key_value().map(|(index, _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use jeton_core::{leaf::LEAF_BYTES, time::Time};

    use super::*;

    const TENANT: TenantId = TenantId::from_bytes([2; 16]);

    fn token(n: u8) -> TokenId {
        TokenId::from_draw(Time::from_seconds(1_800_000_000), [n; 10])
    }

    fn key() -> TagKey {
        TagKey::new(&[5; 32])
    }

    fn leaf(of: TokenId, number: u64) -> [u8; LEAF_BYTES] {
        let mut leaf = [0; LEAF_BYTES];
        leaf[42..74].copy_from_slice(&key().token_tag(of.bytes(), number));
        leaf
    }

    fn erased(tokens: &[u8], indexes: &[u64]) -> Erasure {
        Erasure::Openings {
            tokens: tokens.iter().map(|n| token(*n)).collect(),
            indexes: indexes.to_vec(),
        }
    }

    /// Gaps at 10, 11, … with these tokens and numbers.
    fn gaps(of: &[(u8, u64)]) -> Gaps {
        let mut gaps = Gaps::default();
        for (index, (n, number)) in (10..).zip(of) {
            gaps.note(index, TENANT, &leaf(token(*n), *number));
        }
        gaps
    }

    #[test]
    fn each_gap_is_the_next_event_of_a_token_that_is_named() {
        let none = |_| 0;
        let explain = |of: &[(u8, u64)], tokens: &[u8], known: &dyn Fn(TokenId) -> u64| {
            let indexes: Vec<u64> = (10..).take(of.len()).collect();
            let mut gaps = gaps(of);
            let told = gaps.explain((TENANT, &key()), &erased(tokens, &indexes), known);
            assert_eq!(gaps.first(), told.err());
            told
        };
        assert_eq!(explain(&[(1, 0), (2, 0), (1, 1)], &[1, 2], &none), Ok(()));
        // Another token's, nobody's, one too early, one twice.
        assert_eq!(explain(&[(1, 0), (3, 1)], &[1, 2], &none), Err(11));
        assert_eq!(explain(&[(1, 0)], &[], &none), Err(10));
        assert_eq!(explain(&[(1, 0), (1, 2)], &[1], &none), Err(11));
        assert_eq!(explain(&[(1, 0), (1, 0)], &[1], &none), Err(11));
        // Behind events that are known.
        assert_eq!(explain(&[(1, 2), (1, 3)], &[1], &|_| 2), Ok(()));
        assert_eq!(explain(&[(1, 0)], &[1], &|_| 2), Err(10));
    }

    #[test]
    fn a_history_goes_on_in_the_next_event_and_another_tenant_explains_nothing() {
        let mut gaps = gaps(&[(1, 0), (1, 1), (1, 2)]);
        let other = TenantId::from_bytes([3; 16]);
        gaps.explain((other, &key()), &erased(&[1], &[10, 11, 12]), |_| 0)
            .unwrap();
        assert_eq!(gaps.first(), Some(10));
        // After the first event the token is forgotten: only what was noted here says how far it was.
        gaps.explain((TENANT, &key()), &erased(&[1], &[10, 11]), |_| 0)
            .unwrap();
        assert_eq!(gaps.first(), Some(12));
        gaps.explain((TENANT, &key()), &erased(&[1], &[12]), |_| 0)
            .unwrap();
        assert_eq!(gaps.first(), None);
    }
}
