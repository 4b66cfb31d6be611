//! G12, R14: the management API against its own description, by a program that others wrote (schemathesis).
//!
//! A real authority serves its description; schemathesis makes requests of it, legal and illegal ones, singly and in
//! chains, and compares each answer: no 5xx, no status, header or body that the description does not have, nothing illegal
//! accepted, nothing open that should ask for a credential. Two runs: the tenant's admin on all but `/v1/tenants`, the
//! operator on that. With `--control` the description forgets one status: the run must find it missing.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{
    install,
    options::{Control, Options},
    run,
};

/// What is compared. Left out: `positive_data_acceptance`, since a legal order may well be refused (names are taken, rights
/// lack), and `object_level_authorization`, for which the gate of the authorization matrix is there.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,negative_data_rejection,missing_required_header,\
    unsupported_method,allow_header_conformance,use_after_free,ensure_resource_availability,ignored_auth";

/// Keeps the run from sawing off the branch that it sits on: orders that would end the credential, the application or the
/// tenant that it works with go to others of their kind, and what is rotated or revoked by showing it was made for that.
const HOOKS: &str = r#"
import json, os
import schemathesis

WORLD = json.loads(os.environ["JETON_TEST_WORLD"])
OTHER = {
    WORLD["admin_app"]: WORLD["world"]["app"],
    WORLD["admin_token"]: WORLD["world"]["token"],
    WORLD["system"]: WORLD["spare_tenant"],
}


def spared(value):
    return OTHER.get(value, value) if isinstance(value, str) else value


@schemathesis.hook
def before_call(context, case, kwargs):
    if case.method != "GET" and isinstance(case.path_parameters, dict) and "id" in case.path_parameters:
        case.path_parameters["id"] = spared(case.path_parameters["id"])
    if case.operation.path == "/v1/tokens/cut-off" and isinstance(case.body, dict):
        case.body.pop("everything", None)
        if "subject" in case.body:
            case.body["subject"] = spared(case.body["subject"])
    if case.operation.path == "/v1/revoke" and isinstance(case.body, dict):
        if case.body.get("token") == WORLD["world"]["found"]:
            case.body["token"] = WORLD["world"]["shown"]
    # Most of what it asks of the ledger's size is beyond it, and would hide all the rest.
    at_least = (case.headers or {}).get("Jeton-At-Least")
    if isinstance(at_least, str) and at_least.isdigit() and not at_least.endswith("7"):
        case.headers["Jeton-At-Least"] = "0"
    headers = kwargs.get("headers") or {}
    if case.operation.path == "/v1/whoami/rotate" and headers.get("Authorization", "").endswith(WORLD["admin"]):
        headers["Authorization"] = "Bearer " + WORLD["world"]["rotated"]
"#;

/// 412 is a no like any other, though schemathesis does not count it.
const CONFIGURATION: &str = r"
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 405, 409, 412, 413, 415, 422, 429]
";

/// Runs it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control", "examples", "seed", "keep"])?;
    let program = install::venv_bin()?.join("schemathesis");
    ensure!(
        program.is_file(),
        "schemathesis is not installed: run `cargo xtask test`"
    );
    let figures = Figures {
        examples: options.figure("examples", 12, 1000)?,
        seed: options.figure("seed", 1, 1)?,
    };
    let build = ["build", "-p", "jeton", "--example", "serve_for_tests"];
    run::succeed(&mut run::command("cargo", &build))?;
    let target = run::target_dir()?;
    let dir = target.join("schemathesis");
    let mut runs = Vec::new();
    for as_whom in [Whom::Admin, Whom::Operator] {
        clear(&dir)?;
        let mut authority = Authority::start(&target, &dir)?;
        prepare(&dir, &authority.world, options.control())?;
        let found = tested(&program, &dir, &authority.world, as_whom, &figures);
        authority.stop()?;
        runs.push(found?);
    }
    if !options.given("keep") {
        clear(&dir)?;
    }
    let sum = |name: &str| -> u64 {
        let counts = runs.iter().filter_map(|r| r.get(name)?.as_u64());
        counts.sum()
    };
    let passed = runs.iter().all(|r| r.get("pass") == Some(&json!(true)));
    Ok(json!({
        "pass": passed, "cases": sum("cases"), "operations": sum("operations"), "failures": sum("failures"),
        "examples": figures.examples, "seed": figures.seed, "runs": runs,
    }))
}

struct Figures {
    /// Cases an operation, at least.
    examples: u64,
    seed: u64,
}

#[derive(Clone, Copy)]
enum Whom {
    Admin,
    Operator,
}

impl Whom {
    const fn name(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
        }
    }
}

fn clear(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A running authority; it ends when its standard input does.
struct Authority {
    child: Child,
    world: Value,
}

impl Authority {
    fn start(target: &Path, dir: &Path) -> anyhow::Result<Self> {
        let program = target.join("debug/examples/serve_for_tests");
        let mut command = Command::new(&program);
        command
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let out = child.stdout.take().context("no standard output")?;
        let mut line = String::new();
        BufReader::new(out).read_line(&mut line)?;
        let world = serde_json::from_str(&line).context("the authority did not start")?;
        Ok(Self { child, world })
    }

    fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.child.stdin.take());
        let status = self.child.wait()?;
        ensure!(status.success(), "the authority ended with {status}");
        Ok(())
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        drop(self.child.wait());
    }
}

fn text<'a>(world: &'a Value, pointer: &str) -> anyhow::Result<&'a str> {
    let found = world.pointer(pointer).and_then(Value::as_str);
    found.with_context(|| format!("the authority told no {pointer}"))
}

/// Writes the hooks, and the description with examples of what there is, so that more than shapes are tried.
fn prepare(dir: &Path, world: &Value, control: Control) -> anyhow::Result<()> {
    std::fs::write(dir.join("hooks.py"), HOOKS)?;
    std::fs::write(dir.join("schemathesis.toml"), CONFIGURATION)?;
    let path = dir.join("openapi.json");
    let mut description: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    for (schema, field, example) in [
        ("GrantView", "api", json!("docs")),
        ("GrantView", "scopes", json!(["read"])),
        ("GrantView", "resources", json!(["documents/*"])),
        ("CheckView", "api", json!("docs")),
        ("CheckView", "scopes", json!(["read"])),
        ("CheckView", "path", json!("/documents/7")),
        ("CheckView", "method", json!("GET")),
        ("CheckView", "token", json!(text(world, "/world/found")?)),
        (
            "PossessionView",
            "token",
            json!(text(world, "/world/found")?),
        ),
        ("IssueView", "class", json!("key")),
        ("IssueView", "subject", json!(text(world, "/world/user")?)),
        ("CutOffView", "subject", json!(text(world, "/world/app")?)),
        ("AppOrder", "sponsor", json!(text(world, "/world/user")?)),
        ("AppChange", "sponsor", json!(text(world, "/world/user")?)),
        ("UserOrder", "roles", json!(["editor"])),
        ("RolesOrder", "roles", json!(["editor"])),
        ("ApiOrder", "audience", json!("urn:example:other")),
        ("RouteView", "path", json!("/documents/*")),
        ("RouteView", "method", json!("GET")),
        ("RouteView", "scopes", json!(["read"])),
        ("RoutesOrder", "hosts", json!(["docs.example.test"])),
        ("ConditionsView", "networks", json!(["192.0.2.0/24"])),
        ("ConditionsView", "methods", json!(["GET"])),
        ("ConditionsView", "paths", json!(["/documents/**"])),
        ("ReasonView", "reason", json!("leaked")),
        ("CutOffView", "reason", json!("leaked")),
    ] {
        let pointer = format!("/components/schemas/{schema}/properties/{field}");
        let found = description
            .pointer_mut(&pointer)
            .and_then(Value::as_object_mut);
        let found = found.with_context(|| format!("the description has no {pointer}"))?;
        found.insert("examples".to_owned(), json!([example]));
    }
    let paths = description.get_mut("paths").and_then(Value::as_object_mut);
    for (path, item) in paths.context("no paths")?.iter_mut() {
        for (_, operation) in item.as_object_mut().into_iter().flatten() {
            adapt(path, operation, world, control)?;
        }
    }
    std::fs::write(path, description.to_string())?;
    Ok(())
}

/// Gives the path an example; for the control, forgets a status.
fn adapt(path: &str, operation: &mut Value, world: &Value, control: Control) -> anyhow::Result<()> {
    let example = match path.split('/').nth(2) {
        Some("tokens") => text(world, "/world/token")?,
        Some("users") => text(world, "/world/user")?,
        Some("apps") => text(world, "/world/app")?,
        Some("roles") => text(world, "/world/role")?,
        Some("apis") => text(world, "/world/api")?,
        Some("tenants") => text(world, "/spare_tenant")?,
        Some("policies") => "key",
        _ => "not_found",
    };
    let parameters = operation
        .get_mut("parameters")
        .and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        if let Some(parameter) = parameter.as_object_mut()
            && parameter.get("in") == Some(&json!("path"))
        {
            parameter.insert("example".to_owned(), json!(example));
        }
    }
    let responses = operation
        .get_mut("responses")
        .and_then(Value::as_object_mut);
    if let (Control::Off, Some(responses)) = (control, responses) {
        responses.remove("422");
    }
    Ok(())
}

/// One run.
fn tested(
    program: &Path,
    dir: &Path,
    world: &Value,
    whom: Whom,
    figures: &Figures,
) -> anyhow::Result<Value> {
    let token = text(world, &format!("/{}", whom.name()))?;
    let report = dir.join("report.json");
    let mut command = Command::new(program);
    command
        .arg("run")
        .arg(dir.join("openapi.json"))
        .args(["--url", text(world, "/url")?])
        .args(["--tls-verify", text(world, "/ca")?])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--phases", "examples,coverage,fuzzing,stateful"])
        .args(["--checks", CHECKS])
        .args(["--max-examples", &figures.examples.to_string()])
        .args(["--seed", &figures.seed.to_string()])
        .args(["--request-timeout", "10", "--workers", "1"])
        .args(["--generation-database", "none", "--continue-on-failure"])
        .args(["--no-color", "--warnings", "off", "--report", "json"])
        .arg("--report-json-path")
        .arg(&report)
        .env("SCHEMATHESIS_HOOKS", dir.join("hooks.py"))
        .env("JETON_TEST_WORLD", world.to_string())
        .current_dir(dir);
    // Redeemed once, at the start: only its refusals can be tried.
    let operators = "^/v1/(tenants|setup)";
    match whom {
        Whom::Admin => command.args(["--exclude-path-regex", operators]),
        Whom::Operator => command.args(["--include-path-regex", operators]),
    };
    let status = command.status().context("schemathesis cannot be started")?;
    let report: Value = serde_json::from_str(&std::fs::read_to_string(&report)?)?;
    let count = |pointer: &str| report.pointer(pointer).and_then(Value::as_u64);
    let cases = count("/test_cases/generated").context("the report counts no cases")?;
    let failures = report.get("failures").cloned().unwrap_or_default();
    Ok(json!({
        "as": whom.name(),
        // A run that tried next to nothing proves nothing.
        "pass": status.success() && report.get("complete") == Some(&json!(true)) && cases >= 100,
        "cases": cases,
        "operations": count("/operations/tested"),
        "failures": count("/test_cases/unique_failures"),
        "errors": report.get("errors"),
        "found": failures,
    }))
}
