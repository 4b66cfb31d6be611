//! Erasing the words beside a subject's events, and the openings of dead tokens. Where they lie is found beside the writer; what
//! goes is decided in it.

use std::{ops::Range, sync::Arc};

use jeton_core::{
    decision::Decision,
    erase::{self, Concern, Found, Trace, Traced},
    event::{ERASED_MAX, Event, Record},
    id::{TenantId, TokenId},
    leaf::token_tag,
    refusal::{Blame, Refusal},
    subject::SubjectId,
    time::Time,
};
use jeton_store::{Reader, StoreError};
use jeton_verify::check::Verifier;

use crate::{
    app::{Ctx, Words, authority, simple},
    node::{
        keyring::Keyring,
        start::Node,
        writer::{Purpose, Ruling},
    },
};

mod sealed;

use sealed::sealed;

/// So many events of a trail are read at once.
const PAGE: u32 = 512;

/// What was erased.
#[derive(Clone, Copy, Debug)]
pub struct Erased {
    /// Beside so many events words went, or so many openings.
    pub events: u64,
    /// Beside so many more words stay: the subject did it itself, and was deleted less than a day ago.
    pub kept: u64,
    /// The ledger's size after it.
    pub size: u64,
}

/// Erases the words beside events about a deleted subject, beside its tokens', and, a day after it was deleted, beside what it did
/// itself; and from where its tokens were used. To erase again is no error, and erases what has come since.
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
    let nothing = Found {
        place: ctx.tenant,
        indexes: Vec::new(),
        did: None,
    };
    let mut walked = Walked {
        size: erase_words(ctx, subject, nothing).await?,
        ..Walked::default()
    };
    for place in places(ctx) {
        let mut from = walked.born;
        loop {
            let (to, before) = (node.verifier.size(), walked.events);
            pass(ctx, subject, (place, from..to), &mut walked).await?;
            if walked.events == before {
                break;
            }
            from = to;
        }
    }
    forget_uses(node, subject).await?;
    let Walked {
        events, kept, size, ..
    } = walked;
    Ok(Erased { events, kept, size })
}

/// In whose trails a caller's subjects can have words: its own tenant's first. The operator acts in all.
fn places(ctx: &Ctx) -> Vec<TenantId> {
    let directory = ctx.node.verifier.directory();
    let operates = directory.system() == Some(ctx.tenant);
    let all = directory.tenants().map(|t| t.id);
    let others = all.filter(|id| operates && *id != ctx.tenant);
    core::iter::once(ctx.tenant).chain(others).collect()
}

/// What the passes came upon.
#[derive(Default)]
struct Walked {
    events: u64,
    kept: u64,
    size: u64,
    /// The index of the subject's first event: nothing of it lies before.
    born: u64,
    /// When the subject was deleted. Its own trail is read first, and from its end: so it is known before anything that the
    /// subject did.
    deleted: Option<Time>,
}

async fn pass(
    ctx: &Ctx,
    subject: SubjectId,
    (place, range): (TenantId, Range<u64>),
    walked: &mut Walked,
) -> Result<(), Blame> {
    let (mut before, mut found) = (range.end, Vec::new());
    loop {
        let page = page(&ctx.node, subject, place, before).await?;
        walked.born = page.born.unwrap_or(walked.born);
        walked.deleted = walked.deleted.or(page.deleted);
        let now = ctx.node.clock.time();
        for (index, concern) in page.found {
            if index < range.start {
                continue;
            }
            if erase::may_go(concern, walked.deleted, now) {
                found.push((index, concern));
            } else {
                walked.kept += 1;
            }
        }
        let next = page.last.filter(|last| *last > range.start);
        let next = next.filter(|_| page.born.is_none());
        let full = found.len() + usize::try_from(PAGE).unwrap_or(usize::MAX) > ERASED_MAX;
        if (full || next.is_none()) && !found.is_empty() {
            walked.events += u64::try_from(found.len()).unwrap_or_default();
            let found = named(place, core::mem::take(&mut found), walked.deleted);
            walked.size = erase_words(ctx, subject, found).await?;
        }
        match next {
            Some(next) => before = next,
            None => return Ok(()),
        }
    }
}

/// What was found, youngest first, as the rule takes it.
fn named(place: TenantId, found: Vec<(u64, Concern)>, deleted: Option<Time>) -> Found {
    let did = found.iter().any(|(_, concern)| *concern == Concern::Did);
    Found {
        place,
        indexes: found.into_iter().rev().map(|(index, _)| index).collect(),
        did: deleted.filter(|_| did),
    }
}

/// A page of a trail, youngest first.
#[derive(Default)]
struct Page {
    /// Events with words that shall go.
    found: Vec<(u64, Concern)>,
    /// The oldest event that was looked at.
    last: Option<u64>,
    /// The subject's first event.
    born: Option<u64>,
    /// When it was deleted.
    deleted: Option<Time>,
}

async fn page(
    node: &Arc<Node>,
    subject: SubjectId,
    place: TenantId,
    before: u64,
) -> Result<Page, Blame> {
    let (verifier, keyring) = (Arc::clone(&node.verifier), Arc::clone(&node.keyring));
    let read = node.read(move |reader| {
        let trail = reader.trail(place, Some(before), PAGE)?;
        let mut page = Page {
            last: trail.last().map(|t| t.index),
            ..Page::default()
        };
        for line in trail {
            let read = minicbor::decode::<Record>(&line.record);
            let record = read.map_err(|_| wrong("event", "record", line.index))?;
            let concern = erase::concerns(&record, subject, |id| owns(&verifier, subject, id));
            let Some(concern) = concern else {
                continue;
            };
            // Who can write rows must not choose whose words go.
            let record = sealed(reader, keyring.seal_key(), place, line.index)?.record;
            if line.words.is_some() {
                page.found.push((line.index, concern));
            }
            page.deleted = page.deleted.or(erase::deleted(&record, subject));
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

async fn erase_words(ctx: &Ctx, subject: SubjectId, found: Found) -> Result<u64, Blame> {
    let place = found.place;
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
            decision: erase::words(&authority, subject, &found, facts.directory, facts.now),
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
    Ok(Erased {
        events,
        kept: 0,
        size: size.await?,
    })
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
    let keyring = Arc::clone(&node.keyring);
    let read = node.read(move |reader| traced(reader, &keyring, tenant, token));
    let trace = read.await.map_err(|error| unreadable(&error))?;
    trace.ok_or_else(|| nobody(at))
}

/// Follows a token's history back, and holds each leaf against the token's tag of its number: rows that lead elsewhere would make
/// an erasure take what keeps another token dead.
fn traced(
    reader: &mut dyn Reader,
    keyring: &Keyring,
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
    let key = keyring.tag_key(tenant);
    let mut last = None;
    for (sequence, index) in (0u64..).zip(&indexes) {
        let event = sealed(reader, keyring.seal_key(), tenant, *index)?;
        let tag = key
            .as_ref()
            .map(|key| key.token_tag(token.bytes(), sequence));
        let tagged = tag.is_some() && token_tag(&event.leaf) == tag.as_ref();
        if !tagged || event.record.event.token() != Some(token) {
            return Err(wrong("trail", "previous", *index));
        }
        last = Some(event.record.at);
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
