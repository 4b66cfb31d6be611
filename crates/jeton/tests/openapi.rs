//! The description and the router say the same: served as made, sound in itself, and each documented operation is there.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{Authority, send};
use jeton::http::openapi::describe;
use serde_json::{Map, Value, json};

const METHODS: [&str; 6] = ["get", "put", "post", "delete", "patch", "options"];

fn operations(description: &Value) -> Vec<(String, String, Value)> {
    let paths = description["paths"].as_object().unwrap();
    let mut out = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            out.push((method.clone(), path.clone(), operation.clone()));
        }
    }
    out
}

/// Calls `see` with each object in a value.
fn walk(value: &Value, see: &mut impl FnMut(&Map<String, Value>)) {
    match value {
        Value::Object(map) => {
            see(map);
            map.values().for_each(|v| walk(v, see));
        }
        Value::Array(items) => items.iter().for_each(|v| walk(v, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_description_is_sound_in_itself() {
    let d = describe();
    assert_eq!(d["openapi"], "3.1.0");
    for pointer in ["/info/title", "/info/version", "/info/license/identifier"] {
        assert!(
            d.pointer(pointer).is_some_and(Value::is_string),
            "{pointer}"
        );
    }
    let mut refs = BTreeSet::new();
    walk(&d, &mut |map| {
        if let Some(Value::String(to)) = map.get("$ref") {
            refs.insert(to.clone());
        }
        // A bound on a text must bound the text, not a list of them, and the other way round.
        let kinds = match map.get("type") {
            Some(Value::String(kind)) => vec![kind.as_str()],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        for (bound, kind) in [
            ("maxLength", "string"),
            ("pattern", "string"),
            ("maxItems", "array"),
        ] {
            assert!(!map.contains_key(bound) || kinds.contains(&kind), "{map:?}");
        }
    });
    for to in &refs {
        let found = to.strip_prefix('#').and_then(|pointer| d.pointer(pointer));
        assert!(found.is_some(), "{to} leads nowhere");
    }
    let schemas = d["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        assert!(
            refs.contains(&format!("#/components/schemas/{name}")),
            "{name} is never used"
        );
    }
    let mut ids = BTreeSet::new();
    for (method, path, operation) in operations(&d) {
        let at = format!("{method} {path}");
        assert!(METHODS.contains(&method.as_str()), "{at}");
        let id = operation["operationId"].as_str().unwrap();
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert!(
            operation["summary"].as_str().unwrap().ends_with('.'),
            "{at}"
        );
        assert_eq!(
            operation["security"].as_array().unwrap().is_empty(),
            public(&operation)
        );
        let named: BTreeSet<&str> = path
            .split('/')
            .filter_map(|s| s.strip_prefix('{')?.strip_suffix('}'))
            .collect();
        let no_parameters = Vec::new();
        let parameters = operation["parameters"].as_array().unwrap_or(&no_parameters);
        let mut seen = BTreeSet::new();
        for parameter in parameters {
            let (name, place) = (
                parameter["name"].as_str().unwrap(),
                parameter["in"].as_str().unwrap(),
            );
            assert!(seen.insert((name, place)), "{at}: {name} twice");
            assert_eq!(
                parameter["required"] == true,
                place == "path",
                "{at}: {name}"
            );
            assert!(parameter["schema"].is_object(), "{at}: {name}");
        }
        let in_path: BTreeSet<&str> = seen
            .iter()
            .filter(|(_, p)| *p == "path")
            .map(|(n, _)| *n)
            .collect();
        assert_eq!(in_path, named, "{at}");
        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            assert!(
                status.parse::<u16>().is_ok_and(|s| (200..600).contains(&s)),
                "{at}: {status}"
            );
            assert!(response["description"].is_string(), "{at}: {status}");
            let problem = response
                .pointer("/content/application~1problem+json")
                .is_some();
            assert_eq!(problem, !status.starts_with('2'), "{at}: {status}");
        }
        assert_eq!(
            responses.keys().filter(|s| s.starts_with('2')).count(),
            1,
            "{at}"
        );
        let takes = operation.get("requestBody").is_some();
        assert!(
            !takes || !matches!(method.as_str(), "get" | "delete"),
            "{at}"
        );
    }
}

fn public(operation: &Value) -> bool {
    operation["security"] == json!([])
}

#[test]
fn operations_scopes_and_statuses() {
    let mut lines = Vec::new();
    for (method, path, operation) in operations(&describe()) {
        let scopes = match operation.get("x-jeton-scopes").and_then(Value::as_array) {
            Some(scopes) => scopes
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join("|"),
            None if public(&operation) => "public".to_owned(),
            None => "holder".to_owned(),
        };
        let responses = operation["responses"].as_object().unwrap();
        let mut statuses: Vec<&str> = responses.keys().map(String::as_str).collect();
        statuses.sort_unstable();
        let id = operation["operationId"].as_str().unwrap();
        let method = method.to_uppercase();
        lines.push(format!(
            "{path} {method} {id} [{scopes}] {}",
            statuses.join(" ")
        ));
    }
    lines.sort();
    insta::assert_snapshot!(lines.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_served_is_what_was_made() {
    let a = Authority::start().await;
    let said = send(&a.client, "GET", "/openapi.json", &[], None)
        .await
        .is(200);
    assert_eq!(said.body, describe());
    assert_eq!(said.headers["content-type"], "application/json");
    a.running.stop().await;
}

/// A path with a name in it that names something, where anybody may ask.
fn concrete(path: &str) -> String {
    let id = if path.starts_with("/refusals") {
        "not_found"
    } else {
        "tok_00000000000000000000000000"
    };
    path.replace("{id}", id)
}

#[tokio::test(flavor = "multi_thread")]
async fn each_operation_is_there_and_no_other_method() {
    let a = Authority::start().await;
    let mut by_path: BTreeMap<String, BTreeMap<String, Value>> = BTreeMap::new();
    for (method, path, operation) in operations(&describe()) {
        by_path.entry(path).or_default().insert(method, operation);
    }
    for (path, documented) in &by_path {
        let at = concrete(path);
        for method in METHODS {
            let upper = method.to_uppercase();
            let said = send(&a.client, &upper, &at, &[], None).await;
            let what = format!("{upper} {path}: {} {}", said.status, said.body);
            let Some(operation) = documented.get(method) else {
                assert_eq!(said.status, 405, "{what}");
                assert_eq!(said.body["code"], "method_unknown", "{what}");
                let told = said
                    .headers
                    .get("allow")
                    .unwrap_or_else(|| panic!("no Allow: {what}"));
                let told: BTreeSet<String> = told
                    .to_str()
                    .unwrap()
                    .split(',')
                    .map(|m| m.trim().to_lowercase())
                    .collect();
                let mut due: BTreeSet<String> = documented.keys().cloned().collect();
                if due.contains("get") {
                    due.insert("head".to_owned());
                }
                assert_eq!(told, due, "{what}");
                continue;
            };
            let responses = operation["responses"].as_object().unwrap();
            assert!(
                responses.contains_key(said.status.as_str()),
                "{what} is not documented"
            );
            if public(operation) {
                assert!(![401, 404, 405].contains(&said.status.as_u16()), "{what}");
            } else {
                assert_eq!(said.status, 401, "{what}");
                assert!(said.headers.contains_key("www-authenticate"), "{what}");
            }
        }
    }
    for unknown in [
        "/",
        "/v1",
        "/v1/",
        "/v1/tokens/",
        "/v1/token",
        "/V1/tokens",
        "/openapi.json/",
        "/check/traefik",
        "/v1/../v1/tokens",
    ] {
        send(&a.client, "GET", unknown, &[], None)
            .await
            .refused(404, "not_found");
    }
    a.running.stop().await;
}
