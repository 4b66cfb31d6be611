//! `jeton api`: catalogues of scopes, and routes.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Map, Value, json};

use super::{
    fault::Fault,
    grants::{Described, described},
    link::Link,
    out::{Out, json_line},
    remote::{Listed, Once, Remote},
    table::{Column, at, by},
};

const EXAMPLES: &str = "\
Examples:
  jeton api create documents --audience https://documents.example.com \\
      --scope 'docs:read=Read documents.' --scope 'docs:write=Change documents.' --default-scope docs:read
  jeton api scopes documents --scope 'docs:delete=Delete documents.' --retire docs:write
  jeton api import documents --openapi openapi.json --host documents.example.com
  jeton api routes documents --file routes.json

routes.json:
  {\"hosts\": [\"documents.example.com\"],
   \"routes\": [{\"method\": \"GET\", \"path\": \"/docs/*\", \"scopes\": [\"docs:read\"]}]}

With \"query_parameter\": \"api_key\" beside them, a credential may also stand in the query, where logs and histories keep \
it: only for clients that can send no header.";

/// The most bytes of a file of routes or a description.
const FILE_BYTES_MAX: u64 = 1 << 20;

const LIST: [Column; 5] = [
    at("name", "/name"),
    at("audience", "/audience"),
    by("scopes", |api| live(api).len().to_string()),
    by("routes", |api| count(api, "routes").to_string()),
    at("id", "/id"),
];

const SHOW: [Column; 7] = [
    at("id", "/id"),
    at("name", "/name"),
    at("audience", "/audience"),
    at("hosts", "/hosts"),
    at("query parameter", "/query_parameter"),
    by("scopes", |api| lines(&live(api), scope_line)),
    by("routes", |api| {
        let routes = api.get("routes").and_then(Value::as_array);
        lines(&routes.cloned().unwrap_or_default(), route_line)
    }),
];

const SCOPES: [Column; 3] = [
    at("scope", "/name"),
    by("default", |s| match s.get("default") {
        Some(Value::Bool(true)) => "default".to_owned(),
        _ => String::new(),
    }),
    at("description", "/description"),
];

fn count(api: &Value, name: &str) -> usize {
    api.get(name).and_then(Value::as_array).map_or(0, Vec::len)
}

/// The scopes that are not retired.
fn live(api: &Value) -> Vec<Value> {
    let scopes = api.get("scopes").and_then(Value::as_array);
    let live = |s: &&Value| s.get("retired").and_then(Value::as_bool) != Some(true);
    scopes.into_iter().flatten().filter(live).cloned().collect()
}

fn lines(items: &[Value], line: fn(&Value) -> String) -> String {
    items.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn scope_line(scope: &Value) -> String {
    let default = match scope.get("default") {
        Some(Value::Bool(true)) => " (default)",
        _ => "",
    };
    match text(scope, "description") {
        "" => format!("{}{default}", text(scope, "name")),
        words => format!("{}{default}: {words}", text(scope, "name")),
    }
}

fn route_line(route: &Value) -> String {
    let method = match text(route, "method") {
        "" => "any",
        method => method,
    };
    let scopes = route
        .get("scopes")
        .map(super::table::show)
        .unwrap_or_default();
    let needs = if scopes.is_empty() {
        "any right".to_owned()
    } else {
        scopes
    };
    format!("{method} {} needs {needs}", text(route, "path"))
}

/// APIs.
#[derive(Args, Debug)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct ApiArgs {
    #[command(flatten)]
    pub(super) link: Link,
    #[command(subcommand)]
    command: ApiCommand,
}

#[derive(Subcommand, Debug)]
enum ApiCommand {
    /// Define an API
    Create {
        /// Its short name: a-z, 0-9 and -, a letter first
        name: String,
        /// Its audience: an absolute URI that names it
        #[arg(long, value_name = "URI")]
        audience: String,
        #[command(flatten)]
        scopes: ScopeArgs,
        #[command(flatten)]
        once: Once,
    },
    /// List all APIs
    List,
    /// Show an API with its scopes and routes
    Show {
        /// Its name, id or audience
        api: String,
    },
    /// Show an API's scopes, or add, change and retire some
    Scopes(ScopesChange),
    /// Set an API's routes and hosts from a file
    Routes {
        /// Its name, id or audience
        api: String,
        /// A JSON file: {"hosts": […], "routes": [{"method", "path", "scopes"}]}, or the routes alone
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Set an API's scopes and routes from its `OpenAPI` 3 description
    Import {
        /// Its name, id or audience
        api: String,
        /// The description, in JSON
        #[arg(long, value_name = "FILE")]
        openapi: PathBuf,
        /// A host that its routes serve; again for more
        #[arg(long = "host", value_name = "HOST")]
        hosts: Vec<String>,
        /// A scope that a token gets when nothing is asked for; again for more
        #[arg(long = "default-scope", value_name = "NAME")]
        defaults: Vec<String>,
    },
}

#[derive(Args, Debug)]
struct ScopesChange {
    /// Its name, id or audience
    api: String,
    #[command(flatten)]
    scopes: ScopeArgs,
    /// No default any more
    #[arg(long, value_name = "NAME")]
    no_default_scope: Vec<String>,
    /// Retire a scope: given to nobody any more
    #[arg(long, value_name = "NAME")]
    retire: Vec<String>,
}

impl ScopesChange {
    fn is_empty(&self) -> bool {
        self.scopes.scopes.is_empty()
            && self.scopes.defaults.is_empty()
            && self.no_default_scope.is_empty()
            && self.retire.is_empty()
    }
}

#[derive(Args, Debug)]
struct ScopeArgs {
    /// A scope and what it allows, in words for a consent screen; again for more
    #[arg(long = "scope", value_name = "NAME=DESCRIPTION", value_parser = described)]
    scopes: Vec<Described>,
    /// A scope that a token gets when nothing is asked for; again for more
    #[arg(long = "default-scope", value_name = "NAME")]
    defaults: Vec<String>,
}

/// Runs the command.
pub(super) async fn run(args: ApiArgs, out: Out) -> Result<(), Fault> {
    let link = &args.link;
    match args.command {
        ApiCommand::Create {
            name,
            audience,
            scopes,
            once,
        } => {
            let list = edited(Vec::new(), &scopes, &[], &[])?;
            let order = json!({"name": name, "audience": audience, "scopes": list});
            let remote = Remote::open(link)?;
            let made = remote.order_once("/v1/apis", &order, &once).await?;
            out.thing(&SHOW, &made)
        }
        ApiCommand::List => out.list(&LIST, &Remote::open(link)?.whole("/v1/apis").await?),
        ApiCommand::Show { api } => {
            let remote = Remote::open(link)?;
            out.thing(&SHOW, &found(&remote, &api).await?)
        }
        ApiCommand::Scopes(change) => scopes(link, &change, out).await,
        ApiCommand::Routes { api, file } => {
            let mut order = json_file(&file, "routes")?;
            if order.is_array() {
                order = json!({"routes": order});
            }
            let remote = Remote::open(link)?;
            let path = format!("/v1/apis/{}/routes", remote.api(&api).await?);
            out.thing(&SHOW, &remote.order(Method::PUT, &path, &order).await?)
        }
        ApiCommand::Import {
            api,
            openapi,
            hosts,
            defaults,
        } => {
            let description = json_file(&openapi, "an OpenAPI description")?;
            let mut order = json!({"openapi": description, "defaults": defaults});
            if let (Some(map), false) = (order.as_object_mut(), hosts.is_empty()) {
                map.insert("hosts".to_owned(), hosts.into());
            }
            let remote = Remote::open(link)?;
            let path = format!("/v1/apis/{}/import", remote.api(&api).await?);
            out.thing(&SHOW, &remote.order(Method::POST, &path, &order).await?)
        }
    }
}

async fn scopes(link: &Link, change: &ScopesChange, out: Out) -> Result<(), Fault> {
    let remote = Remote::open(link)?;
    let mut shown = found(&remote, &change.api).await?;
    if !change.is_empty() {
        let (marks, gone) = (&change.no_default_scope, &change.retire);
        let list = edited(live(&shown), &change.scopes, marks, gone)?;
        let path = format!("/v1/apis/{}/scopes", text(&shown, "id"));
        let order = json!({"scopes": list});
        shown = remote.order(Method::PUT, &path, &order).await?;
    }
    if out.json {
        return json_line(&shown);
    }
    let items = live(&shown);
    out.list(&SCOPES, &Listed { items, next: None })
}

async fn found(remote: &Remote, api: &str) -> Result<Value, Fault> {
    let id = remote.api(api).await?;
    remote.get(&format!("/v1/apis/{id}")).await
}

/// A catalogue after the changes. A name that is in neither is a slip.
fn edited(
    catalogue: Vec<Value>,
    changes: &ScopeArgs,
    no_default: &[String],
    retire: &[String],
) -> Result<Vec<Value>, Fault> {
    let mut scopes: Vec<Map<String, Value>> = catalogue
        .into_iter()
        .filter_map(|scope| scope.as_object().cloned())
        .collect();
    let place = |scopes: &[Map<String, Value>], name: &str| {
        let is = |s: &Map<String, Value>| s.get("name").and_then(Value::as_str) == Some(name);
        scopes.iter().position(is)
    };
    for scope in &changes.scopes {
        let known = place(&scopes, &scope.name).and_then(|at| scopes.get_mut(at));
        if let Some(known) = known {
            // A name alone leaves the words as they are.
            let words = Some(&scope.description).filter(|words| !words.is_empty());
            known.extend(words.map(|w| ("description".to_owned(), w.clone().into())));
        } else {
            let fresh = json!({"name": scope.name, "description": scope.description});
            scopes.extend(fresh.as_object().cloned());
        }
    }
    for name in retire {
        let at = place(&scopes, name).ok_or_else(|| unknown("--retire", name))?;
        scopes.remove(at);
    }
    let marks = [
        ("--default-scope", &changes.defaults[..], true),
        ("--no-default-scope", no_default, false),
    ];
    for (flag, names, default) in marks {
        for name in names {
            let at = place(&scopes, name).ok_or_else(|| unknown(flag, name))?;
            if let Some(scope) = scopes.get_mut(at) {
                scope.insert("default".to_owned(), default.into());
            }
        }
    }
    Ok(scopes.into_iter().map(Value::Object).collect())
}

fn unknown(flag: &str, name: &str) -> Fault {
    Fault::usage(format!("{flag} {name}: there is no such scope"))
        .hint("add it with --scope name=description")
}

/// Reads a JSON file. One in YAML is told so.
fn json_file(path: &Path, what: &str) -> Result<Value, Fault> {
    let cannot = |e: std::io::Error| Fault::caused(format!("cannot read {}", path.display()), &e);
    let length = std::fs::metadata(path).map_err(cannot)?.len();
    if length > FILE_BYTES_MAX {
        let words = format!(
            "{} is larger than {FILE_BYTES_MAX} bytes, the most that the server takes",
            path.display()
        );
        return Err(Fault::failed(words));
    }
    let text = std::fs::read_to_string(path).map_err(cannot)?;
    serde_json::from_str(&text).map_err(|error| {
        let begins = text.trim_start();
        let named = path.extension().is_some_and(|e| e == "yaml" || e == "yml");
        if named || (!begins.starts_with('{') && !begins.starts_with('[')) {
            let words = format!(
                "{} is not JSON: {what} is wanted in JSON, not YAML",
                path.display()
            );
            let hint = format!(
                "convert it first: yq -o json . {} > {what}.json",
                path.display()
            );
            let hint = hint.replace("an OpenAPI description.json", "openapi.json");
            return Fault::failed(words).hint(hint);
        }
        Fault::failed(format!("{} is not JSON: {error}", path.display()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(scopes: &[&str], defaults: &[&str]) -> ScopeArgs {
        ScopeArgs {
            scopes: scopes.iter().map(|s| described(s).unwrap()).collect(),
            defaults: defaults.iter().map(|s| (*s).to_owned()).collect(),
        }
    }

    #[test]
    fn a_catalogue_is_edited_by_name() {
        let had = vec![
            json!({"name": "a", "description": "A.", "default": true}),
            json!({"name": "b", "description": "B."}),
        ];
        let changes = args(&["b=Other.", "c=C."], &["c"]);
        let after = edited(had.clone(), &changes, &["b".to_owned()], &["a".to_owned()]).unwrap();
        let names: Vec<String> = after.iter().map(scope_line).collect();
        assert_eq!(names, ["b: Other.", "c (default): C."]);
        assert!(edited(had.clone(), &args(&[], &["x"]), &[], &[]).is_err());
        assert!(edited(had, &args(&[], &[]), &[], &["x".to_owned()]).is_err());
    }

    #[test]
    fn yaml_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("api.yaml");
        std::fs::write(&path, "openapi: 3.1.0\n").unwrap();
        let words = format!(
            "{:?}",
            json_file(&path, "an OpenAPI description").unwrap_err()
        );
        assert!(
            words.contains("not YAML") && words.contains("> openapi.json"),
            "{words}"
        );
        let path = dir.path().join("api.json");
        std::fs::write(&path, "{\"a\": }").unwrap();
        let words = format!("{:?}", json_file(&path, "x").unwrap_err());
        assert!(words.contains("line 1"), "{words}");
    }
}
