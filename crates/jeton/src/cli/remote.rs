//! Talking to the server: orders with a request key, lists by their cursors, problems as faults.

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use jeton_core::secret::Secret;
use serde_json::{Map, Value, json};

use super::{
    fault::Fault,
    link::{Link, Resolved},
    store::Place,
};
use crate::{
    capability,
    net::{Client, NetError, Roots},
};

/// The most things that the server gives in one page.
const PAGE_MAX: u64 = 200;

/// A server, and as whom it is spoken to.
pub(super) struct Remote {
    client: Client,
    token: Option<Secret>,
    profile: Option<String>,
}

/// A client of a server, over the way that a place names.
pub(super) fn client(place: &Place) -> Result<Client, Fault> {
    match place {
        Place::Socket(path) => Ok(Client::unix(path)),
        Place::Url { server, .. } if server.starts_with("http://") => {
            Client::plain(server).map_err(|e| Fault::net(&e))
        }
        Place::Url {
            server,
            ca: Some(ca),
        } => Client::https(server, Roots::File(ca)).map_err(|e| Fault::net(&e)),
        Place::Url { server, ca: None } => {
            let words = format!("it is not said which CA to trust for {server}");
            let hint =
                "add --ca FILE: the file that `jeton serve` printed, or your CA's root certificate";
            Err(Fault::usage(words).hint(hint))
        }
    }
}

/// How much of a list is wanted.
#[derive(Args, Debug)]
pub(super) struct Pages {
    /// How many to show at most
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..))]
    limit: u64,
    /// Show all, however many
    #[arg(long, conflicts_with = "limit")]
    all: bool,
}

/// A key that makes an order happen at most once, however often it is sent.
#[derive(Args, Debug)]
pub(super) struct Once {
    /// Sent again with the same key within a day, the order is not carried out twice
    #[arg(long, value_name = "KEY", value_parser = request_key)]
    idempotency_key: Option<String>,
}

fn request_key(text: &str) -> Result<String, String> {
    let legal = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if legal {
        Ok(text.to_owned())
    } else {
        Err("a key is 1 to 128 printable characters without spaces".to_owned())
    }
}

/// Things of a list, and the cursor to more.
pub(super) struct Listed {
    pub(super) items: Vec<Value>,
    pub(super) next: Option<String>,
}

impl Listed {
    /// As the server writes a page.
    pub(super) fn json(&self) -> Value {
        match &self.next {
            None => json!({"items": self.items}),
            Some(next) => json!({"items": self.items, "next": next}),
        }
    }
}

impl Remote {
    /// The server of a link, with its token.
    pub(super) fn open(link: &Link) -> Result<Self, Fault> {
        Self::of(link.resolve()?)
    }

    /// The server that a link came to, with its token.
    pub(super) fn of(resolved: Resolved) -> Result<Self, Fault> {
        let remote = Self::to(&resolved.place, resolved.token)?;
        Ok(Self {
            profile: resolved.profile,
            ..remote
        })
    }

    /// A server, with a token or without.
    pub(super) fn to(place: &Place, token: Option<Secret>) -> Result<Self, Fault> {
        let client = client(place)?;
        Ok(Self {
            client,
            token,
            profile: None,
        })
    }

    /// Reads.
    pub(super) async fn get(&self, path: &str) -> Result<Value, Fault> {
        let sent = self.send(Method::GET, path, None, None).await;
        sent.map_err(Failure::fault)
    }

    /// Reads what is no JSON.
    pub(super) async fn bytes(&self, path: &str) -> Result<Bytes, Fault> {
        let sent = self.exchange(Method::GET, path, None, None).await;
        sent.map_err(Failure::fault)
    }

    /// Sends an order that may be sent twice without harm.
    pub(super) async fn order(
        &self,
        method: Method,
        path: &str,
        body: &Value,
    ) -> Result<Value, Fault> {
        let body = Some(body).filter(|body| !body.is_null());
        let sent = self.send(method, path, body, None).await;
        sent.map_err(Failure::fault)
    }

    /// Sends an order that says all by its path, and may be sent twice without harm.
    pub(super) async fn post(&self, path: &str) -> Result<Value, Fault> {
        let sent = self.send(Method::POST, path, None, None).await;
        sent.map_err(Failure::fault)
    }

    /// Deletes.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Fault> {
        let sent = self.send(Method::DELETE, path, None, None).await;
        sent.map(drop).map_err(Failure::fault)
    }

    /// Asks whether somebody is there: status, headers and body, whatever they are.
    pub(super) async fn probe(
        &self,
        path: &str,
    ) -> Result<(StatusCode, HeaderMap, Bytes), NetError> {
        self.client
            .send(Method::GET, path, HeaderMap::new(), Bytes::new())
            .await
    }

    /// Sends an order that must not happen twice: under a request key, which the error names if the answer was lost.
    pub(super) async fn order_once(
        &self,
        path: &str,
        body: &Value,
        once: &Once,
    ) -> Result<Value, Fault> {
        let key = once.idempotency_key.clone().unwrap_or_else(|| {
            format!(
                "cli-{}",
                data_encoding::HEXLOWER.encode(&capability::draw::<12>())
            )
        });
        let sent = self.send(Method::POST, path, Some(body), Some(&key)).await;
        sent.map_err(|failure| {
            let unknown = failure.outcome_unknown();
            let fault = failure.fault();
            if unknown {
                return fault.hint(format!(
                    "whether it was done is not known: repeat the command with --idempotency-key {key}"
                ));
            }
            fault
        })
    }

    /// Reads a list, page by page.
    pub(super) async fn list(
        &self,
        path: &str,
        query: &[(&str, &str)],
        pages: &Pages,
    ) -> Result<Listed, Fault> {
        let wanted = if pages.all { u64::MAX } else { pages.limit };
        let mut listed = Listed {
            items: Vec::new(),
            next: None,
        };
        loop {
            let had = u64::try_from(listed.items.len()).unwrap_or(u64::MAX);
            let size = PAGE_MAX.min(wanted.saturating_sub(had)).max(1).to_string();
            let mut parts: Vec<(&str, &str)> = query.to_vec();
            parts.push(("limit", &size));
            let cursor = listed.next.take();
            parts.extend(cursor.as_deref().map(|c| ("cursor", c)));
            let parts: Vec<String> = parts.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let page = self.get(&format!("{path}?{}", parts.join("&"))).await?;
            let items = page.get("items").and_then(Value::as_array);
            let items = items.map(Vec::as_slice).unwrap_or_default();
            listed.items.extend_from_slice(items);
            let next = page.get("next").and_then(Value::as_str);
            listed.next = next.map(str::to_owned);
            let had = u64::try_from(listed.items.len()).unwrap_or(u64::MAX);
            if listed.next.is_none() || items.is_empty() || had >= wanted {
                return Ok(listed);
            }
        }
    }

    /// Reads a list that the server gives whole.
    pub(super) async fn whole(&self, path: &str) -> Result<Listed, Fault> {
        let page = self.get(path).await?;
        let items = page.get("items").and_then(Value::as_array).cloned();
        Ok(Listed {
            items: items.unwrap_or_default(),
            next: None,
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Value, Failure> {
        let bytes = self.exchange(method, path, body, key).await?;
        Ok(serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        key: Option<&str>,
    ) -> Result<Bytes, Failure> {
        let mut headers = HeaderMap::new();
        let odd = |what: &str| {
            Failure::Local(Fault::failed(format!(
                "{what} holds characters that no header can carry"
            )))
        };
        if let Some(token) = &self.token {
            let text = zeroize::Zeroizing::new(format!("Bearer {}", token.expose_secret()));
            let mut value = HeaderValue::from_str(&text).map_err(|_| odd("the token"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        if let Some(key) = key {
            let value = HeaderValue::from_str(key).map_err(|_| odd("the request key"))?;
            headers.insert("idempotency-key", value);
        }
        let bytes = match body {
            None => Bytes::new(),
            Some(body) => {
                let json = HeaderValue::from_static("application/json");
                headers.insert(header::CONTENT_TYPE, json);
                Bytes::from(body.to_string())
            }
        };
        let sent = self.client.send(method, path, headers, bytes).await;
        let (status, _, bytes) = sent.map_err(Failure::Net)?;
        if status.is_success() {
            return Ok(bytes);
        }
        match serde_json::from_slice::<Value>(&bytes).ok() {
            Some(Value::Object(problem)) if problem.contains_key("code") => {
                let hint = self.hint(&problem);
                let fault = Fault::Refused(Box::new(problem));
                Err(Failure::Local(match hint {
                    Some(hint) => fault.hint(hint),
                    None => fault,
                }))
            }
            _ => {
                let words = format!("the server answered {status}, and not as jeton does");
                Err(Failure::Local(
                    Fault::failed(words).hint("is another server at this address?"),
                ))
            }
        }
    }
}

impl Remote {
    /// As whom it was asked, where that is to blame.
    fn hint(&self, problem: &Map<String, Value>) -> Option<String> {
        let profile = self.profile.as_ref()?;
        let status = problem.get("status").and_then(Value::as_u64);
        let missing = problem.get("missing").and_then(Value::as_array);
        let operates = |scope: &Value| {
            let name = scope.as_str().unwrap_or_default();
            name.starts_with("jeton:tenants:") || name.starts_with("jeton:keys:")
        };
        if missing.is_some_and(|m| m.iter().any(operates)) {
            return Some(format!(
                "this was asked as profile {profile}, and is the operator's: --profile operator"
            ));
        }
        (status == Some(401) || status == Some(403))
            .then(|| format!("this was asked as profile {profile}; --profile NAME takes another"))
    }
}

enum Failure {
    Net(NetError),
    Local(Fault),
}

impl Failure {
    fn outcome_unknown(&self) -> bool {
        match self {
            Self::Net(error) => matches!(
                error,
                NetError::Exchange { .. }
                    | NetError::TimedOut { .. }
                    | NetError::AnswerTooLarge { .. }
            ),
            Self::Local(fault) => fault.code() == Some("outcome_unknown"),
        }
    }

    fn fault(self) -> Fault {
        match self {
            Self::Net(error) => Fault::net(&error),
            Self::Local(fault) => fault,
        }
    }
}
