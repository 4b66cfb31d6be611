//! Chunks of openings: what is torn is mended, what is erased stays gone.

use jeton_core::{
    event::{Actor, RECORD_VERSION, Record},
    id::{TenantId, TokenId},
    leaf::{LeafKind, LeafParts, TagKey, commit},
    time::Time,
};

use super::*;

/// An event as the authority gives it, with its opening and words.
fn event(index: u64, event: Event) -> Mirrored {
    let words = format!("words of {index}").into_bytes();
    let tenant = TenantId::from_bytes([1; 16]);
    let record = Record {
        version: RECORD_VERSION,
        tenant,
        at: Time::from_millis(index),
        actor: Actor::Authority,
        request: None,
        aside: Some(aside_hash(&[2; 16], &words)),
        event,
    };
    let bytes = ledger::encode(&record).unwrap();
    let leaf = LeafParts {
        kind: LeafKind::of(&record.event),
        at: record.at,
        key: &TagKey::new(&[3; 32]),
        tenant_sequence: index + 1,
        about: record.event.about(tenant),
        about_sequence: 0,
        commit: commit(&[4; 32], &bytes),
    };
    (
        index,
        leaf.bytes().to_vec().into(),
        Some([4; 32].into()),
        Some(bytes.into()),
        Some([2; 16].into()),
        Some(words.into()),
    )
}

fn plain(index: u64) -> Mirrored {
    event(index, Event::Renamed { about: [5; 16] })
}

fn erasing(index: u64, indexes: Vec<u64>) -> Mirrored {
    let tokens = vec![TokenId::from_bytes([6; 16])];
    event(index, Event::Erased(Erasure::Openings { tokens, indexes }))
}

fn kept(dir: &Path, count: u64) -> Vec<Mirrored> {
    let chunks = (0..count.div_ceil(CHUNK_EVENTS)).map(|n| n * CHUNK_EVENTS);
    let read = chunks.flat_map(|first| read_chunk(&dir.join("openings"), first).unwrap());
    read.collect()
}

#[test]
fn what_lies_beyond_the_checkpoint_is_cut_at_every_edge_of_a_file() {
    for size in [0, 1, 4095, 4096, 4097, 8191, 8192, 8200] {
        let dir = tempfile::tempdir().unwrap();
        let mut openings = Openings::open(dir.path(), 0).unwrap();
        openings.append((0..8200).map(plain).collect()).unwrap();
        assert_eq!(openings.count, 8200);
        let again = Openings::open(dir.path(), size).unwrap();
        assert_eq!(again.count, size);
        let left = kept(dir.path(), 8200);
        assert_eq!(u64::try_from(left.len()).unwrap(), size);
        assert!(
            left.iter()
                .zip(0..)
                .all(|(event, due)| *event == plain(due))
        );
        // And it goes on from there.
        let mut again = again;
        again.append((size..8201).map(plain).collect()).unwrap();
        assert_eq!(kept(dir.path(), 8201).len(), 8201);
    }
}

#[test]
fn a_torn_end_is_fetched_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut openings = Openings::open(dir.path(), 0).unwrap();
    openings.append((0..5).map(plain).collect()).unwrap();
    let path = dir.path().join("openings").join(chunk_name(0));
    let whole = fs::read(&path).unwrap();
    let last = encode(&[plain(4)]).len();
    for cut in [1, 30, last - 1] {
        fs::write(&path, &whole[..whole.len() - cut]).unwrap();
        let mut openings = Openings::open(dir.path(), 5).unwrap();
        assert_eq!(openings.count, 4, "{cut}");
        openings.append(vec![plain(4)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn erasures_reach_across_files_and_are_done_before_they_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut openings = Openings::open(dir.path(), 0).unwrap();
    openings.append((0..4098).map(plain).collect()).unwrap();
    let last = || vec![plain(4098), erasing(4099, vec![0, 4095, 4096, 4098])];
    openings.append(last()).unwrap();
    let gone = |events: &[Mirrored]| -> Vec<u64> {
        let gaps = events
            .iter()
            .filter(|event| event.3.is_none() && event.5.is_none());
        gaps.map(|event| event.0).collect()
    };
    let now = kept(dir.path(), 4100);
    assert_eq!((now.len(), gone(&now)), (4100, vec![0, 4095, 4096, 4098]));
    assert!(openings.ledger.missing.is_empty());
    // A crash after the older file was written anew: the event comes again, and nothing is missing then.
    let mut again = Openings::open(dir.path(), 4098).unwrap();
    again.append(last()).unwrap();
    assert_eq!(gone(&kept(dir.path(), 4100)), [0, 4095, 4096, 4098]);
}

#[test]
fn a_gap_is_explained_by_a_later_event_or_named() {
    let bare = |index| {
        let (index, leaf, ..) = plain(index);
        (index, leaf, None, None, None, None)
    };
    let wordless = |index| {
        let (index, leaf, salt, record, ..) = plain(index);
        (index, leaf, salt, record, None, None)
    };
    let missing = |events: Vec<Mirrored>| {
        let dir = tempfile::tempdir().unwrap();
        let mut openings = Openings::open(dir.path(), 0).unwrap();
        openings.append(events).unwrap();
        let missing = openings.ledger.missing;
        missing.into_iter().collect::<Vec<_>>()
    };
    assert_eq!(missing(vec![bare(0), erasing(1, vec![0])]), []);
    assert_eq!(missing(vec![wordless(0), erasing(1, vec![0])]), []);
    assert_eq!(missing(vec![bare(0), plain(1)]), [(0, "opening")]);
    assert_eq!(missing(vec![wordless(0), plain(1)]), [(0, "words")]);
    // An event cannot explain what comes after it.
    assert_eq!(
        missing(vec![erasing(0, vec![1]), bare(1)]),
        [(1, "opening")]
    );
}

#[test]
fn an_opening_that_explains_another_leaf_is_refused() {
    let good = plain(7);
    assert!(open_event(&good).unwrap().is_some());
    let change = |change: &dyn Fn(&mut Mirrored)| {
        let mut event = plain(7);
        change(&mut event);
        open_event(&event).is_err()
    };
    assert!(change(&|e| e.1[80] ^= 1));
    assert!(change(&|e| e.1.push(0)));
    assert!(change(&|e| e.2 = Some([9; 32].into())));
    assert!(change(&|e| e.2 = None));
    assert!(change(&|e| e.3 = None));
    assert!(change(&|e| e.4 = None));
    assert!(change(&|e| e.5 = Some(b"other words".to_vec().into())));
}
