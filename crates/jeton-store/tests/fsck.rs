//! What `fsck` finds: nothing in a sound store, and every single change that somebody makes in one, by table and row.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

#[path = "fsck/sound.rs"]
mod sound;
mod world;

use jeton_core::id::{TenantId, TokenId};
use jeton_store::{
    fsck::{self, Keys},
    sqlite::SqliteReader,
};
use rusqlite::types::Value;
use sound::{Sound, checked, hex, raw};
use world::{World, log_key, seal_key, tag_key};

#[test]
fn a_sound_store_has_no_findings() {
    let sound = Sound::store();
    let report = checked(&sound.path);
    assert_eq!(report.findings, []);
    assert_eq!(report.events, sound.world.size());
    // Tokens, and tenants (the system's too), API, role, user, application.
    let tokens = u64::try_from(sound.world.issued.len()).unwrap();
    assert_eq!(report.rows, tokens + 6);
}

#[test]
fn a_checkpoint_that_was_forgotten_is_no_finding() {
    let sound = Sound::store();
    for which in ["size = (SELECT min(size) FROM checkpoint)", "TRUE"] {
        let report = sound.edited(&format!("DELETE FROM checkpoint WHERE {which}"));
        assert_eq!(report.findings, []);
    }
}

#[test]
fn a_keyring_without_a_tenants_key_is_told() {
    let sound = Sound::store();
    let tenant = sound.world.tenant;
    let mut reader = SqliteReader::open(&sound.path).unwrap();
    let (log, seal) = (log_key(), seal_key());
    let keys = Keys {
        tags: &|of: TenantId| (of != tenant).then(|| tag_key(of)),
        seal: &seal,
        log: log.verifier(),
    };
    let report = fsck::fsck(&mut reader, keys).unwrap();
    assert!(report.findings.iter().any(|f| f.what.contains("keyring")));
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table: one line for each edit")]
fn every_edit_is_found_and_named() {
    let sound = Sound::store();
    let size = sound.world.size();
    let last = size - 1;
    let token = sound.token(3).to_string();
    let id = hex(sound.token(3).bytes());
    let other = hex(sound.token(4).bytes());
    let tenant = hex(sound.world.tenant.bytes());
    let system = hex(sound.world.system.bytes());
    let row = format!("tenant = x'{tenant}' AND id = x'{id}'");
    let user = TenantId::from_bytes(*sound.world.user.bytes()).to_string();
    let role = hex(sound.world.role.bytes());
    let issue = "(SELECT min(idx) FROM trail WHERE about = x'%')".replace('%', &id);
    let blob = "zeroblob(length(%))";
    let zero = |column: &str| blob.replace('%', column);
    let (last, beyond) = (last.to_string(), size.to_string());
    let at = |n: u64| n.to_string();
    // What is done, and the table and row that must be named.
    let edits: Vec<(String, &str, String)> = vec![
        // event
        (format!("UPDATE event SET leaf = {} WHERE idx = 20", zero("leaf")), "event", at(20)),
        ("UPDATE event SET leaf = x'00' WHERE idx = 20".into(), "event", at(20)),
        (format!("UPDATE event SET salt = {} WHERE idx = 20", zero("salt")), "event", at(20)),
        ("UPDATE event SET salt = x'00' WHERE idx = 20".into(), "event", at(20)),
        ("UPDATE event SET salt = NULL WHERE idx = 20".into(), "event", at(20)),
        (format!("UPDATE event SET record = {} WHERE idx = 20", zero("record")), "event", at(20)),
        ("UPDATE event SET record = CAST(record || x'00' AS BLOB) WHERE idx = 20".into(), "event", at(20)),
        ("UPDATE event SET record = NULL WHERE idx = 20".into(), "event", at(20)),
        ("UPDATE event SET salt = NULL, record = NULL WHERE idx = 20".into(), "event", at(20)),
        ("UPDATE event SET idx = 5000 WHERE idx = 20".into(), "event", at(20)),
        ("DELETE FROM event WHERE idx = 0".into(), "event", at(0)),
        ("DELETE FROM event WHERE idx = 20".into(), "event", at(20)),
        (format!("DELETE FROM event WHERE idx = {last}"), "head", "size".into()),
        ("DELETE FROM event".into(), "head", "size".into()),
        (format!("INSERT INTO event SELECT {beyond}, leaf, salt, record FROM event WHERE idx = 20"), "event", beyond.clone()),
        ("INSERT INTO event SELECT -5, leaf, salt, record FROM event WHERE idx = 20".into(), "event", "-5".into()),
        // Two events change places, whole and in parts.
        (swap("event", "leaf", 20, 21), "event", at(20)),
        (swap("event", "salt", 20, 21), "event", at(20)),
        (swap("event", "record", 20, 21), "event", at(21)),
        ("UPDATE event SET idx = -1 WHERE idx = 20; UPDATE event SET idx = 20 WHERE idx = 21;
          UPDATE event SET idx = 21 WHERE idx = -1".into(), "event", at(20)),
        // All moved up by one, with a ghost at the front.
        ("UPDATE event SET idx = -idx - 2; UPDATE event SET idx = -idx - 1;
          INSERT INTO event SELECT 0, leaf, salt, record FROM event WHERE idx = 1;
          UPDATE head SET size = size + 1".into(), "event", at(1)),
        // head
        ("UPDATE head SET size = size + 1".into(), "head", "size".into()),
        ("UPDATE head SET size = size - 1".into(), "event", last.clone()),
        ("UPDATE head SET size = 0".into(), "event", at(0)),
        ("UPDATE head SET size = -1".into(), "head", "-1".into()),
        (format!("UPDATE head SET frontier = {}", zero("frontier")), "head", "frontier".into()),
        ("UPDATE head SET frontier = x''".into(), "head", "frontier".into()),
        ("DELETE FROM head".into(), "head", "1".into()),
        // tile
        (format!("UPDATE tile SET data = {}", zero("data")), "tile", "tile/0/000".into()),
        ("UPDATE tile SET data = x'00'".into(), "tile", "tile/0/000".into()),
        ("UPDATE tile SET level = 1".into(), "tile", "tile/0/000".into()),
        ("UPDATE tile SET n = 1".into(), "tile", "number 1".into()),
        ("DELETE FROM tile".into(), "tile", "tile/0/000".into()),
        ("INSERT INTO tile SELECT 3, 9, data FROM tile".into(), "tile", "level 3, number 9".into()),
        // checkpoint
        (format!("UPDATE checkpoint SET note = replace(note, '\n{size}\n', '\n{last}\n') WHERE size = {size}"), "checkpoint", size.to_string()),
        (format!("UPDATE checkpoint SET note = 'gone' WHERE size = {size}"), "checkpoint", size.to_string()),
        (format!("UPDATE checkpoint SET size = {last} WHERE size = {size}"), "checkpoint", last.clone()),
        (format!("UPDATE checkpoint SET size = -1 WHERE size = {size}"), "checkpoint", "-1".into()),
        (format!("UPDATE checkpoint SET note = (SELECT note FROM checkpoint ORDER BY size LIMIT 1) WHERE size = {size}"), "checkpoint", size.to_string()),
        ("INSERT INTO checkpoint SELECT 999999, note FROM checkpoint LIMIT 1".into(), "checkpoint", at(999_999)),
        // trail
        ("UPDATE trail SET words = x'7b7d' WHERE idx = 20".into(), "trail", at(20)),
        ("UPDATE trail SET words = NULL WHERE idx = 20".into(), "trail", at(20)),
        (format!("UPDATE trail SET salt = {} WHERE idx = 20", zero("salt")), "trail", at(20)),
        ("UPDATE trail SET salt = x'00' WHERE idx = 20".into(), "trail", at(20)),
        ("UPDATE trail SET salt = NULL WHERE idx = 20".into(), "trail", at(20)),
        ("UPDATE trail SET salt = NULL, words = NULL WHERE idx = 20".into(), "trail", at(20)),
        (format!("UPDATE trail SET tenant = x'{system}' WHERE idx = 20"), "trail", at(20)),
        (format!("UPDATE trail SET about = {} WHERE idx = 20", zero("about")), "trail", at(20)),
        ("UPDATE trail SET idx = 99999 WHERE idx = 20".into(), "trail", at(20)),
        ("UPDATE trail SET idx = -1 WHERE idx = 20".into(), "trail", "-1".into()),
        ("UPDATE trail SET previous = 3 WHERE idx = 20".into(), "trail", at(20)),
        ("UPDATE trail SET previous = NULL WHERE idx = (SELECT max(idx) FROM trail WHERE previous > 0)".into(), "trail", String::new()),
        ("DELETE FROM trail WHERE idx = 20".into(), "trail", at(20)),
        (format!("INSERT INTO trail VALUES (x'{tenant}', 70000, x'{id}', NULL, NULL, NULL)"), "trail", at(70_000)),
        (format!("INSERT INTO trail SELECT x'{system}', idx, about, previous, salt, words FROM trail WHERE idx = 20"), "trail", at(20)),
        (swap("trail", "words", 20, 22), "trail", at(20)),
        // token
        (format!("UPDATE token SET tenant = x'{system}' WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET tenant = x'00' WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET id = zeroblob(16) WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET id = x'0102' WHERE {row}"), "token", "0102".into()),
        (format!("UPDATE token SET event = event + 1 WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET event = -1 WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET subject = zeroblob(16) WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET subject = x'00' WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET class = class + 1 WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET class = 4711 WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET state = 1 WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET state = -1 WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET expires = NULL WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET expires = expires + 1 WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET expires = 99999999999 WHERE {row}"), "token", token.clone()),
        (format!("UPDATE token SET body = {} WHERE {row}", zero("body")), "token", token.clone()),
        (format!("UPDATE token SET body = x'' WHERE {row}"), "token", token.clone()),
        (format!("DELETE FROM token WHERE {row}"), "token", token.clone()),
        ("DELETE FROM token".into(), "token", token.clone()),
        (format!("INSERT INTO token SELECT tenant, zeroblob(16), event, subject, class, state, expires, body FROM token WHERE {row}"),
            "token", TokenId::from_bytes([0; 16]).to_string()),
        (format!("UPDATE token SET body = (SELECT body FROM token WHERE id = x'{other}') WHERE {row}"), "token", token.clone()),
        // A revoked token comes back: the row is set, and the event that says otherwise goes.
        ("UPDATE token SET state = 0 WHERE state = 2".into(), "token", String::new()),
        (format!("DELETE FROM event WHERE idx = {issue}; DELETE FROM token WHERE {row}"), "event", String::new()),
        // entity
        (format!("UPDATE entity SET tenant = x'{system}' WHERE kind = 'user'"), "entity", user.clone()),
        ("UPDATE entity SET tenant = x'00' WHERE kind = 'user'".into(), "entity", hex(sound.world.user.bytes())),
        ("UPDATE entity SET kind = 'application' WHERE kind = 'user'".into(), "entity", user.clone()),
        ("UPDATE entity SET kind = 'king' WHERE kind = 'user'".into(), "entity", user.clone()),
        ("UPDATE entity SET id = zeroblob(16) WHERE kind = 'user'".into(), "entity", user.clone()),
        ("UPDATE entity SET id = x'0304' WHERE kind = 'user'".into(), "entity", "0304".into()),
        ("UPDATE entity SET event = event - 1 WHERE kind = 'user'".into(), "entity", user.clone()),
        ("UPDATE entity SET event = -1 WHERE kind = 'user'".into(), "entity", hex(sound.world.user.bytes())),
        (format!("UPDATE entity SET body = {} WHERE kind = 'user'", zero("body")), "entity", user.clone()),
        ("UPDATE entity SET body = CAST(body || x'00' AS BLOB) WHERE kind = 'user'".into(), "entity", user.clone()),
        ("DELETE FROM entity WHERE kind = 'user'".into(), "entity", user.clone()),
        (format!("INSERT INTO entity SELECT tenant, 'api', id, event, body FROM entity WHERE id = x'{role}'"), "entity", "api".into()),
    ];
    let mut missed = Vec::new();
    for (sql, table, row) in edits {
        let report = sound.edited(&sql);
        let named = |f: &fsck::Finding| f.table == table && f.row.contains(&row);
        if !report.findings.iter().any(named) {
            let told: Vec<_> = report.findings.iter().take(3).collect();
            missed.push(format!("{sql}\n    wants {table} {row:?}, says {told:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

/// One column of two rows, exchanged.
fn swap(table: &str, column: &str, one: u64, two: u64) -> String {
    format!(
        "CREATE TEMP TABLE kept AS SELECT {column} AS it FROM {table} WHERE idx = {one};
         UPDATE {table} SET {column} = (SELECT {column} FROM {table} WHERE idx = {two}) WHERE idx = {one};
         UPDATE {table} SET {column} = (SELECT it FROM temp.kept) WHERE idx = {two}"
    )
}

/// A single flipped bit, anywhere in what is stored, is found in its table; and nothing panics.
#[test]
fn a_flipped_bit_is_found_wherever_it_is() {
    const FLIPS: usize = 300;
    const PLACES: [(&str, &str); 16] = [
        ("event", "leaf"),
        ("event", "salt"),
        ("event", "record"),
        ("head", "frontier"),
        ("tile", "data"),
        ("checkpoint", "note"),
        ("trail", "tenant"),
        ("trail", "about"),
        ("trail", "salt"),
        ("trail", "words"),
        ("token", "tenant"),
        ("token", "id"),
        ("token", "subject"),
        ("token", "body"),
        ("entity", "id"),
        ("entity", "body"),
    ];
    let sound = Sound::store();
    let mut dice = World::new();
    let mut missed = Vec::new();
    for n in 0..FLIPS {
        let (table, column) = PLACES[n % PLACES.len()];
        let path = sound.copy("flipped.db");
        let db = raw(&path);
        let count: i64 = db
            .query_row(
                &format!("SELECT count(*) FROM {table} WHERE {column} IS NOT NULL"),
                [],
                |row| row.get(0),
            )
            .unwrap();
        let drawn: [u8; 24] = dice.draw();
        let at = |n: usize| {
            let bytes = drawn[n * 8..n * 8 + 8].try_into().unwrap();
            u64::from_le_bytes(bytes)
        };
        let row = at(0) % u64::try_from(count).unwrap();
        let place = format!("FROM {table} WHERE {column} IS NOT NULL LIMIT 1 OFFSET {row}");
        let text = column == "note";
        let kept = db
            .query_row(&format!("SELECT {column} {place}"), [], |row| row.get(0))
            .unwrap();
        let mut bytes = match kept {
            Value::Blob(bytes) => bytes,
            Value::Text(text) => text.into_bytes(),
            other @ (Value::Null | Value::Integer(_) | Value::Real(_)) => panic!("{other:?}"),
        };
        let len = u64::try_from(bytes.len()).unwrap();
        let position = usize::try_from(at(1) % len).unwrap();
        bytes[position] ^= 1 << (at(2) % 8);
        let key = match table {
            "event" | "trail" => "idx",
            "head" => "one",
            "tile" => "n",
            "checkpoint" => "size",
            _ => "hex(tenant) || hex(id)",
        };
        let same: Value = db
            .query_row(&format!("SELECT {key} {place}"), [], |row| row.get(0))
            .unwrap();
        // What was a text may be none now.
        let value = if text { "CAST(?1 AS TEXT)" } else { "?1" };
        let update = format!("UPDATE {table} SET {column} = {value} WHERE {key} = ?2");
        let changed = db.execute(&update, rusqlite::params![bytes, same]).unwrap();
        assert_eq!(changed, 1, "{update}");
        drop(db);
        let report = checked(&path);
        let in_table = |f: &fsck::Finding| f.table == table;
        if !report.findings.iter().any(in_table) {
            missed.push(format!(
                "{table}.{column} row {row} byte {position}: {:?}",
                report.findings
            ));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
