//! Erasing the words beside a subject's events, and the openings of dead tokens. Where they lie is found beside the writer; what
//! goes is decided in it.

use std::{ops::Range, sync::Arc};

use jeton_core::{
    decision::Decision,
    erase::{self, Trace, Traced},
    event::{ERASED_MAX, Event, Record},
    id::{TenantId, TokenId},
    leaf::{TagKey, decided_at, token_tag},
    refusal::{Blame, Refusal},
    subject::SubjectId,
};
use jeton_store::{Reader, StoreError};
use jeton_verify::check::Verifier;

use crate::{
    app::{Ctx, Words, authority, simple},
    node::{
        start::Node,
        writer::{Purpose, Ruling},
    },
};

/// So many events of a trail are read at once.
const PAGE: u32 = 512;

/// What was erased.
#[derive(Clone, Copy, Debug)]
pub struct Erased {
    /// Beside so many events words went, or so many openings.
    pub events: u64,
    /// The ledger's size after it.
    pub size: u64,
}

/// Erases the words beside events about a deleted subject, beside its tokens', and beside what it did itself; and from where its
/// tokens were used. To erase again is no error, and erases what has come since.
///
/// The trail is read beside the writer, from its end back to the subject's first event, and what was found goes in portions. What
/// is appended meanwhile is not lost: each pass is followed by one over what came during it, until one finds nothing. Little can
/// come: the subject was deleted before the first pass began, as the writer said, so it does nothing any more; it has no more
/// uses, since the writer keeps none of a deleted owner; and its name cannot be set anew. Others may still end its tokens, with
/// words of their own beside that. A pass that is broken off leaves what it has not come to for the next order.
///
/// # Errors
/// The rule's [`Blame`].
pub async fn words(ctx: &Ctx, subject: SubjectId) -> Result<Erased, Blame> {
    let node = &ctx.node;
    let _one = node.erasing.lock().await;
    let mut size = erase_words(ctx, subject, ctx.tenant, Vec::new()).await?;
    let (mut events, mut born) = (0, 0);
    for place in places(ctx) {
        let mut from = born;
        loop {
            let to = node.verifier.size();
            let walked = pass(ctx, subject, place, from..to).await?;
            born = walked.born.unwrap_or(born);
            (events, size) = (events + walked.events, size.max(walked.size));
            if walked.events == 0 {
                break;
            }
            from = to;
        }
    }
    forget_uses(node, subject).await?;
    Ok(Erased { events, size })
}

/// In whose trails a caller's subjects can have words: its own tenant's first. The operator acts in all.
fn places(ctx: &Ctx) -> Vec<TenantId> {
    let directory = ctx.node.verifier.directory();
    let operates = directory.system() == Some(ctx.tenant);
    let all = directory.tenants().map(|t| t.id);
    let others = all.filter(|id| operates && *id != ctx.tenant);
    core::iter::once(ctx.tenant).chain(others).collect()
}

/// What a pass over a trail came upon.
#[derive(Default)]
struct Walked {
    events: u64,
    size: u64,
    /// The index of the subject's first event: nothing of it lies before.
    born: Option<u64>,
}

async fn pass(
    ctx: &Ctx,
    subject: SubjectId,
    place: TenantId,
    range: Range<u64>,
) -> Result<Walked, Blame> {
    let mut walked = Walked::default();
    let (mut before, mut found) = (range.end, Vec::new());
    loop {
        let page = page(&ctx.node, subject, place, before).await?;
        found.extend(page.found.into_iter().filter(|i| *i >= range.start));
        walked.born = page.born;
        let next = page.last.filter(|last| *last > range.start);
        let next = next.filter(|_| page.born.is_none());
        let full = found.len() + usize::try_from(PAGE).unwrap_or(usize::MAX) > ERASED_MAX;
        if (full || next.is_none()) && !found.is_empty() {
            walked.events += u64::try_from(found.len()).unwrap_or_default();
            let mut indexes = core::mem::take(&mut found);
            indexes.reverse();
            walked.size = erase_words(ctx, subject, place, indexes).await?;
        }
        match next {
            Some(next) => before = next,
            None => return Ok(walked),
        }
    }
}

/// A page of a trail, youngest first.
struct Page {
    /// Events with words that shall go.
    found: Vec<u64>,
    /// The oldest event that was looked at.
    last: Option<u64>,
    /// The subject's first event.
    born: Option<u64>,
}

async fn page(
    node: &Arc<Node>,
    subject: SubjectId,
    place: TenantId,
    before: u64,
) -> Result<Page, Blame> {
    let verifier = Arc::clone(&node.verifier);
    let read = node.read(move |reader| {
        let trail = reader.trail(place, Some(before), PAGE)?;
        let mut page = Page {
            found: Vec::new(),
            last: trail.last().map(|t| t.index),
            born: None,
        };
        for line in trail {
            let read = minicbor::decode::<Record>(&line.record);
            let record = read.map_err(|_| wrong("event", "record", line.index))?;
            let concerns = erase::concerns(&record, subject, |id| owns(&verifier, subject, id));
            if concerns && line.words.is_some() {
                page.found.push(line.index);
            }
            if is_first(&record, subject) {
                page.born = Some(line.index);
                break;
            }
        }
        Ok(page)
    });
    read.await.map_err(|error| unreadable(&error))
}

fn owns(verifier: &Verifier, subject: SubjectId, token: TokenId) -> bool {
    verifier.record(token).is_some_and(|t| t.subject == subject)
}

fn is_first(record: &Record, subject: SubjectId) -> bool {
    let created = matches!(
        record.event,
        Event::UserCreated { .. } | Event::AppCreated { .. }
    );
    created && record.event.about(record.tenant) == *subject.bytes()
}

async fn erase_words(
    ctx: &Ctx,
    subject: SubjectId,
    place: TenantId,
    indexes: Vec<u64>,
) -> Result<u64, Blame> {
    let (token, words) = (ctx.token, Words::of(ctx).to_json());
    let submitted = ctx.node.writer.submit(Purpose::Grow, move |facts| {
        let authority = match authority(facts, token) {
            Ok(authority) => authority,
            Err(blame) => return Ruling::no(place, blame),
        };
        Ruling {
            tenant: place,
            actor: authority.actor(),
            request: None,
            words,
            decision: erase::words(&authority, subject, place, &indexes, facts.directory),
        }
    });
    submitted.await.map(|done| done.size)
}

async fn forget_uses(node: &Node, subject: SubjectId) -> Result<(), Blame> {
    let slot = node.verifier.directory().subject_slot(subject);
    let tokens: Vec<TokenId> = node.verifier.with_index(|index| {
        let of = slot.into_iter().flat_map(|slot| index.of_owner(slot));
        of.collect()
    });
    for some in tokens.chunks(ERASED_MAX) {
        node.writer.forget_uses(some.to_vec()).await?;
    }
    Ok(())
}

/// Erases all openings of tokens of the caller's tenant that have been dead for a day: nobody knows them any more. All go, or none.
///
/// # Errors
/// [`Refusal::NotFound`], or the rule's [`Blame`].
pub async fn openings(ctx: &Ctx, tokens: &[TokenId]) -> Result<Erased, Blame> {
    let node = &ctx.node;
    // Nothing else is erased between reading and deciding.
    let _one = node.erasing.lock().await;
    let mut traced = Vec::with_capacity(tokens.len());
    let mut events = 0;
    for (at, token) in tokens.iter().enumerate() {
        let known = node.verifier.record(*token);
        known
            .filter(|t| t.tenant == ctx.tenant)
            .ok_or_else(|| nobody(at))?;
        events += node.verifier.with_index(|index| index.sequence(*token));
        // What would be refused for its length is not even read.
        if usize::try_from(events).is_ok_and(|n| n <= erase::AT_ONCE_MAX) {
            traced.push((*token, trace(node, ctx.tenant, *token, at).await?));
        } else {
            return Err(erase::too_many());
        }
    }
    let size = simple(
        ctx,
        Purpose::Grow,
        Words::of(ctx),
        move |facts, authority| {
            let mut dead = Vec::with_capacity(traced.len());
            for (at, (id, trace)) in traced.into_iter().enumerate() {
                let Some(token) = facts.token(id) else {
                    return Decision::no(nobody(at));
                };
                let events = facts.events_of(id);
                dead.push(Traced {
                    token,
                    events,
                    trace,
                });
            }
            erase::openings(authority, &dead, facts.now)
        },
    );
    let size = size.await?;
    Ok(Erased { events, size })
}

fn nobody(at: usize) -> Blame {
    let rule = "no such token in the tenant";
    Blame::field(Refusal::NotFound, format!("tokens[{at}]"), rule)
}

async fn trace(
    node: &Arc<Node>,
    tenant: TenantId,
    token: TokenId,
    at: usize,
) -> Result<Trace, Blame> {
    let key = node.keyring.tag_key(tenant).ok_or(Refusal::Unavailable)?;
    let read = node.read(move |reader| traced(reader, &key, tenant, token));
    let trace = read.await.map_err(|error| unreadable(&error))?;
    trace.ok_or_else(|| nobody(at))
}

/// Follows a token's history back, and holds each leaf against the token's tag of its number: rows that lead elsewhere would make
/// an erasure take what keeps another token dead.
fn traced(
    reader: &mut dyn Reader,
    key: &TagKey,
    tenant: TenantId,
    token: TokenId,
) -> Result<Option<Trace>, StoreError> {
    let Some(newest) = reader.token_event(tenant, token)? else {
        return Ok(None);
    };
    let mut indexes = vec![newest];
    let mut from = newest;
    loop {
        // The first of each page is the last of the one before.
        let trail = reader.history(tenant, from, PAGE)?;
        let older = trail.iter().map(|t| t.index).filter(|i| *i < from);
        let known = indexes.len();
        indexes.extend(older);
        match indexes.last() {
            Some(oldest) if indexes.len() > known => from = *oldest,
            Some(_) | None => break,
        }
    }
    indexes.reverse();
    let mut last = None;
    for (sequence, index) in (0u64..).zip(&indexes) {
        let leaves = reader.leaves(*index, 1)?;
        let leaf = leaves.first().map(Vec::as_slice).unwrap_or_default();
        if token_tag(leaf) != Some(&key.token_tag(token.bytes(), sequence)) {
            return Err(wrong("trail", "previous", *index));
        }
        last = decided_at(leaf);
    }
    Ok(last.map(|last| Trace { indexes, last }))
}

fn wrong(table: &'static str, column: &'static str, index: u64) -> StoreError {
    StoreError::Inconsistent {
        table,
        column,
        row: index.to_string(),
    }
}

fn unreadable(error: &StoreError) -> Blame {
    let cause = core::error::Error::source(error).map(ToString::to_string);
    tracing::error!(%error, cause, "what shall be erased could not be found");
    Refusal::Internal.into()
}
