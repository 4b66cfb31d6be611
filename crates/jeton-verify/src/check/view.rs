//! The way from a token's text to a verdict, on one state of index and directory: alone, and in a batch.

use std::collections::HashMap;

use jeton_core::{
    check::{
        judge::{Facts, Refused, judge},
        question::Question,
    },
    directory::Directory,
    limit::{Limit, Metered},
    refusal::Refusal,
    token::{digest::Digest, rehash::Rehash, text::TokenText},
};

use super::{Denied, Now, Passed, Peppers};
use crate::{index::Index, record::Slot};

/// So many checks of a batch go side by side.
pub(super) const AT_ONCE: usize = 16;

/// A token's text with what keys it, hashed.
pub(super) struct Presented<'a> {
    token: TokenText<'a>,
    own: &'a Peppers,
    digest: Digest,
}

impl<'a> Presented<'a> {
    pub(super) fn new(token: TokenText<'a>, own: &'a Peppers) -> Self {
        Self {
            token,
            own,
            digest: own.current.1.digest(&token),
        }
    }
}

/// The index and the directory, as they are together.
pub(super) struct View<'a> {
    pub(super) index: &'a Index,
    pub(super) directory: &'a Directory,
}

impl View<'_> {
    pub(super) fn check(
        &self,
        presented: &Presented<'_>,
        question: &Question<'_>,
        now: Now,
    ) -> Result<Passed, Denied> {
        let Presented { token, own, digest } = presented;
        if let Some(position) = self.index.find(digest) {
            return self.decide(position, question, now);
        }
        let (from, previous) = own.previous.as_ref().ok_or(Refusal::TokenUnknown)?;
        let position = self
            .index
            .find(&previous.digest(token))
            .ok_or(Refusal::TokenUnknown)?;
        let passed = self.decide(position, question, now)?;
        // A replaced secret stays as it is: it ends soon.
        let rehash = passed.replaced_until.is_none().then(|| Rehash {
            generation: self.index.generation(position),
            from: *from,
            pepper: own.current.0,
            digest: *digest,
        });
        Ok(Passed { rehash, ..passed })
    }

    /// Each step of the way fetches memory for all of a group before the next step needs it: while one digest is computed, the
    /// table's entry for the one before is on its way.
    pub(super) fn check_group(
        &self,
        peppers: &HashMap<u64, Peppers>,
        asked: &[(&str, Question<'_>)],
        now: Now,
        mut answer: impl FnMut(usize, Result<Passed, Denied>),
    ) {
        let unknown = Denied::from(Refusal::TokenUnknown);
        let mut known = [const { None }; AT_ONCE];
        for (slot, (text, _)) in known.iter_mut().zip(asked) {
            *slot = Some(
                TokenText::parse(text)
                    .map_err(Denied::from)
                    .and_then(|token| {
                        let own = peppers.get(&token.prefix().as_u64()).ok_or(unknown)?;
                        let presented = Presented::new(token, own);
                        self.index.begin(&presented.digest);
                        Ok(presented)
                    }),
            );
        }
        for presented in known.iter().flatten().flatten() {
            self.index.begin_slot(&presented.digest);
        }
        for presented in known.iter().flatten().flatten() {
            self.index.begin_decision(&presented.digest);
        }
        for (n, (known, (_, question))) in known.iter().flatten().zip(asked).enumerate() {
            let verdict = match known {
                Ok(presented) => self.check(presented, question, now),
                Err(denied) => Err(*denied),
            };
            answer(n, verdict);
        }
    }

    pub(super) fn decide(
        &self,
        position: u32,
        question: &Question<'_>,
        now: Now,
    ) -> Result<Passed, Denied> {
        let lost = Denied::from(Refusal::TokenUnknown);
        let presented = self.index.slot(position).ok_or(lost)?;
        let (at, slot, replaced_until) = match presented.leads_to() {
            None => (position, presented, None),
            Some((target, until)) => {
                let slot = self.index.slot(target).filter(|s| !s.is_forgotten());
                (target, slot.ok_or(lost)?, Some(until))
            }
        };
        let (owner, tenant) = self.index.owners().get(slot.owner).ok_or(lost)?;
        let tenant = self.directory.tenant_at(tenant).ok_or(lost)?;
        let kept = self.index.terms(slot.terms).ok_or(lost)?;
        let mut token = kept.held(slot, replaced_until);
        if !kept.brief.is_plain() {
            let replaced = replaced_until.is_some();
            token.unwitnessed = self.index.awaits_witness(at, &kept.terms, replaced);
        }
        let facts = Facts {
            token,
            tenant,
            owner,
            directory: self.directory,
        };
        let denied = |refused: Refused| Denied {
            refused,
            // A foreign tenant's token proves nothing here.
            token: (tenant.id == question.tenant).then(|| slot.id()),
            limit: None,
        };
        let allowed = judge(&facts, question, now.time).map_err(|refused| {
            if tenant.id == question.tenant {
                denied(refused)
            } else {
                lost
            }
        })?;
        let limit = meter(slot, kept.brief.limit(), now).map_err(|retry_us| Denied {
            limit: kept.brief.limit(),
            ..denied(Refused {
                retry_us,
                ..Refusal::LimitExceeded.into()
            })
        })?;
        Ok(Passed {
            token: slot.id(),
            class: slot.class(),
            subject: owner.id,
            scopes: allowed.scopes(),
            expires: slot.expires(),
            replaced_until,
            limit,
            observe: slot.used(now.time.seconds()),
            rehash: None,
        })
    }
}

/// Meters one use: the limit and what is left of it, or how long to wait.
fn meter(slot: &Slot, limit: Option<Limit>, now: Now) -> Result<Option<(Limit, u32)>, u64> {
    let Some(limit) = limit else {
        return Ok(None);
    };
    match slot.meter(limit, now.meter_us) {
        Metered::Within { remaining, .. } => Ok(Some((limit, remaining))),
        Metered::Beyond { retry_us } => Err(retry_us),
    }
}
