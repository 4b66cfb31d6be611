//! Ending all tokens of somebody at once.

use http::StatusCode;
use jeton_core::refusal::{Blame, Refusal};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{revoke::ReasonView, subject};
use crate::{
    app::{Words, revoke},
    http::{
        caller::{Caller, TokensCutOff},
        error::Problem,
        extract::Order,
        routes::Reply,
    },
};

/// Whose tokens shall end.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CutOffView {
    /// All tokens of this user or application; without: of the whole tenant, the caller's own among them.
    #[serde(default)]
    #[schemars(length(max = 30))]
    pub subject: Option<String>,
    /// Must be `true` where no subject is named.
    #[serde(default)]
    pub everything: bool,
    /// Why.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pub reason: Option<String>,
}

/// How far a cut-off reaches.
#[derive(Serialize, JsonSchema)]
pub struct CutOffDone {
    /// Tokens issued before this ledger size are dead.
    pub ledger_size: u64,
}

/// Ends all tokens issued before now.
pub async fn cut_off(
    caller: Caller<TokensCutOff>,
    order: Order<CutOffView>,
) -> Result<Reply<CutOffDone>, Problem> {
    let ctx = caller.ctx();
    let whose = order.value.subject.as_deref().map(subject).transpose()?;
    if whose.is_some() == order.value.everything {
        let rule = "name a subject, or say everything: true";
        return Err(Blame::field(Refusal::FieldInvalid, "subject", rule).into());
    }
    let reason = ReasonView {
        reason: order.value.reason,
        note: None,
    }
    .read()?;
    let size = revoke::cut_off(&ctx, whose, reason, Words::of(&ctx)).await?;
    Ok(Reply::new(StatusCode::OK, CutOffDone { ledger_size: size }).at(size))
}
