//! The setup secret: single-use, an hour long, in a file that only the operator can read. After each hour there is another
//! one, until somebody is the operator; after that, only jeton's own tokens.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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
    node::keyring::{KeyringError, write_private},
};

/// How long the secret is good.
pub const SETUP_LIFETIME: Span = Span::HOUR;

/// The setup secret, while there is one.
#[derive(Default)]
pub struct Setup(Mutex<Option<Pending>>);

struct Pending {
    secret: Zeroizing<Vec<u8>>,
    until: Time,
    /// When another one is due.
    renew: Time,
    file: PathBuf,
}

impl Setup {
    /// Makes a secret and keeps it in a file of mode 0600.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn offer(&self, file: PathBuf, now: Time) -> Result<Secret, KeyringError> {
        let text = data_encoding::BASE32_NOPAD
            .encode(&capability::draw::<20>())
            .to_lowercase();
        write_private(&file, format!("{text}\n").as_bytes())?;
        let secret = Zeroizing::new(text.clone().into_bytes());
        let until = now.after(SETUP_LIFETIME);
        let pending = Pending {
            secret,
            until,
            renew: until,
            file,
        };
        *self.lock() = Some(pending);
        Ok(Secret::new(text))
    }

    /// Offers another secret in the file of one whose hour has passed: the file, if it did.
    ///
    /// # Errors
    /// If the file cannot be written: the next minute may try again.
    pub fn renew(&self, now: Time) -> Result<Option<PathBuf>, KeyringError> {
        let file = {
            let mut pending = self.lock();
            let Some(due) = pending.as_mut().filter(|p| p.renew <= now) else {
                return Ok(None);
            };
            due.renew = now.after(Span::MINUTE);
            due.file.clone()
        };
        drop(self.offer(file.clone(), now)?);
        Ok(Some(file))
    }

    /// Whether a secret waits to be redeemed, within its hour or not.
    #[must_use]
    pub fn waits(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Pending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the text is the secret, within its hour.
    fn accepts(&self, text: &str, now: Time) -> bool {
        let pending = self.lock();
        pending.as_ref().is_some_and(|p| {
            now < p.until
                && aws_lc_rs::constant_time::verify_slices_are_equal(&p.secret, text.as_bytes())
                    .is_ok()
        })
    }

    /// Forgets the secret, and its file.
    pub fn spend(&self) {
        let spent = self.lock().take();
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn another_secret_follows_each_that_nobody_redeemed() {
        let dir = tempfile::tempdir().unwrap();
        let home = dir.path().join("data");
        std::fs::create_dir(&home).unwrap();
        let file = home.join("setup-secret");
        let read = || std::fs::read_to_string(&file).unwrap().trim().to_owned();
        let at = |s: u64| Time::from_seconds(1_000_000 + s);
        let hour = SETUP_LIFETIME.as_seconds();
        let setup = Setup::default();
        assert!(!setup.waits());
        assert_eq!(setup.renew(at(0)).unwrap(), None);
        setup.offer(file.clone(), at(0)).unwrap();
        let first = read();
        assert!(setup.waits() && setup.accepts(&first, at(hour - 1)));
        assert_eq!(setup.renew(at(hour - 1)).unwrap(), None);
        assert_eq!(read(), first);
        // A disk that cannot take it is asked again after a minute, and the old one stays dead.
        let away = dir.path().join("away");
        std::fs::rename(&home, &away).unwrap();
        assert!(setup.renew(at(hour)).is_err());
        std::fs::rename(&away, &home).unwrap();
        assert_eq!(setup.renew(at(hour + 59)).unwrap(), None);
        assert!(setup.waits() && !setup.accepts(&first, at(hour)));
        assert_eq!(setup.renew(at(hour + 60)).unwrap(), Some(file.clone()));
        let second = read();
        assert_ne!(first, second);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!setup.accepts(&first, at(hour + 60)));
        assert!(setup.accepts(&second, at(2 * hour + 59)));
        assert!(!setup.accepts(&second, at(2 * hour + 60)));
        setup.spend();
        assert!(!file.exists() && !setup.waits());
        assert_eq!(setup.renew(at(9 * hour)).unwrap(), None);
        assert!(!file.exists());
    }
}
