//! Talking to jeton and to the example API as any client would, and telling about it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde_json::Value;

use crate::net::{Client, Roots};

/// A client that speaks JSON.
pub(super) struct Talk {
    client: Client,
    /// Where it talks to.
    pub(super) base: String,
}

/// An answer.
pub(super) struct Said {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Value,
}

impl Talk {
    pub(super) fn to(base: &str, ca: &[u8]) -> anyhow::Result<Self> {
        Ok(Self {
            client: Client::https(base, Roots::Pem(ca))?,
            base: base.to_owned(),
        })
    }

    /// Sends a request, with a credential or without.
    pub(super) async fn say(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<&Value>,
    ) -> anyhow::Result<Said> {
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
            headers.insert(header::AUTHORIZATION, value);
        }
        let bytes = match body {
            None => Bytes::new(),
            Some(body) => {
                let json = HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, json);
                Bytes::from(body.to_string())
            }
        };
        let (status, headers, body) = self.client.send(method, path, headers, bytes).await?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        Ok(Said {
            status,
            headers,
            body,
        })
    }

    /// Sends an order that must succeed.
    pub(super) async fn order(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: &Value,
    ) -> anyhow::Result<Value> {
        let said = self.say(method, path, Some(token), Some(body)).await?;
        anyhow::ensure!(
            said.status.is_success(),
            "{path} answered {}: {}",
            said.status,
            said.body
        );
        Ok(said.body)
    }
}

impl Said {
    /// A text in the answer's body.
    pub(super) fn text(&self, name: &str) -> &str {
        self.body
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// A header of the answer.
    pub(super) fn header(&self, name: &'static str) -> &str {
        let name = HeaderName::from_static(name);
        self.headers
            .get(name)
            .and_then(|v| v.to_str().ok())
            .unwrap_or_default()
    }
}

/// A text in a JSON object that must be there.
pub(super) fn text(value: &Value, path: &[&str]) -> anyhow::Result<String> {
    let found = path.iter().try_fold(value, |v, name| v.get(name));
    let text = found.and_then(Value::as_str);
    text.map(str::to_owned)
        .ok_or_else(|| anyhow::anyhow!("the answer lacks {}", path.join(".")))
}

/// Says what a step is about.
pub(super) fn heading(number: usize, words: &str) {
    println!("\n{number:2}. {words}");
}

/// Says what happened.
pub(super) fn line(words: &str) {
    println!("    {words}");
}
