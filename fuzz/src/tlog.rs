//! The log's formats: what is read prints the same, and no change of a byte makes a stranger's word the log's.

use std::sync::OnceLock;

use jeton_tlog::{
    AddCheckpoint, BundleId, Checkpoint, CosigningKey, Frontier, Hash, Note, Policy, PolicyError,
    Receipt, Signature, SigningKey, TILE_WIDTH, TREE_SIZE_MAX, TileId, TilePath, VerifierKey,
    decode_bundle, encode_bundle, leaf_hash, prove_inclusion,
};

use super::{Draw, mutated};

const ORIGIN: &str = "log.example/fuzz";

/// The log's key, one of a stranger with the same name, and those of four witnesses.
struct Keys {
    log: SigningKey,
    stranger: SigningKey,
    witnesses: [CosigningKey; 4],
}

fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    let log = |seed| SigningKey::from_seed(ORIGIN, &[seed; 32]).expect("a key");
    let witness = |seed: u8| {
        let name = format!("w.example/{seed}");
        CosigningKey::from_seed(&name, &[seed; 32]).expect("a key")
    };
    KEYS.get_or_init(|| Keys {
        log: log(1),
        stranger: log(2),
        witnesses: [11, 12, 13, 14].map(witness),
    })
}

fn log_key() -> VerifierKey {
    keys().log.verifier().clone()
}

/// Lines of few letters, blank ones among them.
fn words(draw: &mut Draw<'_>) -> String {
    const LETTERS: [&str; 8] = ["a", " ", "\u{2014} ", "+", "é", "\n", "=", "0"];
    let count = draw.below(40);
    let mut text: String = (0..count).map(|_| LETTERS[draw.below(8)]).collect();
    text.push('\n');
    text
}

fn head(draw: &mut Draw<'_>) -> Checkpoint {
    let size = match draw.byte() % 4 {
        0 => u64::from(draw.byte()),
        1 => TREE_SIZE_MAX - u64::from(draw.byte()),
        _ => u64::from_be_bytes(draw.bytes()) >> 1,
    };
    let root = if size == 0 {
        Hash::EMPTY
    } else {
        Hash::from_bytes(draw.bytes())
    };
    Checkpoint::new(ORIGIN, size, root).expect("a checkpoint")
}

/// A checkpoint of the log with the cosignatures of some witnesses: the note, and whose.
fn cosigned(head: &Checkpoint, draw: &mut Draw<'_>) -> (String, [bool; 4]) {
    let mut note = head.sign(&keys().log).expect("it signs");
    if draw.byte().is_multiple_of(4) {
        note += &keys().stranger.sign(&head.to_string()).expect("it signs");
    }
    let by = [(); 4].map(|()| draw.byte().is_multiple_of(2));
    for (witness, signs) in keys().witnesses.iter().zip(by) {
        if signs {
            let time_s = 1 + u64::from(draw.byte());
            note += &witness.cosign(head, time_s).expect("it cosigns");
        }
    }
    (note, by)
}

/// A note is read in one way, and its text is believed only if the log has signed just that.
pub fn note(bytes: &[u8]) {
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
        assert!(note.verify(&[log_key()]).is_err(), "signed by nobody");
    }
    let mut draw = Draw(bytes);
    let text = words(&mut draw);
    let signed = keys().log.sign_note(&text).expect("it signs");
    let good = Note::parse(signed.as_bytes()).expect("what was signed is a note");
    let believed = good.verify(&[log_key()]).expect("it is believed");
    assert_eq!(believed.text(), text);
    let changed = mutated(signed.as_bytes(), &mut draw);
    if let Ok(note) = Note::parse(&changed) {
        assert_eq!(note.to_string().as_bytes(), changed);
        if let Ok(believed) = note.verify(&[log_key()]) {
            assert_eq!(believed.text(), text);
        }
        let lines: String = note.signatures().iter().map(ToString::to_string).collect();
        let again = Signature::parse_lines(&lines).expect("they are lines");
        assert_eq!(again, note.signatures());
        let mut more = note.clone();
        for line in again {
            more.add(line).expect("it is there already");
        }
        assert!(more.signatures().len() <= note.signatures().len());
    }
}

/// A checkpoint is read in one way, and believed only as it was signed.
pub fn checkpoint(bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes)
        && let Ok(checkpoint) = Checkpoint::parse(text)
    {
        assert_eq!(checkpoint.to_string(), text);
        assert!(checkpoint.size() <= TREE_SIZE_MAX);
    }
    let mut draw = Draw(bytes);
    let head = head(&mut draw);
    assert_eq!(Checkpoint::parse(&head.to_string()).as_ref(), Ok(&head));
    let (signed, by) = cosigned(&head, &mut draw);
    let witnesses = keys().witnesses.each_ref().map(|w| w.witness().clone());
    let note = Note::parse(signed.as_bytes()).expect("a note");
    let found = note.cosignatures(&witnesses).expect("they are good");
    assert_eq!(found.len(), by.iter().filter(|signs| **signs).count());
    let changed = mutated(signed.as_bytes(), &mut draw);
    if let Ok(opened) = Checkpoint::open(&changed, keys().log.verifier()) {
        assert_eq!(opened.checkpoint(), &head);
    }
    if let Ok(note) = Note::parse(&changed)
        && let Ok(found) = note.cosignatures(&witnesses)
        && !found.is_empty()
    {
        assert_eq!(note.unverified_text(), head.to_string());
        for one in found {
            let at = witnesses.iter().position(|key| key == one.key());
            assert!(by[at.expect("a known one")], "it never signed");
        }
    }
}

/// A path is read in one way, and names the tile that it was made of.
pub fn tile_path(bytes: &[u8]) {
    let read = |text: &str| {
        if let Ok(path) = TilePath::parse(text) {
            assert_eq!(path.to_string(), text);
        }
    };
    if let Ok(text) = core::str::from_utf8(bytes) {
        read(text);
    }
    let mut draw = Draw(bytes);
    let (level, shift) = (draw.byte() % 9, draw.byte() % 64);
    let index = u64::from_be_bytes(draw.bytes()) >> shift;
    let width = u16::try_from(draw.below(usize::from(TILE_WIDTH) + 2)).expect("small");
    let made = [
        TileId::new(level, index, width).ok().map(TilePath::Hashes),
        BundleId::new(index, width).ok().map(TilePath::Entries),
    ];
    for path in made.into_iter().flatten() {
        let text = path.to_string();
        assert_eq!(TilePath::parse(&text), Ok(path), "{text}");
        if let Ok(changed) = String::from_utf8(mutated(text.as_bytes(), &mut draw)) {
            read(&changed);
        }
    }
}

/// Entries come out as they went in, and a bundle that is read is written the same.
pub fn bundle(bytes: &[u8]) {
    let mut draw = Draw(bytes);
    let asked = u16::from(draw.byte()) + 1;
    if let Ok(entries) = decode_bundle(draw.0, asked) {
        assert_eq!(entries.len(), usize::from(asked));
        assert_eq!(encode_bundle(&entries).as_deref(), Ok(draw.0));
    }
    let count = 1 + draw.below(9);
    let entries: Vec<Vec<u8>> = (0..count)
        .map(|_| {
            let length = draw.below(20);
            (0..length).map(|_| draw.byte()).collect()
        })
        .collect();
    let written = encode_bundle(&entries).expect("short entries");
    let width = u16::try_from(count).expect("few");
    let read = decode_bundle(&written, width).expect("what was written is read");
    assert_eq!(read, entries);
    assert!(decode_bundle(&written, width + 1).is_err());
    let changed = mutated(&written, &mut draw);
    if let Ok(entries) = decode_bundle(&changed, width) {
        assert_eq!(encode_bundle(&entries), Ok(changed));
    }
}

fn policy_text(last: &str) -> String {
    let mut text = format!("log {}\n", keys().log.verifier());
    for (witness, number) in keys().witnesses.iter().zip(1..) {
        text += &format!(
            "witness w{number} {} https://w{number}.example\n",
            witness.witness()
        );
    }
    text + last
}

/// A receipt is read in one way, and proves no leaf but its own, at no place but its own.
pub fn receipt(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let receipt = Receipt::parse(bytes).ok()?;
        assert_eq!(receipt.to_string().as_bytes(), bytes);
        Some(receipt)
    };
    read(bytes);
    let mut draw = Draw(bytes);
    let size = 1 + u64::try_from(draw.below(7)).expect("few");
    let leaves: Vec<Hash> = (0..size).map(|at| leaf_hash(&at.to_be_bytes())).collect();
    let index = u64::from(draw.byte()) % size;
    let leaf = leaves[usize::try_from(index).expect("few")];
    let root = |of: &[Hash]| {
        let mut frontier = Frontier::new();
        of.iter().for_each(|leaf| frontier.push(*leaf));
        frontier.root()
    };
    let path = prove_inclusion(index, size, |level, at| {
        let width = 1_usize << level;
        let start = usize::try_from(at).ok()? * width;
        leaves.get(start..start + width).map(root)
    });
    let head = Checkpoint::new(ORIGIN, size, root(&leaves)).expect("a checkpoint");
    let (signed, _) = cosigned(&head, &mut draw);
    let extra: Vec<u8> = (0..draw.below(9)).map(|_| draw.byte()).collect();
    let made = Receipt::new(index, path.expect("a path"), signed, extra).expect("a receipt");
    let policy = Policy::parse(&policy_text("quorum none\n")).expect("a policy");
    made.verify(&leaf, &policy).expect("it is right");
    let text = made.to_string();
    assert_eq!(read(text.as_bytes()).as_ref(), Some(&made));
    let changed = read(&mutated(text.as_bytes(), &mut draw));
    if let Some(changed) = changed
        && let Ok(proved) = changed.verify(&leaf, &policy)
    {
        assert_eq!((proved.index(), proved.leaf()), (index, &leaf));
        assert_eq!(proved.checkpoint().checkpoint().checkpoint(), &head);
    }
    let other = leaf_hash(b"never logged");
    assert!(made.verify(&other, &policy).is_err());
}

/// A policy says yes to a quorum and to nothing less, and one more cosignature never turns a yes into a no.
pub fn policy(bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes) {
        judged(text);
    }
    let mut draw = Draw(bytes);
    let (inner, outer) = (1 + draw.below(2), 1 + draw.below(3));
    let last = match draw.byte() % 4 {
        0 => "quorum none\n".to_owned(),
        1 => format!("group q {inner} w1 w2\nquorum q\n"),
        2 => format!("group g {inner} w1 w2\ngroup q {outer} g w3 w4\nquorum q\n"),
        _ => "quorum w4\n".to_owned(),
    };
    let text = policy_text(&last);
    let policy = Policy::parse(&text).expect("a policy");
    let head = head(&mut draw);
    let (signed, by) = cosigned(&head, &mut draw);
    let names = ["w1", "w2", "w3", "w4"];
    let has = |name: &str| names.iter().zip(by).any(|(n, signs)| signs && *n == name);
    let met = policy.is_met(|witness| has(witness.name()));
    match policy.verify(signed.as_bytes()) {
        Ok(witnessed) => {
            assert!(met);
            assert_eq!(witnessed.checkpoint().checkpoint(), &head);
        }
        Err(PolicyError::QuorumNotMet { .. }) => assert!(!met),
        Err(error) => panic!("{error}"),
    }
    let changed = mutated(signed.as_bytes(), &mut draw);
    if let Ok(witnessed) = policy.verify(&changed) {
        assert!(met, "a change made a quorum");
        assert_eq!(witnessed.checkpoint().checkpoint(), &head);
    }
    if let Ok(changed) = String::from_utf8(mutated(text.as_bytes(), &mut draw)) {
        judged(&changed);
    }
}

fn judged(text: &str) {
    let Ok(policy) = Policy::parse(text) else {
        return;
    };
    for warning in policy.lint() {
        assert!(!warning.to_string().is_empty());
    }
    assert!(policy.is_met(|_| true), "all together are a quorum");
    let Some(strength) = policy.strength() else {
        assert!(policy.is_met(|_| false));
        return;
    };
    assert!(!policy.is_met(|_| false));
    assert!((1..=strength.witnesses).contains(&strength.smallest));
    assert!((1..=strength.witnesses).contains(&strength.blocking));
    assert!(strength.overlap <= strength.smallest);
}

/// A request to a witness is read in one way, and its head is opened only if the log has signed it.
pub fn add_checkpoint(bytes: &[u8]) {
    let read = |bytes: &[u8]| {
        let request = AddCheckpoint::parse(bytes).ok()?;
        assert_eq!(request.to_string().as_bytes(), bytes);
        Some(request)
    };
    if let Some(request) = read(bytes) {
        assert!(request.open(&[log_key()]).is_err(), "signed by nobody");
    }
    let mut draw = Draw(bytes);
    let head = head(&mut draw);
    let (signed, _) = cosigned(&head, &mut draw);
    let proof: Vec<Hash> = (0..draw.below(5))
        .map(|_| Hash::from_bytes(draw.bytes()))
        .collect();
    let old = u64::from(draw.byte());
    let made = AddCheckpoint::new(old, proof, signed).expect("a request");
    let text = made.to_string();
    assert_eq!(read(text.as_bytes()).as_ref(), Some(&made));
    let Some(changed) = read(&mutated(text.as_bytes(), &mut draw)) else {
        return;
    };
    let Ok(opened) = changed.open(&[log_key()]) else {
        return;
    };
    assert_eq!(opened.checkpoint(), &head);
    assert!(changed.old() <= head.size());
    // Whoever remembers another head of this size cosigns nothing.
    let other = Hash::from_bytes([7; 32]);
    if head.size() > 0 {
        let refused = changed.follows(&opened, Some((head.size(), other)));
        assert!(refused.is_err());
    }
}
