//! Ids and names: a thing is named by its id, or by the short name that people gave it.

use jeton_core::id::{ApiId, Id, Kind, RoleId, TenantId};
use serde_json::Value;

use super::{fault::Fault, remote::Remote};

/// Checks that a text is an id of a kind, for a clear error before anything is sent.
pub(super) fn id<K: Kind>(text: &str) -> Result<String, String> {
    let read: Result<Id<K>, _> = text.parse();
    read.map(|id| id.to_string()).map_err(|_| {
        format!(
            "an id as {}_ and 26 letters and digits is wanted",
            K::PREFIX
        )
    })
}

/// Checks that a text is the id of a user or an application.
pub(super) fn subject_id(text: &str) -> Result<String, String> {
    match jeton_core::subject::SubjectId::parse(text) {
        Some(id) => Ok(id.to_string()),
        None => Err("the id of a user (usr_…) or of an application (app_…) is wanted".to_owned()),
    }
}

impl Remote {
    async fn by_name(
        &self,
        path: &str,
        names: &[&str],
        text: &str,
        what: &str,
    ) -> Result<String, Fault> {
        let listed = self.whole(path).await?;
        let is = |item: &&Value| {
            names
                .iter()
                .any(|name| item.get(name).and_then(Value::as_str) == Some(text))
        };
        let found = listed.items.iter().find(is);
        let id = found
            .and_then(|item| item.get("id"))
            .and_then(Value::as_str);
        id.map(str::to_owned).ok_or_else(|| {
            let all: Vec<&str> = listed
                .items
                .iter()
                .filter_map(|item| {
                    names
                        .first()
                        .and_then(|n| item.get(n))
                        .and_then(Value::as_str)
                })
                .take(20)
                .collect();
            let fault = Fault::failed(format!("there is no {what} {text}"));
            if all.is_empty() {
                fault.hint(format!("there is no {what} at all yet"))
            } else {
                fault.hint(format!("there are: {}", all.join(", ")))
            }
        })
    }

    /// The id of an API that is named by id, short name or audience.
    pub(super) async fn api(&self, text: &str) -> Result<String, Fault> {
        match text.parse::<ApiId>() {
            Ok(id) => Ok(id.to_string()),
            Err(_) => {
                self.by_name("/v1/apis", &["name", "audience"], text, "API")
                    .await
            }
        }
    }

    /// The id of a role that is named by id or short name.
    pub(super) async fn role(&self, text: &str) -> Result<String, Fault> {
        match text.parse::<RoleId>() {
            Ok(id) => Ok(id.to_string()),
            Err(_) => self.by_name("/v1/roles", &["name"], text, "role").await,
        }
    }

    /// The id of a tenant that is named by id or prefix.
    pub(super) async fn tenant(&self, text: &str) -> Result<String, Fault> {
        match text.parse::<TenantId>() {
            Ok(id) => Ok(id.to_string()),
            Err(_) => {
                self.by_name("/v1/tenants", &["prefix"], text, "tenant")
                    .await
            }
        }
    }
}
