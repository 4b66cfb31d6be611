//! A data directory with a tenant and many live tokens, made through the real doors.

use std::sync::Arc;

use bytes::Bytes;
use jeton::{
    app::{Ctx, Words, found, issue},
    net::{Client, Roots},
    node::start::Node,
    serve,
};
use jeton_core::{
    permit::Conditions,
    policy::Lifetime,
    subject::SubjectId,
    token::{
        issue::{Asked, IssueOrder},
        text::{Class, Prefix},
    },
};
use jeton_store::sqlite::Durability;
use serde_json::{Value, json};

use crate::servers::config;

/// A place with a tenant, an API, a checker and so many live tokens.
pub struct Place {
    pub dir: tempfile::TempDir,
    pub checker: String,
    pub texts: Vec<String>,
}

/// Makes one with so many tokens, and stops its server.
pub async fn prepare(tokens: usize) -> Place {
    let dir = tempfile::tempdir().unwrap();
    let running = serve::start(&config(dir.path()), Durability::Full)
        .await
        .unwrap();
    let (_, ctx) = founded(&running).await;
    let call = |path: &'static str, token: String, body: Value| {
        let client = Client::https(
            &format!("https://{}", running.address),
            Roots::File(running.ca_pem.as_deref().unwrap()),
        )
        .unwrap();
        async move {
            let mut headers = http::HeaderMap::new();
            headers.insert("authorization", format!("Bearer {token}").parse().unwrap());
            headers.insert("content-type", "application/json".parse().unwrap());
            let sent = client.send(
                http::Method::POST,
                path,
                headers,
                Bytes::from(body.to_string()),
            );
            let (status, _, body) = sent.await.unwrap();
            assert!(status.is_success(), "{path} {status} {body:?}");
            serde_json::from_slice::<Value>(&body).unwrap()
        }
    };
    let admin = ctx.1;
    let scopes = json!([{"name": "docs:read"}, {"name": "docs:write"}]);
    let api = json!({"name": "docs", "audience": "urn:docs", "scopes": scopes});
    call("/v1/apis", admin.clone(), api).await;
    let grants = json!([{"api": "docs", "scopes": ["docs:read"]}]);
    call(
        "/v1/roles",
        admin.clone(),
        json!({"name": "reader", "permit": {"grants": grants}}),
    )
    .await;
    let user = call("/v1/users", admin.clone(), json!({"roles": ["reader"]})).await;
    let user: SubjectId = SubjectId::parse(user["id"].as_str().unwrap()).unwrap();
    let may = json!({"grants": [{"api": "jeton", "scopes": ["jeton:check"]}]});
    let app = call(
        "/v1/apps",
        admin.clone(),
        json!({"sponsor": user.to_string(), "permit": may}),
    )
    .await;
    let order = json!({"class": "svc", "subject": app["id"], "grants": may["grants"]});
    let checker = call("/v1/tokens", admin, order).await["secret"]
        .as_str()
        .unwrap()
        .to_owned();
    let texts = issue_many(&ctx.0, user, tokens).await;
    running.stop().await;
    Place {
        dir,
        checker,
        texts,
    }
}

/// An operator, a tenant, and its administrator.
pub async fn founded(running: &serve::Running) -> (Arc<Node>, (Ctx, String)) {
    let node = Arc::clone(&running.doors.node);
    let operator = found::operator(&node, None).await.unwrap();
    let ctx = |admin: &found::Admin| Ctx {
        node: Arc::clone(&node),
        tenant: admin.tenant,
        token: admin.issued.token,
        address: None,
        request_id: "bench".into(),
        request: None,
    };
    let prefix = Prefix::parse(b"acme").unwrap();
    let admin = found::tenant(&ctx(&operator), prefix, Words::default())
        .await
        .unwrap();
    let secret = admin.secret.expose_secret().to_owned();
    let ctx = ctx(&admin);
    (node, (ctx, secret))
}

/// An order for a key with all that its owner may.
pub fn order(subject: SubjectId) -> IssueOrder {
    IssueOrder {
        class: Class::Key,
        subject,
        asked: Asked::Inherit,
        give: None,
        conditions: Conditions::default(),
        lifetime: Lifetime::Default,
        limit: None,
    }
}

async fn issue_many(ctx: &Ctx, user: SubjectId, tokens: usize) -> Vec<String> {
    let mut texts = Vec::with_capacity(tokens);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..512 {
        let ctx = ctx.clone();
        let share = tokens / 512;
        tasks.spawn(async move {
            let mut out = Vec::with_capacity(share);
            for _ in 0..share {
                let made = issue::issue_token(&ctx, order(user), Words::default()).await;
                out.push(made.unwrap().1.unwrap().expose_secret().to_owned());
            }
            out
        });
    }
    while let Some(some) = tasks.join_next().await {
        texts.extend(some.unwrap());
    }
    texts
}
