//! How findings name what they are about: token, leaf and field, one difference once; and that no bytes whatever make a panic.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

#[path = "fsck/sound.rs"]
mod sound;
mod world;

use jeton_core::{
    event::Event,
    id::{AppId, TokenId},
    limit::Limit,
    permit::{Conditions, Give, Rights},
    resource::Pattern,
    scope::ScopeSet,
    time::{Span, Time},
    token::record::{Reason, Terms},
};
use jeton_store::{
    Continue, Reader as _,
    fsck::{self, Finding, Keys, Part, Report},
    ledger,
    sqlite::{Durability, Sqlite, SqliteReader},
};
use rusqlite::params;
use sound::{Sound, checked, hex, raw};
use world::{World, log_key, seal_key, tag_key};

type Body = (Terms, u64, u32, Option<Time>, Option<Reason>, Option<Time>);

/// The index of each event about a token.
fn events_of(sound: &Sound, token: TokenId) -> Vec<(u64, Event)> {
    let mut reader = SqliteReader::open(&sound.path).unwrap();
    let mut found = Vec::new();
    let each = &mut |stored: jeton_store::Stored| {
        let (_, bytes) = stored.opening.unwrap();
        let event = ledger::decode(&bytes).unwrap().event;
        if event.token() == Some(token) {
            found.push((stored.index, event));
        }
        Ok(Continue::Yes)
    };
    reader.events(0, each).unwrap();
    found
}

/// The store with the body of a token's row changed, and still well-formed.
fn with_body(sound: &Sound, token: TokenId, change: impl FnOnce(&mut Body)) -> Report {
    let path = sound.copy("body.db");
    let db = raw(&path);
    let select = "SELECT body FROM token WHERE id = ?1";
    let kept: Vec<u8> = db.query_row(select, [token.bytes()], |r| r.get(0)).unwrap();
    let mut body: Body = minicbor::decode(&kept).unwrap();
    change(&mut body);
    let fresh = minicbor::to_vec(&body).unwrap();
    assert_ne!(fresh, kept, "nothing changed");
    let update = "UPDATE token SET body = ?1 WHERE id = ?2";
    db.execute(update, params![fresh, token.bytes()]).unwrap();
    drop(db);
    checked(&path)
}

#[track_caller]
fn one(report: &Report) -> &Finding {
    let [finding] = &report.findings[..] else {
        panic!("not one finding: {:?}", report.findings);
    };
    finding
}

#[test]
#[expect(clippy::type_complexity, reason = "a table: one line for each field")]
fn each_field_of_a_token_is_named_with_token_and_leaf() {
    fn grants(body: &mut Body) -> &mut Vec<jeton_core::permit::Grant> {
        match &mut body.0.permit.use_ {
            Rights::Listed(grants) => grants,
            Rights::All => panic!("no grants"),
        }
    }
    let sound = Sound::store();
    let token = sound.token(3);
    let last = events_of(&sound, token).last().unwrap().0;
    let changes: [(&str, fn(&mut Body)); 13] = [
        ("scopes", |b| grants(b)[0].scopes = ScopeSet::one(1)),
        ("resources", |b| {
            grants(b)[0].resources = vec![Pattern::parse("a/*").unwrap()]
        }),
        ("grants", |b| b.0.permit.use_ = Rights::All),
        ("grants", |b| grants(b).clear()),
        ("give", |b| {
            b.0.permit.give = Some(Give::danger_everything())
        }),
        ("conditions", |b| {
            b.0.permit.conditions = Conditions {
                methods: vec!["GET".into()],
                ..Conditions::default()
            };
        }),
        ("limit", |b| b.0.limit = Limit::new(7, 3600)),
        ("idle", |b| b.0.idle = Some(Span::DAY)),
        ("lifetime_max", |b| b.0.lifetime_max = Some(Span::DAY)),
        ("issued", |b| b.1 += 1),
        ("generation", |b| b.2 += 1),
        ("overlap_until", |b| {
            b.3 = Some(Time::from_seconds(4_000_000_000))
        }),
        ("revoked_at", |b| {
            b.5 = Some(Time::from_seconds(4_000_000_000))
        }),
    ];
    for (field, change) in changes {
        let report = with_body(&sound, token, change);
        let finding = one(&report);
        assert_eq!(finding.field, Some(field));
        assert_eq!(
            (finding.table, finding.token, finding.leaf),
            ("token", Some(token), Some(last)),
            "{field}"
        );
    }
    let id = hex(token.bytes());
    let columns = [
        ("expires", "expires = NULL"),
        ("owner", "subject = zeroblob(16)"),
        ("state", "state = 1"),
        ("class", "class = class + 1"),
        ("event", "event = event + 1"),
        ("body", "body = CAST(body || x'00' AS BLOB)"),
    ];
    for (field, set) in columns {
        let report = sound.edited(&format!("UPDATE token SET {set} WHERE id = x'{id}'"));
        let finding = one(&report);
        assert_eq!(
            (finding.field, finding.token, finding.leaf),
            (Some(field), Some(token), Some(last)),
            "{set}"
        );
    }
}

#[test]
fn fields_of_other_things_are_named() {
    let sound = Sound::store();
    let path = sound.copy("entity.db");
    let change = |kind: &str, id: &[u8], change: &dyn Fn(&[u8]) -> Vec<u8>| {
        let db = raw(&path);
        let select = "SELECT body FROM entity WHERE kind = ?1 AND id = ?2";
        let kept: Vec<u8> = db
            .query_row(select, params![kind, id], |r| r.get(0))
            .unwrap();
        let set = |body: &[u8]| {
            let update = "UPDATE entity SET body = ?1 WHERE kind = ?2 AND id = ?3";
            assert_eq!(db.execute(update, params![body, kind, id]).unwrap(), 1);
        };
        set(&change(&kept));
        let finding = one(&checked(&path)).clone();
        set(&kept);
        finding.field.unwrap()
    };
    let world = &sound.world;
    let role = |bytes: &[u8]| {
        let mut role: jeton_core::directory::Role = minicbor::decode(bytes).unwrap();
        role.permit.use_ = Rights::All;
        minicbor::to_vec(role).unwrap()
    };
    assert_eq!(change("role", world.role.bytes(), &role), "grants");
    let user = |bytes: &[u8]| {
        let mut user: jeton_core::subject::Subject = minicbor::decode(bytes).unwrap();
        user.roles.clear();
        minicbor::to_vec(user).unwrap()
    };
    assert_eq!(change("user", world.user.bytes(), &user), "roles");
    let app = |bytes: &[u8]| {
        let mut app: jeton_core::subject::Subject = minicbor::decode(bytes).unwrap();
        let own =
            app.id == jeton_core::subject::SubjectId::App(AppId::from_bytes(*world.app.bytes()));
        assert!(own);
        app.permit.as_mut().unwrap().use_ = Rights::All;
        minicbor::to_vec(app).unwrap()
    };
    assert_eq!(change("application", world.app.bytes(), &app), "grants");
    let tenant = |bytes: &[u8]| {
        let mut tenant: jeton_core::directory::Tenant = minicbor::decode(bytes).unwrap();
        tenant.cut_off = 7;
        minicbor::to_vec(tenant).unwrap()
    };
    assert_eq!(change("tenant", world.tenant.bytes(), &tenant), "cut_off");
    let api = |bytes: &[u8]| {
        let mut api: jeton_core::api::Api = minicbor::decode(bytes).unwrap();
        api.hosts.push("other.test".into());
        minicbor::to_vec(api).unwrap()
    };
    assert_eq!(change("api", world.api.bytes(), &api), "hosts");
}

/// The tree knows the hash of a leaf whose row is gone, and the tags how many are missing: nothing else is told.
#[test]
fn a_missing_event_is_told_once() {
    let sound = Sound::store();
    let revoked = sound.world.issued.iter().copied().find_map(|token| {
        let events = events_of(&sound, token);
        let last = events.into_iter().next_back()?;
        (matches!(last.1, Event::TokenRevoked { .. }) && last.0 < 200).then_some((token, last.0))
    });
    let (token, leaf) = revoked.unwrap();
    // The opening alone: the row still says what the event did, which nothing explains any more.
    let report = sound.edited(&format!(
        "UPDATE event SET salt = NULL, record = NULL WHERE idx = {leaf}"
    ));
    let [opening, rest @ ..] = &report.findings[..] else {
        panic!("nothing was found");
    };
    assert_eq!(opening.what, format!("leaf {leaf} has no opening"));
    assert_eq!((opening.table, opening.leaf), ("event", Some(leaf)));
    assert!(rest.iter().all(|f| f.token == Some(token)), "{rest:?}");
    // Un-revoked by somebody thorough: the event and its trail are gone, and the row is as it was.
    let issue = events_of(&sound, token)[0].0;
    let id = hex(token.bytes());
    let path = sound.copy("unrevoked.db");
    let db = raw(&path);
    let active = "UPDATE token SET state = 0, event = ?1, body = ?2 WHERE id = ?3";
    let select = "SELECT body FROM token WHERE id = ?1";
    let kept: Vec<u8> = db.query_row(select, [token.bytes()], |r| r.get(0)).unwrap();
    let mut body: Body = minicbor::decode(&kept).unwrap();
    (body.4, body.5) = (None, None);
    let issue = i64::try_from(issue).unwrap();
    let body = minicbor::to_vec(&body).unwrap();
    assert_eq!(
        db.execute(active, params![issue, body, token.bytes()])
            .unwrap(),
        1,
        "{id}"
    );
    let gone =
        format!("DELETE FROM event WHERE idx = {leaf}; DELETE FROM trail WHERE idx = {leaf}");
    db.execute_batch(&gone).unwrap();
    drop(db);
    let report = checked(&path);
    let [finding, head] = &report.findings[..] else {
        panic!("{:?}", report.findings);
    };
    assert_eq!((finding.table, finding.leaf), ("event", Some(leaf)));
    let what = format!("leaf {leaf} has no opening");
    assert!(finding.what.contains(&what), "{}", finding.what);
    assert_eq!((head.table, head.field), ("head", Some("size")));
}

#[test]
fn bytes_of_the_tree_are_named_by_their_range() {
    let sound = Sound::store();
    let flip = |table: &str, column: &str, at: usize| {
        let path = sound.copy("tree.db");
        let db = raw(&path);
        let key = if table == "event" {
            "WHERE idx = 20"
        } else {
            ""
        };
        let mut bytes: Vec<u8> = db
            .query_row(&format!("SELECT {column} FROM {table} {key}"), [], |r| {
                r.get(0)
            })
            .unwrap();
        bytes[at] ^= 1;
        db.execute(&format!("UPDATE {table} SET {column} = ?1 {key}"), [bytes])
            .unwrap();
        drop(db);
        checked(&path)
    };
    let tile = flip("tile", "data", 4711);
    assert!(
        one(&tile).what.contains("bytes 4711..4712 "),
        "{:?}",
        tile.findings
    );
    let head = flip("head", "frontier", 33);
    assert!(
        one(&head).what.contains("bytes 33..34 "),
        "{:?}",
        head.findings
    );
    for (at, field) in [
        (0, "version"),
        (1, "kind"),
        (9, "time"),
        (10, "tenant_tag"),
        (42, "token_tag"),
        (74, "commit"),
        (105, "commit"),
    ] {
        let report = flip("event", "leaf", at);
        let finding = report.findings.iter().find(|f| f.table == "event").unwrap();
        assert_eq!(
            (finding.field, finding.leaf),
            (Some(field), Some(20)),
            "byte {at}"
        );
    }
}

/// Each part finds what the others do not: without it, the same edit goes unseen.
#[test]
fn a_part_left_out_misses_what_it_finds() {
    let sound = Sound::store();
    let token = hex(sound.token(3).bytes());
    let edits = [
        (
            Part::Rows,
            format!("UPDATE token SET state = 1 WHERE id = x'{token}'"),
        ),
        (
            Part::Tree,
            "UPDATE tile SET data = zeroblob(8192)".to_owned(),
        ),
    ];
    for (part, sql) in edits {
        assert!(!sound.edited(&sql).findings.is_empty());
        let path = sound.dir.path().join("edited.db");
        let mut reader = SqliteReader::open(&path).unwrap();
        let log = log_key();
        let tags = |tenant| Some(tag_key(tenant));
        let keys = Keys {
            tags: &tags,
            seal: &seal_key(),
            log: log.verifier(),
        };
        let report = fsck::danger_without(part, &mut reader, keys).unwrap();
        assert_eq!(report.findings, []);
    }
}

/// Bytes of the file itself, below what SQL can say: it ends with a report or an error, and never sound where a row was hit.
#[test]
fn a_spoilt_file_is_no_panic() {
    let sound = Sound::store();
    let whole = std::fs::read(&sound.path).unwrap();
    let (mut found, mut failed) = (0, 0);
    for n in 0..200_usize {
        let path = sound.dir.path().join("spoilt.db");
        let mut bytes = whole.clone();
        // A prime step meets pages of all tables.
        let at = (n * 7919 + 4096) % bytes.len();
        bytes[at] = bytes[at].wrapping_add(1 + u8::try_from(n % 255).unwrap());
        std::fs::write(&path, bytes).unwrap();
        let report = SqliteReader::open(&path).and_then(|mut reader| {
            let log = log_key();
            let keys = Keys {
                tags: &|tenant| Some(tag_key(tenant)),
                seal: &seal_key(),
                log: log.verifier(),
            };
            fsck::fsck(&mut reader, keys)
        });
        match report {
            Ok(report) if report.findings.is_empty() => {}
            Ok(_) => found += 1,
            Err(_) => failed += 1,
        }
    }
    assert!(
        found > 100,
        "{found} of 200 were found, {failed} could not be read"
    );
}

/// Above 65,536 leaves there are tiles of tiles: each level is compared, and each byte of it named.
#[test]
fn tiles_of_all_levels_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("high.db");
    let mut store = Sqlite::open(&path, Durability::DangerNormal).unwrap();
    let mut world = World::new();
    world.found();
    while world.size() < 65_536 + 300 {
        world.issue();
    }
    world.store(&mut store);
    drop(store);
    assert_eq!(checked(&path).findings, []);
    let db = raw(&path);
    for (level, n) in [(0, 256), (1, 0)] {
        let select = "SELECT data FROM tile WHERE level = ?1 AND n = ?2";
        let mut data: Vec<u8> = db.query_row(select, [level, n], |r| r.get(0)).unwrap();
        data[8191] ^= 0x10;
        let update = "UPDATE tile SET data = ?1 WHERE level = ?2 AND n = ?3";
        assert_eq!(db.execute(update, params![data, level, n]).unwrap(), 1);
    }
    // A leaf that is gone, far left: the tile below knows its hash, so nothing above it is in doubt.
    db.execute("DELETE FROM event WHERE idx = 300", []).unwrap();
    drop(db);
    let report = checked(&path);
    let tiles = report.findings.iter().filter(|f| f.table == "tile");
    let rows: Vec<_> = tiles.clone().map(|f| f.row.as_str()).collect();
    assert_eq!(rows, ["tile/1/000", "tile/0/256"]);
    assert!(tiles.clone().all(|f| f.what.contains("bytes 8191..8192 ")));
    assert!(report.findings.iter().any(|f| f.leaf == Some(300)));
}
