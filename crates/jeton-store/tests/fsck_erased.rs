//! What is gone for good reason, and what is not: erasures in every wrong form; and checkpoints under keys and names that change.

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
    event::{Actor, Erasure, Event, KeyPurpose, LogEvent, RECORD_VERSION, Record},
    id::TokenId,
    leaf::{LeafKind, LeafParts, TagKey, commit},
    subject::SubjectId,
    time::Time,
};
use jeton_store::{
    Store as _,
    fsck::Finding,
    ledger,
    sqlite::{Durability, Sqlite},
};
use jeton_tlog::SigningKey;
use rusqlite::{Connection, params};
use sound::{Sound, checked, hex, raw};
use world::{ORIGIN, World, log_key};

/// The indexes of the events about something.
fn about(db: &Connection, id: &[u8; 16]) -> Vec<u64> {
    let select = "SELECT idx FROM trail WHERE about = ?1 ORDER BY idx";
    let mut rows = db.prepare(select).unwrap();
    let rows = rows.query_map([id], |r| r.get::<_, i64>(0)).unwrap();
    rows.map(|index| u64::try_from(index.unwrap()).unwrap())
        .collect()
}

/// A store from which something was erased as the writer erases, and a copy from before.
struct Erased {
    sound: Sound,
    before: std::path::PathBuf,
    /// Tokens whose openings are gone, and all of their events.
    tokens: Vec<TokenId>,
    openings: Vec<u64>,
    /// Events beside which words are gone.
    words: Vec<u64>,
    /// The notices: of openings, and of words.
    notices: (u64, u64),
}

impl Erased {
    fn store() -> Self {
        let mut sound = Sound::store();
        let before = sound.copy("before.db");
        let db = raw(&sound.path);
        let tokens = vec![sound.token(4), sound.token(11), sound.token(12)];
        let mut openings: Vec<u64> = tokens.iter().flat_map(|t| about(&db, t.bytes())).collect();
        openings.sort_unstable();
        let user = sound.world.user;
        let mut words = about(&db, user.bytes());
        words.extend(about(&db, sound.token(7).bytes()));
        words.sort_unstable();
        drop(db);
        let mut store = Sqlite::open(&sound.path, Durability::DangerNormal).unwrap();
        let world = &mut sound.world;
        let notices = (world.size(), world.size() + 2);
        let of = (tokens.clone(), openings.clone());
        let named = Erasure::Openings {
            tokens: of.0,
            indexes: of.1,
        };
        world.event(world.tenant, Event::Erased(named));
        world.issue();
        let named = Erasure::Words {
            subject: SubjectId::User(user),
            indexes: words.clone(),
        };
        world.event(world.tenant, Event::Erased(named));
        world.issue();
        world.store(&mut store);
        let (size, note) = (world.size(), world.checkpoint());
        store.keep_checkpoint(size, &note).unwrap();
        Self {
            sound,
            before,
            tokens,
            openings,
            words,
            notices,
        }
    }

    /// What is found after an edit; `before` is attached as a second database.
    fn edited(&self, sql: &str) -> Vec<Finding> {
        let before = self.before.display();
        let sql = format!("ATTACH '{before}' AS before; {sql}");
        self.sound.edited(&sql).findings
    }
}

#[test]
fn what_a_notice_names_is_excused() {
    let erased = Erased::store();
    let report = checked(&erased.sound.path);
    assert_eq!(report.findings, []);
    assert_eq!(
        usize::try_from(report.erased_openings).unwrap(),
        erased.openings.len()
    );
    assert_eq!(
        usize::try_from(report.erased_words).unwrap(),
        erased.words.len()
    );
    assert!(erased.openings.len() > 3 && erased.words.len() > 2);
    let none = checked(&erased.before);
    assert_eq!((none.erased_openings, none.erased_words), (0, 0));
}

#[test]
fn whatever_is_gone_otherwise_or_came_back_is_named() {
    let erased = Erased::store();
    let (first, words) = (erased.openings[0], erased.words[0]);
    let token = hex(erased.tokens[0].bytes());
    let (openings_notice, words_notice) = erased.notices;
    let blank =
        |index: u64| format!("UPDATE event SET salt = NULL, record = NULL WHERE idx = {index}");
    let back = |index: u64| {
        format!(
            "UPDATE event SET salt = (SELECT salt FROM before.event WHERE idx = {index}),
             record = (SELECT record FROM before.event WHERE idx = {index}) WHERE idx = {index}"
        )
    };
    let gone = |index: u64| format!("leaf {index} has no opening");
    let still = "the opening is still there";
    let other = (5..)
        .find(|index| !erased.openings.contains(index))
        .unwrap();
    // What is done, and what must be told: table, leaf and words.
    let edits = [
        (blank(200), "event", Some(200), gone(200)),
        (format!("{}; DELETE FROM trail WHERE idx = 200", blank(200)), "event", Some(200), gone(200)),
        ("UPDATE trail SET salt = NULL, words = NULL WHERE idx = 20".into(), "trail", Some(20), "no event erased them".into()),
        // Without the notice nothing is excused.
        (blank(openings_notice), "event", Some(first), gone(first)),
        (format!("DELETE FROM event WHERE idx = {openings_notice}"), "event", Some(first), gone(first)),
        (blank(words_notice), "trail", Some(words), "no event erased them".into()),
        // What was erased came back, or was never gone.
        (back(first), "event", Some(first), still.into()),
        (format!("INSERT INTO token SELECT * FROM before.token WHERE id = x'{token}'"), "token", None, "no event explains".into()),
        (format!("INSERT INTO trail SELECT * FROM before.trail WHERE idx = {first}"), "trail", Some(first), "the row is still there".into()),
        (format!("UPDATE trail SET salt = (SELECT salt FROM before.trail WHERE idx = {words}),
                  words = (SELECT words FROM before.trail WHERE idx = {words}) WHERE idx = {words}"),
            "trail", Some(words), "are still there".into()),
        // An opening of another event in the place of one that was erased.
        (format!("UPDATE event SET salt = o.salt, record = o.record FROM (SELECT salt, record FROM event WHERE idx = {other}) o
                  WHERE idx = {first}"), "event", Some(first), "does not commit".into()),
    ];
    let mut missed = Vec::new();
    for (sql, table, leaf, what) in edits {
        let found = erased.edited(&sql);
        let told = |f: &Finding| f.table == table && f.leaf == leaf && f.what.contains(&what);
        if !found.iter().any(told) {
            missed.push(format!(
                "{sql}\n   wants {table} {leaf:?} {what}, says {found:?}"
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// All of an erasure came back, but for its notice: each part is told, and nothing else.
#[test]
fn an_erasure_that_was_not_carried_out_is_told_in_all_its_parts() {
    let erased = Erased::store();
    let named: Vec<String> = erased.openings.iter().map(u64::to_string).collect();
    let named = named.join(", ");
    let found = erased.edited(&format!(
        "UPDATE event SET salt = o.salt, record = o.record FROM before.event o WHERE o.idx = event.idx AND event.idx IN ({named});
         INSERT INTO trail SELECT * FROM before.trail WHERE idx IN ({named});
         INSERT INTO token SELECT * FROM before.token WHERE id NOT IN (SELECT id FROM token)"
    ));
    let of = |table: &str| found.iter().filter(|f| f.table == table).count();
    assert_eq!(of("event"), erased.openings.len(), "{found:?}");
    assert_eq!(of("trail"), erased.openings.len(), "{found:?}");
    assert_eq!(of("token"), erased.tokens.len(), "{found:?}");
    assert_eq!(found.len(), 2 * erased.openings.len() + erased.tokens.len());
}

/// A notice as somebody would write it who may write to the store, and has no keys.
fn forged(world: &World, index: u64, named: Erasure) -> (Vec<u8>, [u8; 32], Vec<u8>) {
    let record = Record {
        version: RECORD_VERSION,
        tenant: world.tenant,
        at: Time::from_seconds(1_800_000_000),
        actor: Actor::Authority,
        request: None,
        aside: None,
        event: Event::Erased(named),
    };
    let salt = [3; 32];
    let bytes = ledger::encode(&record).unwrap();
    let leaf = LeafParts {
        kind: LeafKind::of(&record.event),
        at: record.at,
        key: &TagKey::new(&[0; 32]),
        tenant_sequence: index,
        about: *world.tenant.bytes(),
        about_sequence: index,
        commit: commit(&salt, &bytes),
    };
    (leaf.bytes().to_vec(), salt, bytes)
}

#[test]
fn a_forged_notice_excuses_nothing() {
    let sound = Sound::store();
    let world = &sound.world;
    let db = raw(&sound.path);
    let token = sound.token(5);
    let indexes = about(&db, token.bytes());
    drop(db);
    let index = indexes[0];
    let last = world.size() - 1;
    let mut told = Vec::new();
    // Behind the head, with the head moved up to it, and in the place of the last event.
    for at in ["beyond", "moved", "instead"] {
        let path = sound.copy("forged.db");
        let db = raw(&path);
        let place = if at == "instead" { last } else { last + 1 };
        let named = Erasure::Openings {
            tokens: vec![token],
            indexes: indexes.clone(),
        };
        let (leaf, salt, record) = forged(world, place, named);
        let insert =
            "INSERT OR REPLACE INTO event (idx, leaf, salt, record) VALUES (?1, ?2, ?3, ?4)";
        let place = i64::try_from(place).unwrap();
        db.execute(insert, params![place, leaf, salt, record])
            .unwrap();
        if at == "moved" {
            db.execute("UPDATE head SET size = size + 1", []).unwrap();
        }
        for index in &indexes {
            let index = i64::try_from(*index).unwrap();
            let blank = "UPDATE event SET salt = NULL, record = NULL WHERE idx = ?1";
            db.execute(blank, [index]).unwrap();
            db.execute("DELETE FROM trail WHERE idx = ?1", [index])
                .unwrap();
        }
        db.execute("DELETE FROM token WHERE id = ?1", [token.bytes()])
            .unwrap();
        drop(db);
        let found = checked(&path).findings;
        let what = format!("leaf {index} has no opening");
        let gone = found
            .iter()
            .any(|f| f.what == what && f.leaf == Some(index));
        let notice = found.iter().any(|f| f.row == place.to_string());
        told.push((at, gone, notice));
    }
    assert_eq!(
        told,
        [
            ("beyond", true, true),
            ("moved", true, true),
            ("instead", true, true)
        ]
    );
}

/// Erases these events as the writer does, by one notice for each part of them.
fn erased_by(sound: &mut Sound, parts: &[(TokenId, Vec<u64>)]) -> Vec<Finding> {
    let mut store = Sqlite::open(&sound.path, Durability::DangerNormal).unwrap();
    let world = &mut sound.world;
    for (token, indexes) in parts {
        let (tokens, indexes) = (vec![*token], indexes.clone());
        let named = Erasure::Openings { tokens, indexes };
        world.event(world.tenant, Event::Erased(named));
    }
    world.store(&mut store);
    let (size, note) = (world.size(), world.checkpoint());
    store.keep_checkpoint(size, &note).unwrap();
    drop(store);
    checked(&sound.path).findings
}

/// The notice is the authority's own, and was led astray: it names an event of another token, or of none.
#[test]
fn a_notice_excuses_no_event_of_a_token_that_it_does_not_name() {
    for astray in ["another token", "no token"] {
        let mut sound = Sound::store();
        let (named, other) = (sound.token(4), sound.token(7));
        let db = raw(&sound.path);
        let mut indexes = about(&db, named.bytes());
        let end = match astray {
            "another token" => *about(&db, other.bytes()).last().unwrap(),
            _ => about(&db, sound.world.user.bytes())[0],
        };
        drop(db);
        indexes.push(end);
        indexes.sort_unstable();
        let found = erased_by(&mut sound, &[(named, indexes)]);
        let what = format!("leaf {end} has no opening");
        let openings: Vec<_> = found
            .iter()
            .filter(|f| f.what.ends_with("no opening"))
            .collect();
        assert_eq!(openings.len(), 1, "{astray}: {found:?}");
        assert_eq!(
            (&openings[0].what, openings[0].leaf),
            (&what, Some(end)),
            "{astray}"
        );
    }
}

#[test]
fn a_history_that_several_notices_name_is_excused() {
    let mut sound = Sound::store();
    let db = raw(&sound.path);
    let tokens = (0..30).map(|n| sound.token(n));
    let mut histories = tokens.map(|token| (token, about(&db, token.bytes())));
    let (token, events) = histories.find(|(_, events)| events.len() > 2).unwrap();
    drop(db);
    let (first, rest) = events.split_at(1);
    let parts = [(token, first.to_vec()), (token, rest.to_vec())];
    assert_eq!(erased_by(&mut sound, &parts), []);
}

/// A notice of another tenant, with that tenant's own right tags, excuses nothing either: the leaf is not its next one.
#[test]
fn a_notice_of_another_tenant_excuses_nothing() {
    let mut sound = Sound::store();
    let mut store = Sqlite::open(&sound.path, Durability::DangerNormal).unwrap();
    let world = &mut sound.world;
    let named = Erasure::Openings {
        tokens: Vec::new(),
        indexes: vec![100],
    };
    world.event(world.system, Event::Erased(named));
    world.store(&mut store);
    drop(store);
    let found = checked(&sound.path).findings;
    let gone = |f: &&Finding| f.what == "leaf 100 has no opening" && f.leaf == Some(100);
    assert!(found.iter().any(|f| gone(&f)), "{found:?}");
}

fn added(key: &SigningKey) -> Event {
    Event::Ledger(LogEvent::KeyAdded {
        purpose: KeyPurpose::Ledger,
        key: key.verifier().public_key().to_vec(),
    })
}

fn retired(key: &SigningKey, compromised_from: Option<u64>) -> Event {
    Event::Ledger(LogEvent::KeyRetired {
        purpose: KeyPurpose::Ledger,
        key: key.verifier().public_key().to_vec(),
        compromised_from,
    })
}

/// Checkpoints under the keys and names that the ledger had at their sizes; then each of them under another.
#[test]
fn a_checkpoint_is_signed_by_the_keys_of_its_time_under_the_name_of_its_time() {
    let second = [8; 32];
    let keep = |name: &str, seed: &[u8; 32]| SigningKey::from_seed(name, seed).unwrap();
    let (new, first_2, second_2) = (
        keep(ORIGIN, &second),
        keep("test.example/ledger/2", &[7; 32]),
        keep("test.example/ledger/2", &second),
    );
    let old = log_key();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("keys.db");
    let mut store = Sqlite::open(&path, Durability::DangerNormal).unwrap();
    let mut world = World::new();
    world.found();
    let mut sizes = Vec::new();
    // What happens, then who signs, and who might have and must not.
    let epoch = Event::Ledger(LogEvent::EpochBegan {
        origin: "test.example/ledger/2".into(),
        served: 1000,
        reason: "the disk died".into(),
    });
    let steps: [(Option<Event>, Vec<&SigningKey>, Vec<&SigningKey>); 4] = [
        (None, vec![&old], vec![&new]),
        (Some(added(&new)), vec![&old, &new], vec![&second_2]),
        // That the old one was stolen, and when, is known afterwards.
        (Some(retired(&old, Some(3))), vec![&new], vec![&old]),
        (Some(epoch), vec![&second_2], vec![&new, &first_2]),
    ];
    for (event, signers, strangers) in steps {
        if let Some(event) = event {
            world.event(world.system, event);
            // A retired key may still sign what the event that retires it stands at the end of.
            world.issue();
        }
        world.issue();
        world.store(&mut store);
        let note = world.checkpoint_by(&signers);
        store.keep_checkpoint(world.size(), &note).unwrap();
        let wrong: Vec<String> = strangers
            .iter()
            .map(|key| world.checkpoint_by(&[key]))
            .collect();
        sizes.push((world.size(), note, wrong));
    }
    drop(store);
    let report = checked(&path);
    assert_eq!(report.findings, []);
    assert_eq!((report.log.epoch(), report.log.keys.len()), (2, 2));
    let db = raw(&path);
    let put = |size: u64, note: &str| {
        let size = i64::try_from(size).unwrap();
        let update = "UPDATE checkpoint SET note = ?1 WHERE size = ?2";
        assert_eq!(db.execute(update, params![note, size]).unwrap(), 1);
    };
    for (size, note, wrong) in &sizes {
        for wrong in wrong {
            put(*size, wrong);
            let found = checked(&path).findings;
            let [finding] = &found[..] else {
                panic!("{size}: {found:?}");
            };
            assert_eq!(
                (finding.table, finding.row.as_str(), finding.field),
                ("checkpoint", size.to_string().as_str(), Some("note"))
            );
        }
        put(*size, note);
    }
    // Two signatures, of which one is bad: the other does not make up for it.
    let (size, both, _) = &sizes[1];
    let (text, last) = both.trim_end().rsplit_once('\n').unwrap();
    let mut bytes = last.as_bytes().to_vec();
    let at = bytes.len() - 8;
    bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
    put(
        *size,
        &format!("{text}\n{}\n", String::from_utf8(bytes).unwrap()),
    );
    assert_eq!(checked(&path).findings.len(), 1);
    put(*size, both);
    assert_eq!(checked(&path).findings, []);
}
