//! The holder's own: who am I, and ending a secret by showing it.

use std::sync::Arc;

use axum::{Extension, extract::State};
use http::{HeaderMap, StatusCode};
use jeton_core::{api::JETON_API, refusal::Refusal};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    app::{Words, revoke},
    http::{
        caller::Arrival,
        door::Doors,
        error::Problem,
        extract::{self, Order},
        routes::Reply,
        sunset::sunset,
        tokens::{self, TokenView, find::PossessionView, view},
    },
};

/// What a holder may know of its token.
#[derive(Serialize, JsonSchema)]
pub struct WhoamiView {
    /// The tenant.
    pub tenant: String,
    /// The token.
    pub token: TokenView,
    /// Whether it may replace its own secret with `POST /v1/whoami/rotate`.
    pub may_rotate: bool,
}

/// Tells a holder about its token, whatever API it is for.
pub async fn whoami(
    State(doors): State<Arc<Doors>>,
    Extension(arrival): Extension<Arrival>,
    headers: HeaderMap,
) -> Result<Reply<WhoamiView>, Problem> {
    let text = extract::credential(&headers)?;
    let now = doors.node.clock.now();
    let token = doors.node.verifier.holder(&text, arrival.address, now);
    let token = token.map_err(|denied| Problem::denied(&denied, Vec::new()))?;
    let ends = [token.expires, doors.node.verifier.replaced_until(&text)];
    let words = tokens::named(&doors.node, &token).await?;
    let directory = doors.node.verifier.directory();
    let own = token.terms.permit.use_.held(&JETON_API, None);
    let view = WhoamiView {
        tenant: token.tenant.to_string(),
        may_rotate: own.contains(jeton_core::api::own::TOKENS_OWN),
        token: view(&directory, &token, words, now.time),
    };
    Ok(Reply::new(StatusCode::OK, view).sunset(sunset(&ends, now.time)))
}

/// What a revocation by possession answers: the same, whatever was shown.
#[derive(Serialize, JsonSchema)]
pub struct RevokedView {
    /// `done`: if it was a token of this deployment, it is ended.
    pub status: &'static str,
}

/// Ends the token whose text is shown. Needs no credential: the text is the proof.
pub async fn revoke_shown(
    State(doors): State<Arc<Doors>>,
    Extension(arrival): Extension<Arrival>,
    order: Order<PossessionView>,
) -> Result<Reply<RevokedView>, Problem> {
    let words = Words {
        address: arrival.address.map(|a| a.to_string()),
        request_id: Some(arrival.request_id.clone()),
        ..Words::default()
    };
    match revoke::by_possession(&doors.node, &order.value.token, words.to_json()).await {
        Ok(()) => Ok(Reply::new(StatusCode::OK, RevokedView { status: "done" })),
        // A store that cannot take it must say so: the token still works.
        Err(blame) if blame.refusal == Refusal::NotFound => {
            Ok(Reply::new(StatusCode::OK, RevokedView { status: "done" }))
        }
        Err(blame) => Err(blame.into()),
    }
}
