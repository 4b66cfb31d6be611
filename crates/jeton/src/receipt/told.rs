//! What an event says, for whoever has no directory to look names up in: ids and scope numbers, as they stand in the record.

use jeton_core::{
    event::{Actor, Event, Record},
    permit::{Permit, Rights},
    time::Time,
};
use serde_json::{Map, Value, json};

use crate::http::view::rfc3339;

/// An event as JSON: its name, when and by whom, and, where it is about a token, on which terms.
#[must_use]
pub fn told(record: &Record) -> Value {
    let mut out = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            out.insert(name.to_owned(), value);
        }
    };
    set("name", record.event.name().into());
    set("tenant", record.tenant.to_string().into());
    set("at", instant(record.at));
    set("actor", actor(&record.actor));
    set("token", record.event.token().map(|t| t.to_string()).into());
    let event = &record.event;
    if let Event::TokenIssued { class, subject, .. } = event {
        set("class", class.as_str().into());
        set("subject", subject.to_string().into());
    }
    if let Event::TokenSuspended { reason, .. } | Event::TokenRevoked { reason, .. } = event {
        set("reason", reason.as_str().into());
    }
    if let Event::TokenRotated { expires, .. } = event {
        set("expires_at", expires.map_or(Value::Null, instant));
    }
    let given = if let Event::TokenIssued { terms, expires, .. } = event {
        Some((terms, *expires))
    } else if let Event::TokenChanged { after, .. } = event {
        Some((&after.0, after.1))
    } else {
        None
    };
    if let Some((terms, expires)) = given {
        set("expires_at", expires.map_or(Value::Null, instant));
        set("permanent", expires.is_none().into());
        set("grants", grants(&terms.permit));
        set("gives", terms.permit.give.is_some().into());
    }
    Value::Object(out)
}

/// An instant as people write it.
pub(super) fn instant(time: Time) -> Value {
    rfc3339(time).to_string().into()
}

fn actor(actor: &Actor) -> Value {
    match actor {
        Actor::Authority => "authority".into(),
        Actor::Setup => "setup".into(),
        Actor::Token { token, subject, .. } => {
            json!({"token": token.to_string(), "subject": subject.to_string()})
        }
        Actor::Possession { token } => json!({"token": token.to_string()}),
    }
}

/// Scopes are numbers within the catalogue of their API, and a number never changes its meaning.
fn grants(permit: &Permit) -> Value {
    let Rights::Listed(grants) = &permit.use_ else {
        return "all that its subject may".into();
    };
    let grants = grants.iter().map(|grant| {
        let scopes: Vec<u8> = grant.scopes.iter().collect();
        let resources = grant.resources.iter().map(|r| r.as_str().to_owned());
        json!({
            "api": grant.api.to_string(), "scope_numbers": scopes, "resources": resources.collect::<Vec<_>>(),
        })
    });
    grants.collect()
}
