//! Gate `restore` (G3, R19): however an older state is put back in place of a newer one, no token lives again that was revoked
//! meanwhile, and the node says why it serves nobody.
//!
//! Each scenario lives a little, is copied in one way, acknowledges revocations of every kind, and is put back in that way. A
//! copy of the *whole* machine with its high-water mark is not among them: nothing on a machine can know that; witnesses do.
//!
//! `JETON_SCENARIOS` says how many. With `JETON_CONTROL` the high-water mark is taken away before the start: tokens must live
//! again, or the scenarios show nothing.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    reason = "a test ends at the first surprise"
)]

mod common;

#[path = "backup/vault.rs"]
#[expect(dead_code, reason = "it uses a part of it")]
mod vault;

#[path = "restore/ways.rs"]
mod ways;

use std::path::{Path, PathBuf};

use common::{Authority, config, send};
use jeton::{
    node::start::{Node, StartError},
    serve,
};
use jeton_store::sqlite::Durability;
use serde_json::{Value, json};
use ways::{WAYS, Way};

const QUICK: u64 = 14;
/// So many events fill pages of the store that are not touched later.
const BETWEEN: usize = 40;

fn environment(name: &str) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "the gate tells the test by it")]
    std::env::var(name).ok()
}

/// Chance that is the same in each run.
struct Dice(u64);

impl Dice {
    /// SplitMix64.
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % sides
    }
}

/// A token, and whose it is.
struct Token {
    id: String,
    secret: String,
    user: String,
}

/// Tokens that were good before the copy, and revoked after it.
struct Dead {
    secrets: Vec<String>,
    /// How far was served, as far as the machine knows.
    size: Option<u64>,
}

async fn grown(a: &Authority, dice: &mut Dice) -> Vec<Token> {
    a.api("docs", &["read"]).await;
    let grants = json!([{"api": "docs", "scopes": ["read"]}]);
    let mut tokens = Vec::new();
    for n in 0..3 {
        let (user, _) = a.user(&format!("role{n}"), grants.clone()).await;
        for _ in 0..2 + dice.roll(3) {
            let order = json!({"class": "key", "subject": user, "grants": grants});
            let (id, secret) = a.issue(order).await;
            let user = user.clone();
            tokens.push(Token { id, secret, user });
        }
    }
    // Some have a past that is no end: a rotation whose older secret still overlaps, a suspension that was lifted.
    let turned = dice.roll(tokens.len());
    let path = |verb: &str| format!("/v1/tokens/{}/{verb}", tokens[turned].id);
    for verb in ["suspend", "resume"] {
        a.order("POST", &path(verb), json!({})).await.is(200);
    }
    let said = a.order("POST", &path("rotate"), json!({})).await.is(200);
    let (id, user) = (tokens[turned].id.clone(), tokens[turned].user.clone());
    let secret = said.text("/secret");
    tokens.push(Token { id, secret, user });
    for token in &tokens {
        assert!(allowed(a, &token.secret).await);
    }
    tokens
}

/// Whether anything lets a token in.
async fn allowed(a: &Authority, secret: &str) -> bool {
    let question = json!({"token": secret, "api": "docs", "scopes": ["read"]});
    let asked = a.order("POST", "/v1/check", question).await;
    let bearer = format!("Bearer {secret}");
    let own = [("authorization", bearer.as_str())];
    let own = send(&a.client, "GET", "/v1/whoami", &own, None).await;
    asked.body["allowed"] == true || own.status.is_success()
}

/// Acknowledged ends of every kind.
async fn ended(a: &Authority, tokens: &[Token], dice: &mut Dice) -> Dead {
    let first = dice.roll(tokens.len());
    let revoke =
        |verb: &str, n: usize| format!("/v1/tokens/{}/{verb}", tokens[n % tokens.len()].id);
    for (verb, n) in [
        ("revoke", first),
        ("suspend", first + 1),
        ("revoke", first + 2),
    ] {
        let said = a.order("POST", &revoke(verb, n), json!({})).await;
        // The same token may stand there twice, by two secrets.
        assert!([200, 409].contains(&said.status.as_u16()), "{}", said.body);
    }
    let user = &tokens[dice.roll(tokens.len())].user;
    if dice.roll(2) == 0 {
        let order = json!({"subject": user, "reason": "leaked"});
        a.order("POST", "/v1/tokens/cut-off", order).await.is(200);
    } else {
        let order = json!({"state": "suspended"});
        let path = format!("/v1/users/{user}/state");
        a.order("PUT", &path, order).await.is(200);
    }
    let mut secrets = Vec::new();
    for token in tokens {
        if !allowed(a, &token.secret).await {
            secrets.push(token.secret.clone());
        }
    }
    assert!(secrets.len() >= 2, "{} are dead", secrets.len());
    let size = Some(a.running.doors.node.verifier.size());
    Dead { secrets, size }
}

/// What a start made of it.
#[derive(Default)]
struct Tally {
    scenarios: u64,
    dead: usize,
    revived: usize,
    quarantined: u64,
    refused: u64,
    served: u64,
    sizes_wrong: u64,
    told: Vec<String>,
}

impl Tally {
    fn problem(&mut self, told: String) {
        if self.told.len() < 10 {
            eprintln!("{told}");
            self.told.push(told);
        }
    }

    /// A node that serves nobody says how far it has served, and what it holds.
    fn behind(&mut self, name: &str, (served, stored): (u64, u64), dead: &Dead) {
        self.quarantined += 1;
        let due = dead.size.unwrap_or(stored + 1);
        if served < due || stored >= served {
            self.sizes_wrong += 1;
            self.problem(format!(
                "{name}: it says {served} and {stored}, and {due} were served"
            ));
        }
    }

    fn line(&self) -> Value {
        json!({
            "scenarios": self.scenarios, "revoked_tokens": self.dead, "revived": self.revived,
            "quarantined": self.quarantined, "refused": self.refused, "served": self.served,
            "sizes_wrong": self.sizes_wrong, "problems": self.told,
        })
    }
}

/// Both sizes, if the node serves nobody since more was served than its store holds.
fn quarantine(node: &Node) -> Option<(u64, u64)> {
    node.gate.why().map(|why| (why.served, why.stored))
}

async fn scenario(n: u64, control: bool, tally: &mut Tally) {
    let mut dice = Dice(n);
    let (way, round) = (n as usize % WAYS.len(), n as usize / WAYS.len());
    let Way { name, copy, put } = &WAYS[way];
    // Four rounds meet each way with all four.
    let (fresh, killed) = ((round / 2 + way) % 2 == 0, (round + way) % 2 == 0);
    let a = Authority::start().await;
    let tokens = grown(&a, &mut dice).await;
    let place = ways::Place::new(a.dir.path());
    // A node that was started anew has a snapshot and an empty log.
    let a = if fresh { a.restart().await } else { a };
    tokio::task::block_in_place(|| copy(&place));
    // What comes between the copy and the log that the next start begins is in neither: old file and new log are two histories.
    for n in 0..BETWEEN {
        let order = json!({"name": format!("between {n}")});
        a.order("POST", "/v1/users", order).await.is(201);
    }
    let a = a.restart().await;
    let mut dead = ended(&a, &tokens, &mut dice).await;
    let a = stopped(a, &place, killed).await;
    tokio::task::block_in_place(|| put(&place));
    let data = place.restored();
    if data != place.data {
        // A new machine cannot know how much: only that it does not.
        dead.size = None;
    }
    if control {
        drop(std::fs::remove_file(data.join("high-water")));
    }
    tally.scenarios += 1;
    tally.dead += dead.secrets.len();
    let name = format!("{n} ({name})");
    started(a, &data, (&name, &dead), tally).await;
}

/// Ends the node: well, or as if it had been killed, from an image of its directory.
async fn stopped(a: Authority, place: &ways::Place, killed: bool) -> Stopped {
    if killed {
        place.image();
    }
    let Authority {
        dir,
        running,
        admin,
        operator,
        admin_app,
        tenant,
        ..
    } = a;
    running.stop().await;
    if killed {
        place.put_image();
    }
    Stopped {
        dir,
        admin,
        operator,
        admin_app,
        tenant,
    }
}

/// An authority that does not run.
struct Stopped {
    dir: tempfile::TempDir,
    admin: String,
    operator: String,
    admin_app: String,
    tenant: String,
}

async fn started(stopped: Stopped, data: &Path, (name, dead): (&str, &Dead), tally: &mut Tally) {
    let mut config = config(stopped.dir.path());
    config.data_dir = PathBuf::from(data);
    let running = match serve::start(&config, Durability::Full).await {
        Ok(running) => running,
        Err(error) => {
            match error.downcast_ref::<StartError>() {
                Some(StartError::Gone { served }) => tally.behind(name, (*served, 0), dead),
                Some(_) => tally.refused += 1,
                None => panic!("{name}: {error:#}"),
            }
            return;
        }
    };
    let client = common::client(&running);
    let a = Authority {
        dir: stopped.dir,
        running,
        client,
        operator: stopped.operator,
        admin: stopped.admin,
        admin_app: stopped.admin_app,
        tenant: stopped.tenant,
    };
    match quarantine(&a.running.doors.node) {
        Some(sizes) => tally.behind(name, sizes, dead),
        None => tally.served += 1,
    }
    let mut revived = 0;
    for secret in &dead.secrets {
        revived += usize::from(allowed(&a, secret).await);
    }
    if revived > 0 {
        let of = dead.secrets.len();
        tally.problem(format!(
            "{name}: {revived} of {of} revoked tokens live again"
        ));
    }
    tally.revived += revived;
    a.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_restore_brings_a_revoked_token_back() {
    let scenarios = environment("JETON_SCENARIOS").map_or(QUICK, |n| n.parse().unwrap());
    let control = environment("JETON_CONTROL").is_some();
    let mut tally = Tally::default();
    for n in 0..scenarios {
        scenario(n, control, &mut tally).await;
    }
    println!("restore: {}", tally.line());
    assert_eq!(tally.revived, 0);
    assert_eq!(tally.sizes_wrong, 0);
    assert_eq!(tally.served, 0, "each was put back to an older state");
    assert_eq!(tally.quarantined + tally.refused, scenarios);
}
