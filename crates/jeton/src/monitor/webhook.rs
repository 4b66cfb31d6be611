//! Telling somebody: a POST for each thing noticed, at least once, known by its id.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Noticed;
use crate::net::{Client, NetError};

/// Why somebody was not told: it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum WebhookError {
    /// It could not be sent, or nobody said that it came.
    #[error("the webhook could not be reached")]
    Net(#[from] NetError),
    /// It was refused.
    #[error("the webhook answered {0}")]
    Status(StatusCode),
}

/// Where to tell.
pub struct Webhook {
    client: Client,
    path: String,
}

impl Webhook {
    /// A webhook at a path of a server. Redirects are not followed.
    #[must_use]
    pub fn new(client: Client, path: &str) -> Self {
        let path = if path.is_empty() { "/" } else { path };
        Self {
            client,
            path: path.to_owned(),
        }
    }

    /// Tells of one thing; it was told once this returns `Ok`, and perhaps if it does not.
    ///
    /// # Errors
    /// [`WebhookError`].
    pub async fn tell(&self, noticed: &Noticed) -> Result<(), WebhookError> {
        let mut headers = HeaderMap::new();
        let json = HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Ok(id) = HeaderValue::from_str(&noticed.id) {
            headers.insert("jeton-finding-id", id);
        }
        let body = serde_json::to_vec(noticed).unwrap_or_default();
        let sent = self
            .client
            .send(Method::POST, &self.path, headers, Bytes::from(body));
        let (status, _, _) = sent.await?;
        if status.is_success() {
            Ok(())
        } else {
            Err(WebhookError::Status(status))
        }
    }
}
