//! The setup secret: single-use, an hour long, in a file that only the operator can read. After it, only jeton's own tokens.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::extract::State;
use http::StatusCode;
use jeton_core::{
    refusal::Refusal,
    secret::Secret,
    time::{Span, Time},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::{
    app::{Words, found},
    capability,
    http::{caller::Arrival, door::Doors, error::Problem, extract::Order, routes::Reply},
    node::keyring::write_private,
};

/// How long the secret is good.
pub const SETUP_LIFETIME: Span = Span::HOUR;

/// The setup secret, while there is one.
#[derive(Default)]
pub struct Setup(Mutex<Option<Pending>>);

struct Pending {
    secret: Zeroizing<Vec<u8>>,
    until: Time,
    file: PathBuf,
}

impl Setup {
    /// Makes a secret and keeps it in a file of mode 0600.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn offer(
        &self,
        file: PathBuf,
        now: Time,
    ) -> Result<Secret, crate::node::keyring::KeyringError> {
        let text = data_encoding::BASE32_NOPAD
            .encode(&capability::draw::<20>())
            .to_lowercase();
        write_private(&file, format!("{text}\n").as_bytes())?;
        let secret = Zeroizing::new(text.clone().into_bytes());
        let pending = Pending {
            secret,
            until: now.after(SETUP_LIFETIME),
            file,
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(pending);
        Ok(Secret::new(text))
    }

    /// Whether the text is the secret, within its hour.
    fn accepts(&self, text: &str, now: Time) -> bool {
        let pending = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pending.as_ref().is_some_and(|p| {
            now < p.until
                && aws_lc_rs::constant_time::verify_slices_are_equal(&p.secret, text.as_bytes())
                    .is_ok()
        })
    }

    /// Forgets the secret, and its file.
    fn spend(&self) {
        let spent = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(spent) = spent {
            drop(std::fs::remove_file(spent.file));
        }
    }
}

/// The secret.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupView {
    /// As it stands in the file.
    #[schemars(length(max = 128))]
    pub secret: String,
}

/// A tenant's first credential.
#[derive(Serialize, JsonSchema)]
pub struct AdminView {
    /// The tenant.
    pub tenant: String,
    /// Its first application.
    pub app: String,
    /// The id of its token.
    pub token: String,
    /// The token: shown once.
    pub secret: String,
    /// When it ends.
    pub expires_at: Option<crate::http::view::Instant>,
}

impl AdminView {
    /// As the answer shows it.
    #[must_use]
    pub fn of(admin: &found::Admin) -> Self {
        Self {
            tenant: admin.tenant.to_string(),
            app: admin.app.to_string(),
            token: admin.issued.token.to_string(),
            secret: admin.secret.expose_secret().to_owned(),
            expires_at: admin.issued.expires.map(crate::http::view::Instant),
        }
    }
}

/// Redeems the setup secret for the operator's first token.
pub async fn redeem(
    State(doors): State<Arc<Doors>>,
    axum::Extension(arrival): axum::Extension<Arrival>,
    order: Order<SetupView>,
) -> Result<Reply<AdminView>, Problem> {
    let now = doors.node.clock.time();
    if !doors.setup.accepts(&order.value.secret, now) {
        return Err(Refusal::SetupSpent.into());
    }
    let words = Words {
        address: arrival.address.map(|a| a.to_string()),
        request_id: Some(arrival.request_id.clone()),
        ..Words::default()
    };
    let admin = found::operator(&doors.node, words.to_json()).await?;
    doors.setup.spend();
    Ok(Reply::new(StatusCode::CREATED, AdminView::of(&admin)).at(admin.size))
}
