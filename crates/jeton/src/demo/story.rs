//! The steps of the demo.

use std::{path::PathBuf, time::Duration};

use http::Method;
use jeton_core::{refusal::Refusal, token::text::TokenText};
use serde_json::{Map, Value, json};

use super::{
    api::Example,
    talk::{Said, Talk, heading, line, text},
};
use crate::{http::openapi_import, serve::Running};

/// How long a step waits for what time alone brings.
const PATIENCE: Duration = Duration::from_secs(20);

/// The demo's world when the story is told.
pub(super) struct World {
    documents: Example,
    billing: Example,
    admin: String,
    key: String,
    ca: PathBuf,
    read: Call,
}

/// A call to the example API, and the scope that it needs.
#[derive(Clone, Debug)]
struct Call {
    method: Method,
    path: String,
    scope: String,
}

struct Story {
    jeton: Talk,
    api: Talk,
    other: Talk,
    admin: String,
    read: Call,
    write: Call,
    step: usize,
}

/// Tells the story. Each step asserts what it shows.
pub(super) async fn tell(running: &Running, openapi: &Map<String, Value>) -> anyhow::Result<World> {
    let base = format!("https://{}", running.address);
    let ca = running
        .ca_pem
        .clone()
        .ok_or_else(|| anyhow::anyhow!("the demo wants the local CA"))?;
    let pem = std::fs::read(&ca)?;
    let jeton = Talk::to(&base, &pem)?;
    println!(
        "jeton demo: an authority at {base}, its ledger in {}",
        running.doors.node.dir.display()
    );
    heading(
        1,
        "Setup: the single-use secret becomes the operator's token, the operator founds a tenant.",
    );
    let (operator, admin) = found(running, &jeton).await?;
    line(&format!(
        "operator {}…, tenant admin {}…",
        shorten(&operator),
        shorten(&admin)
    ));
    let repeated = json!({"secret": "used"});
    let again = jeton
        .say(Method::POST, "/v1/setup", None, Some(&repeated))
        .await?;
    expect(&again, 401, "setup_spent")?;
    line("the secret a second time: 401 setup_spent");
    heading(
        2,
        "The API's scope catalogue and routes, read from its OpenAPI description.",
    );
    let (read, write) = define_apis(&jeton, &admin, openapi).await?;
    line(&format!(
        "{} {} needs {}",
        read.method, read.path, read.scope
    ));
    line(&format!(
        "{} {} needs {}",
        write.method, write.path, write.scope
    ));
    let checker = checker(&jeton, &admin).await?;
    let tls = running.doors.node.dir.join("tls");
    let asking = || Talk::to(&base, &pem);
    let documents = Example::start("documents", asking()?, checker.clone(), &tls).await?;
    let billing = Example::start("billing", asking()?, checker, &tls).await?;
    let api = Talk::to(&format!("https://{}", documents.address), &pem)?;
    let other = Talk::to(&format!("https://{}", billing.address), &pem)?;
    line(&format!(
        "the example API listens at {} and asks jeton about every call",
        api.base
    ));
    let mut story = Story {
        jeton,
        api,
        other,
        admin,
        read,
        write,
        step: 2,
    };
    let key = story.main_job().await?;
    Ok(World {
        documents,
        billing,
        admin: story.admin,
        key,
        ca,
        read: story.read,
    })
}

async fn found(running: &Running, jeton: &Talk) -> anyhow::Result<(String, String)> {
    let (secret, _) = running.setup.as_ref().ok_or_else(|| {
        anyhow::anyhow!("this data directory was set up before: the demo wants a fresh one")
    })?;
    let setup = json!({"secret": secret.expose_secret()});
    let said = jeton
        .say(Method::POST, "/v1/setup", None, Some(&setup))
        .await?;
    anyhow::ensure!(said.status == 201, "setup answered {}", said.status);
    let operator = text(&said.body, &["secret"])?;
    let tenant = json!({"prefix": "acme", "name": "Acme"});
    let tenant = jeton
        .order(Method::POST, "/v1/tenants", &operator, &tenant)
        .await?;
    Ok((operator, text(&tenant, &["secret"])?))
}

/// Defines two APIs, the first from the description, and picks a call to read with and one to write with.
async fn define_apis(
    jeton: &Talk,
    admin: &str,
    openapi: &Map<String, Value>,
) -> anyhow::Result<(Call, Call)> {
    let define = json!({"name": "documents", "audience": "https://documents.example.test"});
    let api = jeton
        .order(Method::POST, "/v1/apis", admin, &define)
        .await?;
    let described = openapi_import::read(openapi, &[])
        .map_err(|b| anyhow::anyhow!("the description: {}", b.rule.unwrap_or_default()))?;
    let call = |route: &crate::http::apis::RouteView| -> Option<Call> {
        let method = route.method.as_deref()?.parse().ok()?;
        let [scope] = &route.scopes[..] else {
            return None;
        };
        Some(Call {
            method,
            path: route.path.replace('*', "1"),
            scope: scope.clone(),
        })
    };
    let calls: Vec<Call> = described.routes.iter().filter_map(call).collect();
    let read = calls
        .iter()
        .find(|c| c.method == Method::GET)
        .or_else(|| calls.first());
    let read =
        read.ok_or_else(|| anyhow::anyhow!("the description has no operation with one scope"))?;
    let write = calls.iter().find(|c| c.scope != read.scope);
    let write =
        write.ok_or_else(|| anyhow::anyhow!("the description needs two different scopes"))?;
    let import = json!({"openapi": openapi, "defaults": [read.scope]});
    let path = format!("/v1/apis/{}/import", text(&api, &["id"])?);
    jeton.order(Method::POST, &path, admin, &import).await?;
    let billing = json!({
        "name": "billing", "audience": "https://billing.example.test",
        "scopes": [{"name": "invoices:read", "description": "Read invoices."}],
    });
    jeton
        .order(Method::POST, "/v1/apis", admin, &billing)
        .await?;
    Ok((read.clone(), write.clone()))
}

/// The credential that the example APIs show to jeton: may check, and no more.
async fn checker(jeton: &Talk, admin: &str) -> anyhow::Result<String> {
    let ada = jeton
        .order(Method::POST, "/v1/users", admin, &json!({"name": "Ada"}))
        .await?;
    let may = json!({"grants": [{"api": "jeton", "scopes": ["jeton:check"]}]});
    let app = json!({"sponsor": text(&ada, &["id"])?, "permit": may, "name": "documents service"});
    let app = jeton.order(Method::POST, "/v1/apps", admin, &app).await?;
    let order = json!({
        "class": "svc", "subject": text(&app, &["id"])?,
        "grants": [{"api": "jeton", "scopes": ["jeton:check"]}], "name": "checker",
    });
    text(
        &jeton
            .order(Method::POST, "/v1/tokens", admin, &order)
            .await?,
        &["secret"],
    )
}

fn expect(said: &Said, status: u16, code: &str) -> anyhow::Result<()> {
    let fits = said.status.as_u16() == status && (code.is_empty() || said.text("code") == code);
    anyhow::ensure!(
        fits,
        "expected {status} {code}, got {} {}",
        said.status,
        said.body
    );
    Ok(())
}

fn shorten(token: &str) -> &str {
    token.get(..13).unwrap_or_default()
}

struct Made {
    id: String,
    secret: String,
}

impl Story {
    fn head(&mut self, words: &str) {
        self.step += 1;
        heading(self.step, words);
    }

    async fn call(&self, call: &Call, token: &str) -> anyhow::Result<Said> {
        self.api
            .say(call.method.clone(), &call.path, Some(token), None)
            .await
    }

    async fn allowed(&self, call: &Call, token: &str, words: &str) -> anyhow::Result<()> {
        let said = self.call(call, token).await?;
        expect(&said, 200, "")?;
        line(&format!("{} {} with {words}: 200", call.method, call.path));
        Ok(())
    }

    async fn refused(
        &self,
        call: &Call,
        token: &str,
        (status, code): (u16, &str),
        words: &str,
    ) -> anyhow::Result<()> {
        let said = self.call(call, token).await?;
        expect(&said, status, code)?;
        line(&format!(
            "{} {} with {words}: {status} {code}: {}",
            call.method,
            call.path,
            said.text("message")
        ));
        Ok(())
    }

    async fn order(&self, method: Method, path: &str, body: Value) -> anyhow::Result<Value> {
        self.jeton.order(method, path, &self.admin, &body).await
    }

    async fn issue(&self, order: Value) -> anyhow::Result<Made> {
        let made = self.order(Method::POST, "/v1/tokens", order).await?;
        Ok(Made {
            id: text(&made, &["token", "id"])?,
            secret: text(&made, &["secret"])?,
        })
    }

    fn grant(scopes: &[&str]) -> Value {
        json!([{"api": "documents", "scopes": scopes}])
    }

    async fn main_job(&mut self) -> anyhow::Result<String> {
        let both = Self::grant(&[&self.read.scope, &self.write.scope]);
        self.head("A user with a role, and an application that stands for nobody.");
        let role = json!({"name": "writer", "permit": {"grants": both}});
        let role = text(&self.order(Method::POST, "/v1/roles", role).await?, &["id"])?;
        let user = json!({"roles": ["writer"], "name": "Grace"});
        let user = text(&self.order(Method::POST, "/v1/users", user).await?, &["id"])?;
        let app = json!({"sponsor": user, "name": "nightly export", "permit": {"grants": both}});
        let app = text(&self.order(Method::POST, "/v1/apps", app).await?, &["id"])?;
        line(&format!(
            "{user} has the role writer; {app} is sponsored by her"
        ));
        self.head("A user-based token, temporary; an application-based token, permanent by explicit order.");
        let pat = json!({"class": "pat", "subject": user, "inherit": true, "name": "laptop", "lifetime_s": 86400});
        let pat = self.issue(pat).await?;
        let svc = json!({"class": "svc", "subject": app, "grants": both, "permanent": true, "name": "export"});
        let svc = self.issue(svc).await?;
        self.allowed(
            &self.write,
            &pat.secret,
            "the user's token (inherits her role)",
        )
        .await?;
        self.allowed(&self.read, &svc.secret, "the application's token")
            .await?;
        self.head("Limits of scope, API and spelling.");
        let key = json!({"class": "key", "subject": user, "name": "read only"});
        let key = self.issue(key).await?;
        self.allowed(
            &self.read,
            &key.secret,
            "a key for which nothing was asked (default scopes)",
        )
        .await?;
        self.refused(
            &self.write,
            &key.secret,
            (403, "scope_missing"),
            "the same key",
        )
        .await?;
        let wrong = self
            .other
            .say(Method::GET, "/invoices", Some(&key.secret), None)
            .await?;
        expect(&wrong, 401, "audience_wrong")?;
        line(&format!(
            "GET /invoices at the billing API: 401 audience_wrong: {}",
            wrong.text("message")
        ));
        self.typo(&key.secret).await?;
        self.expiry(&user).await?;
        self.rotation(&svc).await?;
        self.revocation(&svc).await?;
        self.role_away(&role, &pat).await?;
        self.limit(&user).await?;
        self.ledger().await?;
        Ok(key.secret)
    }

    async fn typo(&self, secret: &str) -> anyhow::Result<()> {
        let mut bytes = secret.as_bytes().to_vec();
        if let Some(byte) = bytes.get_mut(20) {
            *byte = if *byte == b'x' { b'y' } else { b'x' };
        }
        let typo = String::from_utf8(bytes)?;
        let offline = TokenText::parse(&typo).err();
        anyhow::ensure!(
            offline == Some(Refusal::TokenChecksum),
            "the checksum did not find the typo"
        );
        line("one letter changed: the public checksum finds it without asking anybody");
        self.refused(&self.read, &typo, (401, "token_unknown"), "the typo")
            .await
    }

    /// Asks again and again until the answer is this refusal.
    async fn until(&self, token: &str, code: &str) -> anyhow::Result<Said> {
        let mut tick = tokio::time::interval(Duration::from_millis(100));
        let asking = async {
            loop {
                tick.tick().await;
                let said = self.call(&self.read, token).await?;
                if said.text("code") == code {
                    return Ok(said);
                }
            }
        };
        match tokio::time::timeout(PATIENCE, asking).await {
            Ok(said) => said,
            Err(_) => anyhow::bail!("waited {} s in vain for {code}", PATIENCE.as_secs()),
        }
    }

    async fn expiry(&mut self, user: &str) -> anyhow::Result<()> {
        self.head("A token of two seconds.");
        let brief = json!({"class": "key", "subject": user, "lifetime_s": 2});
        let brief = self.issue(brief).await?;
        self.allowed(&self.read, &brief.secret, "the brief key")
            .await?;
        let said = self.until(&brief.secret, "token_expired").await?;
        line(&format!(
            "later: {} token_expired, at {}",
            said.status.as_u16(),
            said.text("at")
        ));
        Ok(())
    }

    async fn rotation(&mut self, svc: &Made) -> anyhow::Result<()> {
        self.head("Rotation: old and new secret are both good for the overlap, then only the new.");
        let path = format!("/v1/tokens/{}/rotate", svc.id);
        let rotated = self
            .order(Method::POST, &path, json!({"overlap_s": 2}))
            .await?;
        let fresh = text(&rotated, &["secret"])?;
        self.allowed(&self.read, &svc.secret, "the old secret")
            .await?;
        self.allowed(&self.read, &fresh, "the new secret").await?;
        self.until(&svc.secret, "token_replaced").await?;
        line("two seconds later the old secret: 401 token_replaced");
        self.allowed(&self.read, &fresh, "the new secret").await
    }

    async fn revocation(&mut self, svc: &Made) -> anyhow::Result<()> {
        self.head("Revocation: one call, and every secret of the token is dead.");
        let path = format!("/v1/tokens/{}/revoke", svc.id);
        let why = json!({"reason": "leaked", "note": "found in a public repository"});
        self.order(Method::POST, &path, why).await?;
        let said = self.call(&self.read, &svc.secret).await?;
        expect(&said, 401, "token_revoked")?;
        line(&format!(
            "401 token_revoked, reason {}, at {}",
            said.text("reason"),
            said.text("at")
        ));
        Ok(())
    }

    async fn role_away(&mut self, role: &str, pat: &Made) -> anyhow::Result<()> {
        self.head(
            "The role loses a right: the user's token is weaker at once, without being touched.",
        );
        self.allowed(&self.write, &pat.secret, "the user's token")
            .await?;
        let narrower = json!({"grants": Self::grant(&[&self.read.scope])});
        self.order(Method::PUT, &format!("/v1/roles/{role}"), narrower)
            .await?;
        self.refused(
            &self.write,
            &pat.secret,
            (403, "owner_scope_missing"),
            "the same token",
        )
        .await?;
        self.allowed(&self.read, &pat.secret, "the same token")
            .await
    }

    async fn limit(&mut self, user: &str) -> anyhow::Result<()> {
        self.head("A rate limit: three calls a minute.");
        let limited =
            json!({"class": "key", "subject": user, "limit": {"count": 3, "window_s": 60}});
        let limited = self.issue(limited).await?;
        for _ in 0..3 {
            self.allowed(&self.read, &limited.secret, "the limited key")
                .await?;
        }
        let said = self.call(&self.read, &limited.secret).await?;
        expect(&said, 429, "limit_exceeded")?;
        line(&format!(
            "the fourth: 429 limit_exceeded, Retry-After {} s",
            said.header("retry-after")
        ));
        Ok(())
    }

    async fn ledger(&mut self) -> anyhow::Result<()> {
        self.head("The ledger: what happened, who did it, and with which credential.");
        let events = self
            .jeton
            .say(Method::GET, "/v1/events?limit=3", Some(&self.admin), None)
            .await?;
        expect(&events, 200, "")?;
        let items = events.body.get("items").and_then(Value::as_array);
        for event in items.into_iter().flatten() {
            let of = |name: &str| event.get(name).map(ToString::to_string).unwrap_or_default();
            line(&format!(
                "#{} {} by {}",
                of("index"),
                of("event"),
                of("actor_token")
            ));
        }
        Ok(())
    }
}

impl World {
    /// Says what to try next.
    pub(super) fn what_next(&self, running: &Running) {
        let (ca, key) = (self.ca.display(), &self.key);
        println!("\nEverything went as it should. It keeps running; try, in another terminal:\n");
        println!("  # the example API, with a key that may read");
        println!(
            "  curl --cacert {ca} -H 'Authorization: Bearer {key}' https://{}{}",
            self.documents.address, self.read.path
        );
        println!("  # who am I?");
        println!(
            "  curl --cacert {ca} -H 'Authorization: Bearer {key}' https://{}/v1/whoami",
            running.address
        );
        println!("  # the audit trail, with the tenant's admin token");
        println!(
            "  curl --cacert {ca} -H 'Authorization: Bearer {}' 'https://{}/v1/events?limit=5'",
            self.admin, running.address
        );
        println!("  # end the key by showing it, then call the API again");
        println!(
            "  curl --cacert {ca} --json '{{\"token\":\"{key}\"}}' https://{}/v1/revoke",
            running.address
        );
        println!("\nCtrl-C stops it.");
    }

    /// Closes the example APIs.
    pub(super) async fn stop(self) {
        self.documents.stop().await;
        self.billing.stop().await;
    }
}
