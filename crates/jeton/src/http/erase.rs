//! Erasing: the words beside a deleted user or application, and tokens that have been dead for a day.

use http::StatusCode;
use jeton_core::{
    id::{AppId, TokenId, UserId},
    refusal::{Blame, Refusal},
    subject::SubjectId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    app::erase::{self, Erased},
    http::{
        caller::{Caller, SubjectsWrite, TokensErase},
        error::Problem,
        extract::{Order, PathId},
        routes::Reply,
    },
};

/// The most tokens of one order.
const TOKENS_MAX: usize = 256;

/// What was erased.
#[derive(Serialize, JsonSchema)]
pub struct ErasedView {
    /// The words beside so many events are gone, or so many events whole; their leaves in the ledger stay.
    pub events: u64,
    /// Beside so many events words stay for now: what a user or application did itself, until 24 hours after it was deleted.
    /// Erase again then. Left out if there are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kept: Option<u64>,
}

fn told(erased: Erased) -> Reply<ErasedView> {
    let Erased { events, kept, size } = erased;
    let kept = Some(kept).filter(|kept| *kept > 0);
    Reply::new(StatusCode::OK, ErasedView { events, kept }).at(size)
}

/// Erases the words beside a subject: to the end, though the caller hangs up, since a long trail takes its time.
async fn words(
    caller: &Caller<SubjectsWrite>,
    subject: SubjectId,
) -> Result<Reply<ErasedView>, Problem> {
    let ctx = caller.ctx();
    let task = tokio::spawn(async move { erase::words(&ctx, subject).await });
    Ok(told(task.await.map_err(|_| Refusal::Internal)??))
}

/// Erases the words beside a deleted user.
pub async fn user(
    caller: Caller<SubjectsWrite>,
    PathId(id): PathId<UserId>,
) -> Result<Reply<ErasedView>, Problem> {
    words(&caller, SubjectId::User(id)).await
}

/// Erases the words beside a deleted application.
pub async fn app(
    caller: Caller<SubjectsWrite>,
    PathId(id): PathId<AppId>,
) -> Result<Reply<ErasedView>, Problem> {
    words(&caller, SubjectId::App(id)).await
}

/// Which tokens shall go.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EraseView {
    /// Their ids: all go, or none.
    #[schemars(length(min = 1, max = 256))]
    pub tokens: Vec<String>,
}

impl EraseView {
    fn read(&self) -> Result<Vec<TokenId>, Blame> {
        if self.tokens.len() > TOKENS_MAX {
            let rule = "at most 256 tokens at once";
            return Err(Blame::field(Refusal::TooMany, "tokens", rule));
        }
        if self.tokens.is_empty() {
            let rule = "name at least one token";
            return Err(Blame::field(Refusal::FieldInvalid, "tokens", rule));
        }
        let mut read: Vec<TokenId> = Vec::with_capacity(self.tokens.len());
        for (at, text) in self.tokens.iter().enumerate() {
            let blame = |rule| Blame::field(Refusal::FieldInvalid, format!("tokens[{at}]"), rule);
            let id = text.parse().map_err(|_| blame("an id as tok_…"))?;
            if read.contains(&id) {
                return Err(blame("it stands there twice"));
            }
            read.push(id);
        }
        Ok(read)
    }
}

/// Erases dead tokens.
pub async fn tokens(
    caller: Caller<TokensErase>,
    order: Order<EraseView>,
) -> Result<Reply<ErasedView>, Problem> {
    let tokens = order.value.read()?;
    Ok(told(erase::openings(&caller.ctx(), &tokens).await?))
}
