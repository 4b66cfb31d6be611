//! The contract of [`Store`] and [`Reader`], for each engine: every test here runs on every engine.
//!
//! An engine joins by a type that is [`Engine`] and a line `engine!(name, Type)` at the end.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends at the first surprise"
)]

mod world;

use std::path::PathBuf;

use jeton_core::{
    event::{Erasure, Event},
    id::{TenantId, TokenId},
    subject::SubjectId,
    time::Time,
};
use jeton_store::{
    CHECKPOINTS_NEWEST, Continue, LastUse, Place, ReadRow, Reader, Store, StoreError,
    ledger::{self, Entry, Sealer},
    row::Row,
    sqlite::{Durability, Sqlite},
};
use jeton_tlog::{Frontier, TileBuilder, leaf_hash};
use world::{Taken, World};

/// A place where a store can be, and what a test may do to it behind its back.
trait Engine {
    /// A fresh place.
    fn fresh() -> Self;
    /// Opens the store there, as a process would.
    fn open(&self) -> Result<Box<dyn Store>, StoreError>;
    /// Opens it on a disk where it may grow by so many units and no further.
    fn open_limited(&self, units: u32) -> Result<Box<dyn Store>, StoreError>;
    /// Makes it look as if a newer jeton had written it.
    fn make_newer(&self);
    /// Puts another program's files there, in each way that there is: one more with each call, until `false`.
    fn make_foreign(&self, way: usize) -> bool;
    /// Makes each write to a table fail, in the way told, until it is healed.
    fn break_writes(&self, table: &str, when: When, how: &str);
    /// Makes writes work again.
    fn heal(&self);
    /// In which ways a write can fail.
    const HOWS: &'static [&'static str];
}

/// Whether a write fails before it is done, or after.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum When {
    Lost,
    DoneButUnreported,
}

// The engines.

struct SqliteEngine {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl SqliteEngine {
    fn raw(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(&self.path).unwrap()
    }
}

impl Engine for SqliteEngine {
    const HOWS: &'static [&'static str] = &["ABORT", "FAIL", "ROLLBACK"];

    fn fresh() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ledger.db");
        Self { _dir: dir, path }
    }

    fn open(&self) -> Result<Box<dyn Store>, StoreError> {
        // That nothing is lost without a sync is for the power-cut gate: here it would only take time.
        Ok(Box::new(Sqlite::open(
            &self.path,
            Durability::DangerNormal,
        )?))
    }

    fn open_limited(&self, units: u32) -> Result<Box<dyn Store>, StoreError> {
        let mut store = Sqlite::open(&self.path, Durability::DangerNormal)?;
        store.danger_limit_growth(units)?;
        Ok(Box::new(store))
    }

    fn make_newer(&self) {
        self.raw().pragma_update(None, "user_version", 99).unwrap();
    }

    fn make_foreign(&self, way: usize) -> bool {
        drop(std::fs::remove_file(&self.path));
        match way {
            0 => std::fs::write(
                &self.path,
                "these are somebody's notes, and no database\n".repeat(99),
            )
            .unwrap(),
            1 => self
                .raw()
                .execute_batch("PRAGMA user_version = 1; CREATE TABLE notes (text)")
                .unwrap(),
            2 => self
                .raw()
                .execute_batch("CREATE TABLE notes (text)")
                .unwrap(),
            3 => self
                .raw()
                .execute_batch("PRAGMA application_id = 7")
                .unwrap(),
            _ => return false,
        }
        true
    }

    fn break_writes(&self, table: &str, when: When, how: &str) {
        let moment = match when {
            When::Lost => "BEFORE",
            When::DoneButUnreported => "AFTER",
        };
        let what = if table == "head" { "UPDATE" } else { "INSERT" };
        let sql = format!(
            "CREATE TRIGGER broken {moment} {what} ON {table}
             BEGIN SELECT RAISE({how}, 'the test says no'); END"
        );
        self.raw().execute_batch(&sql).unwrap();
    }

    fn heal(&self) {
        self.raw()
            .execute_batch("DROP TRIGGER IF EXISTS broken")
            .unwrap();
    }
}

// What is there, as a whole: to compare before and after.

#[derive(PartialEq, Eq, Debug)]
struct Contents {
    head: jeton_store::Head,
    events: Vec<jeton_store::Stored>,
    rows: Vec<(Row, u64)>,
    trails: Vec<jeton_store::TrailRow>,
    tiles: Vec<(i64, i64)>,
}

fn contents(reader: &mut dyn Reader) -> Contents {
    let (mut events, mut rows) = (Vec::new(), Vec::new());
    let (mut trails, mut tiles) = (Vec::new(), Vec::new());
    reader
        .events(0, &mut |stored| {
            events.push(stored);
            Ok(Continue::Yes)
        })
        .unwrap();
    reader.rows(&mut |row| rows.push(row.unwrap())).unwrap();
    reader.trails(&mut |row| trails.push(row)).unwrap();
    reader
        .tiles(&mut |level, n| tiles.push((level, n)))
        .unwrap();
    let head = reader.head().unwrap();
    Contents {
        head,
        events,
        rows,
        trails,
        tiles,
    }
}

/// What a fresh process sees.
fn reopened(engine: &impl Engine) -> Contents {
    let store = engine.open().unwrap();
    contents(&mut *store.reader().unwrap())
}

fn founded(engine: &impl Engine, tokens: usize) -> (World, Box<dyn Store>) {
    let mut world = World::new();
    world.found();
    for _ in 0..tokens {
        world.issue();
    }
    let mut store = engine.open().unwrap();
    world.store(&mut *store);
    (world, store)
}

/// A batch that touches every table: tokens and entities, words, and the tile that ends at 256.
fn wide_batch(world: &mut World) -> Taken {
    while world.size() < 300 {
        let token = world.issue();
        if world.size().is_multiple_of(5) {
            world.rotate(token);
            world.revoke(token);
        }
    }
    // One row of the projection that is new, one that changes.
    world.role("writer");
    let about = *world.user.bytes();
    let renamed = jeton_core::event::Event::Renamed { about };
    world.event_with(world.tenant, renamed, Some("{}"));
    world.take()
}

// The tests.

fn what_was_appended_is_there_in_order_and_after_a_start(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 3);
    for _ in 0..20 {
        let token = world.issue();
        world.rotate(token);
        world.store(&mut *store);
    }
    let seen = contents(&mut *store.reader().unwrap());
    let indexes: Vec<u64> = seen.events.iter().map(|e| e.index).collect();
    assert_eq!(indexes, (0..world.size()).collect::<Vec<_>>());
    assert_eq!(seen.head.size, world.size());
    assert_eq!(store.head().unwrap(), seen.head);
    assert!(seen.events.iter().all(|e| e.opening.is_some()));
    drop(store);
    assert_eq!(reopened(engine), seen);
}

fn a_batch_is_there_whole_or_not_at_all(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 3);
    let before = contents(&mut *store.reader().unwrap());
    world.issue();
    world.issue();
    let mut batch = world.take();
    // The last entry claims an index that is taken.
    batch.entries.last_mut().unwrap().0.index = 1;
    assert!(matches!(
        batch.append(&mut *store),
        Err(StoreError::Disk { .. })
    ));
    assert_eq!(contents(&mut *store.reader().unwrap()), before);
    drop(store);
    assert_eq!(reopened(engine), before);
}

fn each_write_that_fails_leaves_nothing(engine: &impl Engine) {
    failure_table(engine, When::Lost);
}

fn each_write_that_fails_after_it_was_done_leaves_nothing(engine: &impl Engine) {
    failure_table(engine, When::DoneButUnreported);
}

/// Every table on the way of a batch, and every way to fail there.
fn failure_table(engine: &impl Engine, when: When) {
    let (mut world, store) = founded(engine, 3);
    drop(store);
    let before = reopened(engine);
    let batch = wide_batch(&mut world);
    for table in ["event", "trail", "token", "entity", "tile", "head"] {
        for how in engine_hows(engine) {
            engine.break_writes(table, when, how);
            let mut store = engine.open().unwrap();
            let failed = batch.append(&mut *store);
            assert!(
                matches!(failed, Err(StoreError::Disk { .. })),
                "{table} {how}: {failed:?}"
            );
            // As those see it who read beside it, and as the next process does.
            let seen = contents(&mut *store.reader().unwrap());
            assert_eq!(seen, before, "{table} {when:?} {how}");
            drop(store);
            assert_eq!(reopened(engine), before, "{table} {when:?} {how}");
            engine.heal();
        }
    }
    let mut store = engine.open().unwrap();
    batch.append(&mut *store).unwrap();
    assert_eq!(store.head().unwrap().size, world.size());
}

fn engine_hows<E: Engine>(_: &E) -> &'static [&'static str] {
    E::HOWS
}

fn a_lost_answer_is_settled_by_looking_at_the_head(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 1);
    world.issue();
    let batch = world.take();
    assert_ne!(store.head().unwrap().batch, batch.id);
    batch.append(&mut *store).unwrap();
    drop(store);
    // The answer was lost: a new process asks the head, and does not append twice.
    let mut store = engine.open().unwrap();
    assert_eq!(store.head().unwrap().batch, batch.id);
    let again = batch.append(&mut *store);
    assert!(matches!(again, Err(StoreError::Inconsistent { .. })));
    assert_eq!(store.head().unwrap().size, world.size());
}

fn a_full_disk_takes_nothing_of_a_batch_wherever_it_ends(engine: &impl Engine) {
    let (mut world, store) = founded(engine, 3);
    drop(store);
    let before = reopened(engine);
    let small = {
        let mut world = world.clone();
        world.revoke(world.issued[0]);
        world.take()
    };
    let large = wide_batch(&mut world);
    let mut room = 0;
    // One unit more with each round: the end of the disk wanders through the whole batch.
    loop {
        let mut store = engine.open_limited(room).unwrap();
        match large.append(&mut *store) {
            Ok(()) => break,
            Err(StoreError::Full) => {}
            Err(other) => panic!("{room}: {other}"),
        }
        let seen = contents(&mut *store.reader().unwrap());
        assert_eq!(seen, before, "with room for {room}");
        drop(store);
        assert_eq!(reopened(engine), before, "with room for {room}");
        room += 1;
    }
    assert!(room > 5, "the batch is too small to meet the end: {room}");
    let mut store = engine.open().unwrap();
    assert_eq!(store.head().unwrap().size, world.size());
    // Too late for the small one: the other way round, it fits where the large one did not.
    assert!(small.append(&mut *store).is_err());
}

fn a_smaller_batch_fits_where_a_larger_one_did_not(engine: &impl Engine) {
    let (mut world, store) = founded(engine, 3);
    drop(store);
    let mut store = engine.open_limited(4).unwrap();
    let mut revoking = world.clone();
    revoking.revoke(world.issued[0]);
    let large = wide_batch(&mut world);
    assert!(matches!(large.append(&mut *store), Err(StoreError::Full)));
    revoking.store(&mut *store);
    assert_eq!(store.head().unwrap().size, revoking.size());
    drop(store);
    assert_eq!(reopened(engine).head.size, revoking.size());
}

fn another_size_than_the_heads_is_refused(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 3);
    let mut other = engine.open().unwrap();
    world.issue();
    let batch = world.take();
    let early = Taken {
        from: batch.from - 1,
        ..batch.clone()
    };
    let late = Taken {
        from: batch.from + 1,
        ..batch.clone()
    };
    for wrong in [early, late] {
        let refused = wrong.append(&mut *store);
        let expected = matches!(
            refused,
            Err(StoreError::Inconsistent {
                table: "head",
                column: "size",
                ..
            })
        );
        assert!(expected, "{refused:?}");
    }
    // Two writers on one store: the second to come is refused, whichever it is.
    batch.append(&mut *other).unwrap();
    let before = contents(&mut *store.reader().unwrap());
    assert!(matches!(
        batch.append(&mut *store),
        Err(StoreError::Inconsistent { .. })
    ));
    assert_eq!(contents(&mut *store.reader().unwrap()), before);
}

fn readers_see_whole_batches_without_gaps(engine: &impl Engine) {
    const BATCH: u64 = 7;
    let (mut world, mut store) = founded(engine, 3);
    let founded = world.size();
    let mut reader = store.reader().unwrap();
    let last = founded + BATCH * 100;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            while world.size() < last {
                for _ in 0..BATCH {
                    world.issue();
                }
                world.store(&mut *store);
            }
        });
        loop {
            let head = reader.head().unwrap();
            let mut next = 0;
            reader
                .events(0, &mut |stored| {
                    assert_eq!(stored.index, next);
                    next += 1;
                    Ok(Continue::Yes)
                })
                .unwrap();
            assert!(next >= head.size, "a reader went back in time");
            assert_eq!((next - founded) % BATCH, 0, "half a batch was seen");
            assert_eq!((head.size - founded) % BATCH, 0);
            if head.size == last {
                break;
            }
        }
    });
}

fn a_frozen_reader_sees_one_moment(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 3);
    let mut reader = store.reader().unwrap();
    reader.freeze().unwrap();
    let before = contents(&mut *reader);
    world.revoke(world.issued[0]);
    world.store(&mut *store);
    assert_eq!(contents(&mut *reader), before);
    reader.thaw().unwrap();
    assert_eq!(contents(&mut *reader).head.size, world.size());
}

/// Leaves as such: what they commit to is nobody's business here.
fn bare(index: u64) -> (Entry, Row) {
    let mut leaf = [0x11; 106];
    leaf[..8].copy_from_slice(&index.to_le_bytes());
    let entry = Entry {
        erases: None,
        index,
        tenant: TenantId::from_bytes([1; 16]),
        about: [2; 16],
        first: true,
        leaf,
        salt: [3; 32],
        record: vec![4],
        aside: None,
    };
    (entry, Row::None)
}

fn tiles_and_right_edge_are_those_of_the_leaves(engine: &impl Engine) {
    let mut store = engine.open().unwrap();
    let mut sealer = Sealer::new();
    let (mut oracle, mut due) = (TileBuilder::new(), Vec::new());
    let mut edge = Frontier::new();
    for size in [1, 255, 256, 257, 511, 512, 65_535, 65_536, 65_537] {
        let from = sealer.size();
        let (mut entries, mut tiles) = (Vec::new(), Vec::new());
        for index in from..size {
            let (entry, row) = bare(index);
            tiles.extend(sealer.push(&entry.leaf));
            due.extend(oracle.push(leaf_hash(&entry.leaf)));
            edge.push(leaf_hash(&entry.leaf));
            entries.push((entry, row));
        }
        let taken = Taken {
            id: [8; 16],
            from,
            entries,
            tiles,
            frontier: sealer.frontier(),
        };
        taken.append(&mut *store).unwrap();
        let mut reader = store.reader().unwrap();
        assert_eq!(reader.head().unwrap().frontier, edge.to_bytes(), "{size}");
        let mut stored = 0;
        reader.tiles(&mut |_, _| stored += 1).unwrap();
        assert_eq!(stored, due.len(), "{size}");
        for tile in &due {
            let kept = reader.tile(tile.id.level(), tile.id.index()).unwrap();
            assert_eq!(kept.as_deref(), Some(&tile.bytes[..]), "{size}");
        }
        // What a start goes on from.
        let partial = ledger::partial(&mut *reader, size).unwrap();
        let resumed = Sealer::resume(size, partial).unwrap();
        assert_eq!(resumed.frontier(), edge.to_bytes(), "{size}");
        assert_eq!(resumed.root(), edge.root(), "{size}");
    }
    let mut reader = store.reader().unwrap();
    assert!(reader.tile(0, 255).unwrap().is_some());
    assert!(reader.tile(1, 0).unwrap().is_some());
    assert_eq!(reader.tile(0, 256).unwrap(), None);
    assert_eq!(reader.tile(1, 1).unwrap(), None);
    assert_eq!(reader.tile(2, 0).unwrap(), None);
}

fn history_leads_back_through_one_thing(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 2);
    let (one, two) = (world.issued[0], world.issued[1]);
    let issued = world.size() - 2;
    let mut due = Vec::new();
    for _ in 0..3 {
        due.push(world.size());
        world.rotate(one);
        world.rotate(two);
    }
    // In the same batch and in another.
    world.store(&mut *store);
    due.push(world.size());
    world.revoke(one);
    world.store(&mut *store);
    let mut reader = store.reader().unwrap();
    let last = reader.token_event(world.tenant, one).unwrap().unwrap();
    assert_eq!(last, world.size() - 1);
    let told = reader.history(world.tenant, last, 100).unwrap();
    let indexes: Vec<u64> = told.iter().map(|t| t.index).collect();
    let mut expected = due.clone();
    expected.reverse();
    assert_eq!(indexes[..4], expected[..]);
    assert_eq!(indexes.len(), 5);
    assert_eq!(indexes[4], issued);
    assert_eq!(reader.history(world.tenant, last, 2).unwrap().len(), 2);
    // The user: made, renamed.
    let mut user = None;
    let find = &mut |read: Result<(Row, u64), StoreError>| {
        if let Ok((Row::Entity(entity), event)) = read
            && entity.kind == "user"
        {
            user = Some(event);
        }
    };
    reader.rows(find).unwrap();
    let told = reader.history(world.tenant, user.unwrap(), 100).unwrap();
    assert_eq!(told.len(), 2);
    // Another tenant sees nothing of it.
    assert_eq!(reader.history(world.system, last, 100).unwrap(), []);
}

/// In pieces of any size the rows are the same as at once, each is found at its place, and each event's trail beside it.
fn rows_are_walked_in_pieces_and_found_at_their_places(engine: &impl Engine) {
    let (world, store) = founded(engine, 7);
    let mut reader = store.reader().unwrap();
    let mut all = Vec::new();
    reader.rows(&mut |row| all.push(row.unwrap())).unwrap();
    for limit in [1, 2, 3, 1000] {
        let mut walked = Vec::new();
        for begin in [Place::TOKENS, Place::ENTITIES] {
            let mut place = begin;
            loop {
                let mut piece = Vec::new();
                let each = &mut |place, row: ReadRow| piece.push((place, row.unwrap()));
                reader.rows_after(&place, limit, each).unwrap();
                assert!(piece.len() <= usize::try_from(limit).unwrap());
                let Some((last, _)) = piece.last() else {
                    break;
                };
                place = last.clone();
                for (place, row) in piece {
                    assert_eq!(reader.row(&place).unwrap().unwrap().unwrap(), row);
                    walked.push(row);
                }
            }
        }
        assert_eq!(walked, all, "{limit} at once");
    }
    let (Row::Token(token), event) = &all[0] else {
        panic!("no token");
    };
    let place = Place::of_token(token.tenant, token.id);
    assert_eq!(reader.row(&place).unwrap().unwrap().unwrap(), all[0]);
    let nobody = Place::of_token(world.system, token.id);
    assert!(reader.row(&nobody).unwrap().is_none());
    let beside = reader.trail_row(token.tenant, *event).unwrap().unwrap();
    assert_eq!(beside.about, token.id.bytes());
    assert_eq!(reader.trail_row(world.system, *event).unwrap(), None);
}

fn the_trail_is_the_tenants_own(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 2);
    world.revoke(world.issued[0]);
    world.store(&mut *store);
    let mut reader = store.reader().unwrap();
    let all = reader.trail(world.tenant, None, 1000).unwrap();
    let system = reader.trail(world.system, None, 1000).unwrap();
    let size = usize::try_from(world.size()).unwrap();
    assert_eq!(all.len() + system.len(), size);
    assert!(all.windows(2).all(|w| w[0].index > w[1].index));
    assert!(system.iter().all(|t| t.index < 2));
    let first = reader.trail(world.tenant, None, 2).unwrap();
    let rest = reader.trail(world.tenant, Some(first[1].index), 1000);
    assert_eq!([first, rest.unwrap()].concat(), all);
    // Words stand beside their event, for their tenant alone.
    let last = world.size() - 1;
    let words = Some(br#"{"note":"leaked"}"#.to_vec());
    assert_eq!(all[0].words, words);
    assert_eq!(reader.words(world.tenant, last).unwrap(), words);
    assert_eq!(reader.words(world.system, last).unwrap(), None);
    assert_eq!(reader.words(world.tenant, 1_000_000).unwrap(), None);
    // Those of its first event are found without its index.
    let founding = Some(br#"{"name":"Acme"}"#.to_vec());
    assert_eq!(reader.first_words(world.tenant).unwrap(), founding);
    assert_eq!(reader.first_words(world.system).unwrap(), None);
    let nobody = TenantId::from_bytes([0xac; 16]);
    assert_eq!(reader.first_words(nobody).unwrap(), None);
}

fn tokens_come_in_pages(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 25);
    world.rotate(world.issued[3]);
    world.store(&mut *store);
    let mut reader = store.reader().unwrap();
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = reader.tokens(world.tenant, after, 10).unwrap();
        let Some((last, _)) = page.last() else { break };
        assert!(page.len() <= 10);
        after = Some(*last);
        all.extend(page);
    }
    let mut due = world.issued.clone();
    due.sort_by_key(|id| *id.bytes());
    assert_eq!(all.iter().map(|(id, _)| *id).collect::<Vec<_>>(), due);
    let rotated = all.iter().find(|(id, _)| *id == world.issued[3]).unwrap();
    assert_eq!(rotated.1, world.size() - 1);
    assert_eq!(reader.tokens(world.system, None, 10).unwrap(), []);
    let other = TokenId::from_bytes([0xee; 16]);
    assert_eq!(reader.token_event(world.tenant, other).unwrap(), None);
    let foreign = reader.token_event(world.system, world.issued[3]);
    assert_eq!(foreign.unwrap(), None);
}

fn of_two_observations_the_younger_stays(engine: &impl Engine) {
    let mut store = engine.open().unwrap();
    let (one, two) = (TokenId::from_bytes([1; 16]), TokenId::from_bytes([2; 16]));
    let used = |token, s, address: &str| LastUse {
        token,
        at: Time::from_seconds(s),
        address: Some(address.to_owned()),
    };
    let batch = [used(one, 20, "b"), used(one, 10, "a"), used(two, 5, "c")];
    store.observe(&batch).unwrap();
    store.observe(&[used(one, 15, "late")]).unwrap();
    store.observe(&[used(two, 30, "d")]).unwrap();
    store.observe(&[]).unwrap();
    drop(store);
    let store = engine.open().unwrap();
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.last_use(one).unwrap(), Some(used(one, 20, "b")));
    let mut all = Vec::new();
    reader.last_uses(&mut |u| all.push(u)).unwrap();
    all.sort_by_key(|u| u.at);
    assert_eq!(all, [used(one, 20, "b"), used(two, 30, "d")]);
    let other = TokenId::from_bytes([3; 16]);
    assert_eq!(reader.last_use(other).unwrap(), None);
}

fn what_an_event_erases_goes_with_it_and_nothing_else(engine: &impl Engine) {
    let (mut world, mut store) = founded(engine, 2);
    let (dead, kept) = (world.issued[0], world.issued[1]);
    world.revoke(dead);
    world.store(&mut *store);
    let used = |token| LastUse {
        token,
        at: Time::from_seconds(20),
        address: Some("192.0.2.1".to_owned()),
    };
    store.observe(&[used(dead), used(kept)]).unwrap();
    let (issued, revoked) = (world.size() - 3, world.size() - 1);
    let user = SubjectId::User(world.user);
    let named = |indexes: &[u64]| Erasure::Words {
        subject: user,
        indexes: indexes.to_vec(),
    };
    let openings = Erasure::Openings {
        tokens: vec![dead],
        indexes: vec![issued, revoked],
    };
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.erasures().unwrap(), []);
    // Words of another tenant's events stay, whatever an event of this one names.
    let (tenant, system) = (world.tenant, world.system);
    world.event(system, Event::Erased(named(&[issued + 1])));
    world.store(&mut *store);
    assert!(reader.words(tenant, issued + 1).unwrap().is_some());
    let before = reader.trail(tenant, None, 1000).unwrap();
    let leaves = reader.leaves(0, 1000).unwrap();
    world.event(tenant, Event::Erased(named(&[issued + 1])));
    world.event(tenant, Event::Erased(openings));
    world.store(&mut *store);
    drop(store);
    let store = engine.open().unwrap();
    let mut reader = store.reader().unwrap();
    let erased = reader.erasures().unwrap();
    let due = [world.size() - 3, world.size() - 2, world.size() - 1];
    assert_eq!(erased.iter().map(|s| s.index).collect::<Vec<_>>(), due);
    assert_eq!(reader.leaves(0, 1000).unwrap()[..leaves.len()], leaves);
    let mut closed = Vec::new();
    let walk = reader.events(0, &mut |stored| {
        closed.extend(stored.opening.is_none().then_some(stored.index));
        Ok(Continue::Yes)
    });
    walk.unwrap();
    assert_eq!(closed, [issued, revoked]);
    assert_eq!(reader.token_event(tenant, dead).unwrap(), None);
    assert_eq!(reader.last_use(dead).unwrap(), None);
    assert_eq!(reader.words(tenant, issued + 1).unwrap(), None);
    assert_eq!(reader.aside(tenant, issued + 1).unwrap(), None);
    // All else is as it was.
    assert_eq!(reader.token_event(tenant, kept).unwrap(), Some(issued + 1));
    assert_eq!(reader.last_use(kept).unwrap(), Some(used(kept)));
    let after = reader.trail(tenant, None, 1000).unwrap();
    let stays = before.into_iter().filter(|t| !closed.contains(&t.index));
    let stays = stays.map(|mut t| {
        t.words = t.words.filter(|_| t.index != issued + 1);
        t
    });
    assert_eq!(after[2..], stays.collect::<Vec<_>>());
}

fn uses_are_forgotten_when_asked(engine: &impl Engine) {
    let mut store = engine.open().unwrap();
    let (one, two) = (TokenId::from_bytes([1; 16]), TokenId::from_bytes([2; 16]));
    let used = |token| LastUse {
        token,
        at: Time::from_seconds(20),
        address: None,
    };
    store.observe(&[used(one), used(two)]).unwrap();
    store.forget_uses(&[]).unwrap();
    store
        .forget_uses(&[one, TokenId::from_bytes([3; 16])])
        .unwrap();
    drop(store);
    let mut reader = engine.open().unwrap().reader().unwrap();
    assert_eq!(reader.last_use(one).unwrap(), None);
    assert_eq!(reader.last_use(two).unwrap(), Some(used(two)));
}

fn the_youngest_checkpoint_is_the_last(engine: &impl Engine) {
    let (_, mut store) = founded(engine, 0);
    let mut reader = store.reader().unwrap();
    assert_eq!(reader.last_checkpoint().unwrap(), None);
    store.keep_checkpoint(5, "five").unwrap();
    store.keep_checkpoint(3, "three").unwrap();
    assert_eq!(
        reader.last_checkpoint().unwrap(),
        Some((5, "five".to_owned()))
    );
    // Signing the same size again says the same thing.
    store.keep_checkpoint(5, "five again").unwrap();
    let mut all = Vec::new();
    let each = &mut |size, note: String| all.push((size, note));
    reader.checkpoints(each).unwrap();
    let due = [(3, "three".to_owned()), (5, "five again".to_owned())];
    assert_eq!(all, due);
}

fn sizes(reader: &mut dyn Reader) -> Vec<u64> {
    let mut sizes = Vec::new();
    let each = &mut |size: i64, _| sizes.push(u64::try_from(size).unwrap());
    reader.checkpoints(each).unwrap();
    sizes
}

fn of_the_older_checkpoints_a_few_stay(engine: &impl Engine) {
    let (_, mut store) = founded(engine, 0);
    let mut reader = store.reader().unwrap();
    let newest = usize::try_from(CHECKPOINTS_NEWEST).unwrap();
    // Some right at the bounds, many within, and bounds that are skipped.
    let mut signed = vec![
        1, 2, 65_535, 65_536, 65_537, 131_071, 262_144, 262_145, 400_000,
    ];
    let stay = vec![1, 65_536, 262_144, 400_000];
    let gone = signed.len() - stay.len();
    let first = 1_000_000;
    signed.extend((0..CHECKPOINTS_NEWEST).map(|n| first + u64::from(n)));
    for (at, size) in signed.iter().enumerate() {
        store.keep_checkpoint(*size, &size.to_string()).unwrap();
        if at % 500 == 0 || at < 10 || at + 12 > signed.len() {
            let kept = sizes(&mut *reader);
            // The newest are all there, the youngest among them.
            let young = &signed[(at + 1).saturating_sub(newest)..=at];
            assert!(kept.ends_with(young), "at {size}: {} are kept", kept.len());
        }
    }
    let kept = sizes(&mut *reader);
    assert_eq!(kept.len(), signed.len() - gone);
    assert_eq!(kept[..stay.len()], stay);
    // The same again changes nothing, and neither does a start.
    let last = *signed.last().unwrap();
    store.keep_checkpoint(last, "again").unwrap();
    assert_eq!(sizes(&mut *reader), kept);
    drop(store);
    let mut store = engine.open().unwrap();
    store.keep_checkpoint(last + 1, "after a start").unwrap();
    // Now the first of the newest is among the older: it is the first of its kind there.
    assert_eq!(
        sizes(&mut *reader)[..=stay.len()],
        [stay, vec![first]].concat()
    );
    store.keep_checkpoint(last + 2, "and on").unwrap();
    let kept = sizes(&mut *reader);
    assert!(kept.contains(&first) && !kept.contains(&(first + 1)));
    assert_eq!(reader.last_checkpoint().unwrap().unwrap().0, last + 2);
}

fn a_store_of_a_newer_jeton_is_refused(engine: &impl Engine) {
    let (_, store) = founded(engine, 1);
    drop(store);
    engine.make_newer();
    let Err(error) = engine.open() else {
        panic!("it was opened");
    };
    let told = error.to_string();
    assert!(matches!(error, StoreError::Unusable(_)), "{told}");
    assert!(told.contains("version 99"), "{told}");
}

fn another_programs_store_is_refused_and_left_alone(engine: &impl Engine) {
    let mut way = 0;
    while engine.make_foreign(way) {
        match engine.open() {
            Ok(_) => panic!("{way}: it was opened"),
            Err(error) => assert!(matches!(error, StoreError::Unusable(_)), "{way}: {error:?}"),
        }
        // Twice, since a first attempt must not have made it ours.
        assert!(engine.open().is_err(), "{way}: it was made ours");
        way += 1;
    }
    assert!(way > 0);
}

macro_rules! engine {
    ($name:ident, $engine:ty, $($test:ident)*) => {
        mod $name {
            use super::*;
            $(#[test] fn $test() { super::$test(&<$engine>::fresh()); })*
        }
    };
    ($name:ident, $engine:ty) => {
        engine! { $name, $engine,
            what_was_appended_is_there_in_order_and_after_a_start
            a_batch_is_there_whole_or_not_at_all
            each_write_that_fails_leaves_nothing
            each_write_that_fails_after_it_was_done_leaves_nothing
            a_lost_answer_is_settled_by_looking_at_the_head
            a_full_disk_takes_nothing_of_a_batch_wherever_it_ends
            a_smaller_batch_fits_where_a_larger_one_did_not
            another_size_than_the_heads_is_refused
            readers_see_whole_batches_without_gaps
            a_frozen_reader_sees_one_moment
            tiles_and_right_edge_are_those_of_the_leaves
            history_leads_back_through_one_thing
            rows_are_walked_in_pieces_and_found_at_their_places
            the_trail_is_the_tenants_own
            tokens_come_in_pages
            of_two_observations_the_younger_stays
            what_an_event_erases_goes_with_it_and_nothing_else
            uses_are_forgotten_when_asked
            the_youngest_checkpoint_is_the_last
            of_the_older_checkpoints_a_few_stay
            a_store_of_a_newer_jeton_is_refused
            another_programs_store_is_refused_and_left_alone
        }
    };
}

engine!(sqlite, SqliteEngine);
