//! The story that the demo tells: who takes part, and how each asks.

pub(super) mod setting;
mod steps;

use std::{path::PathBuf, time::Duration};

use http::Method;
use serde_json::{Map, Value, json};

use super::{
    api::Example,
    talk::{Said, Talk, heading, line, text},
};
use crate::serve::Running;

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
    let (operator, admin) = setting::found(running, &jeton).await?;
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
    let (read, write) = setting::define_apis(&jeton, &admin, openapi).await?;
    line(&format!(
        "{} {} needs {}",
        read.method, read.path, read.scope
    ));
    line(&format!(
        "{} {} needs {}",
        write.method, write.path, write.scope
    ));
    let checker = setting::checker(&jeton, &admin).await?;
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
