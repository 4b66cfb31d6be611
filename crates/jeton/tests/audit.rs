//! The ledger against whoever may write to the database: no edit of it changes a decision, and each is named.
//!
//! The real binary serves while its database is edited; `jeton audit` runs beside it. `JETON_FULL=1` is the full form (the
//! gates `ledger-…`); `JETON_CONTROL=1` leaves out the comparison that finds the edit: each of these must fail then.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of a test"
)]

mod common;
#[path = "audit/place.rs"]
mod place;
#[path = "canary/server.rs"]
#[expect(dead_code, reason = "another test asks more of it")]
mod server;

use std::time::Duration;

use jeton_core::{
    event::{Actor, Erasure, Event, RECORD_VERSION, Record},
    id::TokenId,
    leaf::{LeafKind, commit},
    permit::Rights,
    scope::ScopeSet,
    subject::SubjectId,
    time::{Span, Time},
    token::{
        record::{Reason, Terms, TokenRecord},
        text::{Class, Prefix, TextDraw, TokenText, mint},
    },
};
use jeton_store::{Continue, Reader as _, fsck::Part, ledger, row::TokenRow, sqlite::SqliteReader};
use place::{Place, Tenant};
use rusqlite::{Connection, params};
use serde_json::{Value, json};
use server::{Server, must_not_start};

type Body = (Terms, u64, u32, Option<Time>, Option<Reason>, Option<Time>);

#[expect(
    clippy::disallowed_methods,
    reason = "the gate tells the test what to do"
)]
fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some()
}

/// In a control: the comparison that is left out.
fn without(part: Part) -> Option<Part> {
    is_set("JETON_CONTROL").then_some(part)
}

/// Changes the body of a token's row, so that it stays well-formed.
fn edit_body(db: &Connection, token: TokenId, change: impl FnOnce(&mut Body)) {
    let select = "SELECT body FROM token WHERE id = ?1";
    let kept: Vec<u8> = db.query_row(select, [token.bytes()], |r| r.get(0)).unwrap();
    let mut body: Body = minicbor::decode(&kept).unwrap();
    change(&mut body);
    let fresh = minicbor::to_vec(&body).unwrap();
    let update = "UPDATE token SET body = ?1 WHERE id = ?2";
    assert_eq!(
        db.execute(update, params![fresh, token.bytes()]).unwrap(),
        1
    );
}

/// The index of a token's last event.
fn last_event(db: &Connection, token: TokenId) -> u64 {
    let select = "SELECT max(idx) FROM trail WHERE about = ?1";
    let last: i64 = db.query_row(select, [token.bytes()], |r| r.get(0)).unwrap();
    u64::try_from(last).unwrap()
}

fn named(found: &[Value], token: TokenId, leaf: u64, field: &str) -> bool {
    let id = token.to_string();
    let is = |f: &&Value| {
        f["table"] == "token" && f["token"] == *id && f["leaf"] == leaf && f["field"] == field
    };
    found.iter().any(|f| is(&f))
}

/// Rows are edited while the server runs: no decision changes, the audit names each, and the server finds it by itself.
#[tokio::test(flavor = "multi_thread")]
async fn an_edited_row_changes_no_decision_and_is_named() {
    let without = without(Part::Rows);
    let place = Place::new();
    let server = Server::start(place.dir(), 1).await;
    let tenant = Tenant::found(&server).await;
    let mut tokens = Vec::new();
    for lifetime_s in [3600, 3600, 3600, 3600] {
        tokens.push(tenant.issue(lifetime_s).await);
    }
    let revoked = &tokens[3];
    tenant
        .order(&format!("/v1/tokens/{}/revoke", revoked.0), &json!({}))
        .await
        .is(200);
    let mut decided = decisions(&tenant, &tokens).await;
    assert_eq!(decided[..2], ["allowed", "scope_missing"]);
    assert_eq!(place.findings(without), (0, Vec::new()));

    let db = place.db();
    let [scopes, expires, owner, state] = [0, 1, 2, 3].map(|n: usize| tokens[n].0);
    edit_body(&db, scopes, |body| match &mut body.0.permit.use_ {
        Rights::Listed(grants) => grants[0].scopes = [0, 1].into_iter().collect::<ScopeSet>(),
        Rights::All => panic!("it has no grants"),
    });
    let set = |sql: &str, token: TokenId| {
        assert_eq!(
            db.execute(
                &format!("UPDATE token SET {sql} WHERE id = ?1"),
                [token.bytes()]
            )
            .unwrap(),
            1
        );
    };
    set("expires = NULL", expires);
    let other: SubjectId = SubjectId::User(tenant.users[1].parse().unwrap());
    let update = "UPDATE token SET subject = ?1 WHERE id = ?2";
    assert_eq!(
        db.execute(update, params![other.bytes(), owner.bytes()])
            .unwrap(),
        1
    );
    set("state = 0", state);
    let edits = [
        (scopes, "scopes"),
        (expires, "expires"),
        (owner, "owner"),
        (state, "state"),
    ];

    decided.extend(decisions(&tenant, &tokens).await);
    let (status, found) = place.findings(without);
    let mut missed: Vec<&str> = Vec::new();
    for (token, field) in edits {
        if !named(&found, token, last_event(&db, token), field) {
            missed.push(field);
        }
    }
    let rolling_ms = rolled(&server, &tenant, &edits).await;
    server.stop().await;
    let server = Server::start(place.dir(), 2).await;
    let tenant = tenant.on(&server);
    decided.extend(decisions(&tenant, &tokens).await);
    let (before, after) = decided.split_at(tokens.len() * 2);
    let changed = after
        .iter()
        .zip(before.iter().cycle())
        .filter(|(now, then)| now != then)
        .count();
    let figures = json!({"edits": edits.len(), "decisions": after.len(), "changed": changed,
        "exit": status, "missed": missed, "rolling_ms": rolling_ms});
    println!("audit: {figures}");
    assert_eq!((changed, status, missed.len()), (0, 3, 0), "{found:?}");
    server.stop().await;
}

/// What the server says of each token for both scopes.
async fn decisions(tenant: &Tenant, tokens: &[(TokenId, String)]) -> Vec<String> {
    let mut said = Vec::new();
    for (_, secret) in tokens {
        for scope in ["read", "write"] {
            said.push(tenant.check(secret, scope).await);
        }
    }
    said
}

/// Waits until the server's own audit has told all edits in its log: how long that took.
async fn rolled(server: &Server, tenant: &Tenant, edits: &[(TokenId, &str)]) -> u64 {
    let since = jeton::capability::stopwatch();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    let due = u64::try_from(edits.len()).unwrap();
    while tenant.metric("jeton_audit_findings").await < due {
        tick.tick().await;
        assert!(
            since() < Duration::from_mins(1),
            "the rolling audit found nothing in a minute"
        );
    }
    let log = std::fs::read_to_string(&server.log).unwrap();
    for (token, field) in edits {
        let line =
            |l: &&str| l.contains("ERROR") && l.contains(&token.to_string()) && l.contains(field);
        assert!(
            log.lines().any(|l| line(&l)),
            "{token} {field} is not in the log"
        );
    }
    u64::try_from(since().as_millis()).unwrap()
}

/// A byte of what the tree stands on, flipped anywhere: the auditor names table and row, each time.
#[tokio::test(flavor = "multi_thread")]
async fn a_flipped_byte_is_named_wherever_it_is() {
    let flips = if is_set("JETON_FULL") { 2000 } else { 200 };
    let part = without(Part::Tree);
    let place = Place::new();
    let server = Server::start(place.dir(), 1).await;
    let tenant = Tenant::found(&server).await;
    for n in 0..150 {
        let (id, _) = tenant.issue(3600).await;
        let then = if n % 2 == 0 { "rotate" } else { "revoke" };
        tenant
            .order(&format!("/v1/tokens/{id}/{then}"), &json!({}))
            .await
            .is(200);
    }
    server.stop().await;
    let audit = || match part {
        Some(part) => place.audit_without(part).findings,
        None => place.audit().report.findings,
    };
    assert_eq!(audit(), []);
    let db = place.db();
    // Of the head's columns the id of the last batch is left out: it is random, and says only whose commit was the last.
    let places = [
        ("event", "leaf", "idx"),
        ("event", "salt", "idx"),
        ("event", "record", "idx"),
        ("tile", "data", "n"),
        ("head", "frontier", "one"),
    ];
    let (mut missed, mut commands) = (Vec::new(), 0);
    for n in 0..flips {
        let (table, column, key) = places[n % places.len()];
        let flipped = Flipped::at_random(&db, table, column, key);
        let row = match table {
            "event" => flipped.key.to_string(),
            "tile" => "tile/0/".to_owned(),
            _ => column.to_owned(),
        };
        let found = audit();
        if !found
            .iter()
            .any(|f| f.table == table && f.row.contains(&row))
        {
            missed.push(format!(
                "{table}.{column} {row} byte {}: {found:?}",
                flipped.byte
            ));
        }
        if n % 20 == 0 && part.is_none() {
            commands += 1;
            assert_eq!(place.audit_command().0, Some(3), "{table}.{column} {row}");
        }
        flipped.back(&db);
    }
    let back = audit();
    let figures = json!({"flips": flips, "missed": missed.len(), "commands": commands});
    println!("audit: {figures}");
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert_eq!(back, []);
}

/// A byte that was flipped, to be flipped back.
struct Flipped {
    update: String,
    key: i64,
    byte: usize,
    kept: Vec<u8>,
}

impl Flipped {
    fn at_random(db: &Connection, table: &str, column: &str, key: &str) -> Self {
        let draw = |below: usize| {
            let drawn = u64::from_le_bytes(jeton::capability::draw());
            usize::try_from(drawn % u64::try_from(below).unwrap()).unwrap()
        };
        let count: i64 = db
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get(0))
            .unwrap();
        let select = format!(
            "SELECT {key}, {column} FROM {table} LIMIT 1 OFFSET {}",
            draw(usize::try_from(count).unwrap())
        );
        let (key_value, kept): (i64, Vec<u8>) = db
            .query_row(&select, [], |r| Ok((r.get(0)?, r.get(1)?)))
            .unwrap();
        let byte = draw(kept.len());
        let mut bytes = kept.clone();
        bytes[byte] ^= 1 << draw(8);
        let update = format!("UPDATE {table} SET {column} = ?1 WHERE {key} = ?2");
        assert_eq!(db.execute(&update, params![bytes, key_value]).unwrap(), 1);
        Self {
            update,
            key: key_value,
            byte,
            kept,
        }
    }

    fn back(&self, db: &Connection) {
        assert_eq!(
            db.execute(&self.update, params![self.kept, self.key])
                .unwrap(),
            1
        );
    }
}

/// Rows out of nothing: neither a token's row nor an event with a right digest and no valid leaf makes anybody known.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_without_a_leaf_is_nobody() {
    let without = without(Part::Rows);
    let place = Place::new();
    let server = Server::start(place.dir(), 1).await;
    let tenant = Tenant::found(&server).await;
    let (model, secret) = tenant.issue(3600).await;
    assert_eq!(tenant.check(&secret, "read").await, "allowed");

    // The row alone, as the writer would have made it.
    let draw = TextDraw([7; 64]);
    let ghost = mint(Prefix::parse(b"acme").unwrap(), Class::Key, &draw).unwrap();
    let id = TokenId::from_bytes([7; 16]);
    let mut reader = SqliteReader::open(&place.data().join("ledger.db")).unwrap();
    let record = issued(&mut reader, model);
    let record = as_ghost(&place, &record, id, ghost.expose_secret());
    let db = place.db();
    let size = insert_row(&db, &record);
    let ghost = ghost.expose_secret();
    let row = answers(&tenant, ghost).await;
    let (status, found) = place.findings(without);
    let row_named = found
        .iter()
        .any(|f| f["table"] == "token" && f["token"] == *id.to_string());
    server.stop().await;
    let server = Server::start(place.dir(), 2).await;
    let restarted = answers(&tenant.on(&server), ghost).await;

    // And the event, with everything but the tags, for which a key is missing.
    assert_eq!(insert_event(&db, &record), size);
    let event = answers(&tenant.on(&server), ghost).await;
    let (event_status, event_found) = place.findings(without);
    let row_of_event = size.to_string();
    let event_named = event_found
        .iter()
        .any(|f| f["table"] == "event" && f["row"] == *row_of_event);
    server.stop().await;
    let refused = must_not_start(place.dir()).await;
    // With the head moved up to it, too.
    db.execute("UPDATE head SET size = size + 1", []).unwrap();
    let moved = must_not_start(place.dir()).await;
    let figures = json!({"row": row, "restarted": restarted, "event": event, "exit": [status, event_status],
        "row_named": row_named, "event_named": event_named});
    println!("audit: {figures}");
    let nobody = ("token_unknown".to_owned(), 401);
    assert_eq!([&row, &restarted, &event], [&nobody; 3]);
    assert!(row_named && event_named, "{found:?} {event_found:?}");
    assert_eq!((status, event_status), (3, 3));
    assert!(
        refused.contains("not sound") && moved.contains("not sound"),
        "{refused} {moved}"
    );
}

/// What the server says to somebody with this token.
async fn answers(tenant: &Tenant, token: &str) -> (String, u16) {
    (
        tenant.check(token, "read").await,
        tenant.whoami(token).await,
    )
}

/// The record of a token's issuance.
fn issued(reader: &mut SqliteReader, token: TokenId) -> Record {
    let mut found = None;
    let each = &mut |stored: jeton_store::Stored| {
        let record = ledger::decode(&stored.opening.unwrap().1).unwrap();
        if record.event.token() == Some(token) {
            found = Some(record);
            return Ok(Continue::No);
        }
        Ok(Continue::Yes)
    };
    reader.events(0, each).unwrap();
    found.unwrap()
}

/// The same issuance for another token, with the digest that its text really has: somebody had the pepper, too.
fn as_ghost(place: &Place, model: &Record, id: TokenId, text: &str) -> Record {
    let Event::TokenIssued {
        class,
        subject,
        pepper,
        terms,
        ..
    } = &model.event
    else {
        panic!("no issuance");
    };
    let (_, key) = place.keyring().pepper(model.tenant).unwrap();
    let event = Event::TokenIssued {
        token: id,
        class: *class,
        subject: *subject,
        digest: key.digest(&TokenText::parse(text).unwrap()),
        pepper: *pepper,
        terms: terms.clone(),
        expires: Some(model.at.after(Span::DAY)),
    };
    Record {
        version: RECORD_VERSION,
        actor: Actor::Authority,
        request: None,
        aside: None,
        event,
        ..model.clone()
    }
}

/// Inserts the row that an issuance would leave behind the ledger's end: that end.
fn insert_row(db: &Connection, record: &Record) -> i64 {
    let size: i64 = db
        .query_row("SELECT size FROM head", [], |r| r.get(0))
        .unwrap();
    let index = u64::try_from(size).unwrap();
    let token = TokenRecord::issued(index, record.tenant, &record.event).unwrap();
    let row = TokenRow::of(&token);
    let insert = "INSERT INTO token (tenant, id, event, subject, class, state, expires, body) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let values = params![
        row.tenant.bytes(),
        row.id.bytes(),
        size,
        row.subject,
        row.class,
        row.state,
        row.expires,
        row.body
    ];
    assert_eq!(db.execute(insert, values).unwrap(), 1);
    size
}

/// A revocation is taken back by SQL, as thoroughly as SQL can: the token stays dead, and the audit says which leaf is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_cannot_be_taken_back() {
    let without = without(Part::Openings);
    let place = Place::new();
    let server = Server::start(place.dir(), 1).await;
    let tenant = Tenant::found(&server).await;
    let (token, secret) = tenant.issue(3600).await;
    let db = place.db();
    let old = Row::of(&db, token);
    let old_head: (i64, Vec<u8>) = db
        .query_row("SELECT size, frontier FROM head", [], |r| {
            Ok((r.get(0)?, r.get(1)?))
        })
        .unwrap();
    tenant
        .order(&format!("/v1/tokens/{token}/revoke"), &json!({}))
        .await
        .is(200);
    assert_eq!(tenant.check(&secret, "read").await, "token_revoked");
    let leaf = last_event(&db, token);

    old.put_back(&db, token);
    db.execute_batch(&format!(
        "DELETE FROM event WHERE idx = {leaf}; DELETE FROM trail WHERE idx = {leaf}"
    ))
    .unwrap();
    let mut allowed = u64::from(tenant.check(&secret, "read").await != "token_revoked");
    let (status, found) = place.findings(without);
    let told = without_opening(&found, leaf);
    server.stop().await;

    // With the snapshot, without it, and with the head set back to before the revocation.
    let mut starts = Vec::new();
    for step in ["as it is", "without snapshot", "with the old head"] {
        match step {
            "without snapshot" => std::fs::remove_file(place.data().join("snapshot")).unwrap(),
            "with the old head" => {
                let (size, frontier) = &old_head;
                db.execute(
                    "UPDATE head SET size = ?1, frontier = ?2",
                    params![size, frontier],
                )
                .unwrap();
            }
            _ => {}
        }
        let (started, dead) = goes(&place, &tenant, &secret).await;
        allowed += u64::from(!dead);
        starts.push(started);
    }
    let (rolled_back, found_then) = place.findings(without);
    let high_water = without.is_some() || found_then.iter().any(|f| f["table"] == "high-water");
    let mut erased = Vec::new();
    for notice in [Notice::None, Notice::Forged] {
        let taken = taken_back_by_erasing(without, notice).await;
        allowed += taken.allowed;
        erased.push(taken.told && taken.status == 3);
    }
    let figures = json!({"allowed": allowed, "exit": [status, rolled_back], "told": told, "starts": starts,
        "erased_told": erased});
    println!("audit: {figures}");
    assert_eq!(allowed, 0);
    assert!(told, "{found:?}");
    assert_eq!(erased, [true, true]);
    assert_eq!(
        (status, rolled_back, high_water),
        (3, 3, true),
        "{found_then:?}"
    );
}

/// Whether somebody is told that a leaf has no opening.
fn without_opening(found: &[Value], leaf: u64) -> bool {
    let what = format!("leaf {leaf} has no opening");
    let is = |f: &Value| {
        let told = f["what"].as_str().unwrap_or_default();
        f["table"] == "event" && f["leaf"] == leaf && told.contains(&what)
    };
    found.iter().any(is)
}

/// What a token's row says of its state.
struct Row {
    event: i64,
    state: u8,
    body: Vec<u8>,
}

impl Row {
    fn of(db: &Connection, token: TokenId) -> Self {
        let select = "SELECT event, state, body FROM token WHERE id = ?1";
        let read = db.query_row(select, [token.bytes()], |r| {
            Ok(Self {
                event: r.get(0)?,
                state: r.get(1)?,
                body: r.get(2)?,
            })
        });
        read.unwrap()
    }

    fn put_back(&self, db: &Connection, token: TokenId) {
        let update = "UPDATE token SET event = ?1, state = ?2, body = ?3 WHERE id = ?4";
        let values = params![self.event, self.state, self.body, token.bytes()];
        assert_eq!(db.execute(update, values).unwrap(), 1);
    }
}

/// The notice of an erasure that nobody ordered.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Notice {
    None,
    Forged,
}

/// What became of a revocation that was taken back.
struct Taken {
    allowed: u64,
    told: bool,
    status: i32,
}

/// The opening of a revocation goes as if it had been erased, with its trail; and the row is as it was before.
async fn taken_back_by_erasing(without: Option<Part>, notice: Notice) -> Taken {
    let place = Place::new();
    let server = Server::start(place.dir(), 1).await;
    let tenant = Tenant::found(&server).await;
    let (token, secret) = tenant.issue(3600).await;
    let db = place.db();
    let old = Row::of(&db, token);
    let path = format!("/v1/tokens/{token}/revoke");
    tenant.order(&path, &json!({})).await.is(200);
    let leaf = last_event(&db, token);
    let mut reader = SqliteReader::open(&place.data().join("ledger.db")).unwrap();
    let model = issued(&mut reader, token);
    old.put_back(&db, token);
    db.execute_batch(&format!(
        "UPDATE event SET salt = NULL, record = NULL WHERE idx = {leaf}; DELETE FROM trail WHERE idx = {leaf}"
    ))
    .unwrap();
    if notice == Notice::Forged {
        // It names no token, so that this one lives on without its end.
        let erasure = Erasure::Openings {
            tokens: Vec::new(),
            indexes: vec![leaf],
        };
        let event = Event::Erased(erasure);
        insert_event(&db, &Record { event, ..model });
    }
    let mut allowed = u64::from(tenant.check(&secret, "read").await != "token_revoked");
    let (status, found) = place.findings(without);
    let told = without_opening(&found, leaf);
    server.stop().await;
    for _ in ["with the snapshot", "without it"] {
        let (_, dead) = goes(&place, &tenant, &secret).await;
        allowed += u64::from(!dead);
        drop(std::fs::remove_file(place.data().join("snapshot")));
    }
    Taken {
        allowed,
        told,
        status,
    }
}

/// Inserts an event behind the ledger's end, with everything but the tags, for which a key is missing: its index.
fn insert_event(db: &Connection, record: &Record) -> i64 {
    let size: i64 = db
        .query_row("SELECT size FROM head", [], |r| r.get(0))
        .unwrap();
    let salt = [9; 32];
    let bytes = ledger::encode(record).unwrap();
    let mut leaf = vec![1, LeafKind::of(&record.event).byte()];
    leaf.extend(record.at.millis().to_be_bytes());
    leaf.extend([0; 64]);
    leaf.extend(commit(&salt, &bytes));
    let insert = "INSERT INTO event (idx, leaf, salt, record) VALUES (?1, ?2, ?3, ?4)";
    let values = params![size, leaf, salt, bytes];
    assert_eq!(db.execute(insert, values).unwrap(), 1);
    size
}

/// Whether an authority starts, and whether a token is dead after that.
async fn goes(place: &Place, tenant: &Tenant, secret: &str) -> (bool, bool) {
    let starts = tokio::task::spawn_blocking({
        let (data, kek) = (place.data(), place.dir().join("kek/key"));
        move || {
            let mut at = jeton::node::start::Place::in_dir(&data, "jeton.local/ledger");
            at.kek = jeton::node::keyring::Kek::File(kek);
            let clock = std::sync::Arc::new(jeton::capability::Clock::start());
            jeton::node::start::start(&at, clock)
                .map(|node| node.stop())
                .is_ok()
        }
    });
    if !starts.await.unwrap() {
        // Whoever is not there authenticates nobody.
        must_not_start(place.dir()).await;
        return (false, true);
    }
    let server = Server::start(place.dir(), 9).await;
    let said = tenant.on(&server).check(secret, "read").await;
    let dead = ["token_revoked", "quarantined"].contains(&said.as_str());
    server.stop().await;
    (true, dead)
}
