//! The main job, step by step: from the first token to its revocation, and what the ledger says of it.

use http::Method;
use jeton_core::{refusal::Refusal, token::text::TokenText};
use serde_json::{Value, json};

use super::{Made, Story, expect, line, text};

impl Story {
    fn grant(scopes: &[&str]) -> Value {
        json!([{"api": "documents", "scopes": scopes}])
    }

    /// All of them, in order: the secret of a key that may read.
    pub(super) async fn main_job(&mut self) -> anyhow::Result<String> {
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
