//! The functions. Bytes are read as *orders* (mint this, change that), since plain text never gets past a checksum.

use std::sync::OnceLock;

use jeton::{
    anchor::{
        bitcoin::Header,
        ots::{Attestation, MESSAGE_BYTES_MAX, Proof, STEPS_MAX, Stamp, commitment},
    },
    http::{
        apis::{ApiOrder, ImportOrder, RoutesOrder},
        apps::AppOrder,
        check::{BatchView, CheckView},
        cursor::{self, List},
        extract::read_json,
        openapi_import, strict,
        tokens::{cut_off::CutOffView, issue::IssueView, rotate::RotateView},
    },
    node::keyring::{Kek, Keyring},
};
use jeton_core::{
    event::Record,
    id::TenantId,
    refusal::Refusal,
    resource::{Pattern, RESOURCE_BYTES_MAX, all_covered},
    token::text::{Class, Prefix, TOKEN_BYTES_MAX, TextDraw, TokenText, mint},
};
use serde_json::{Map, Value};

#[path = "backup.rs"]
pub mod backup;

// By its path, because the tests of `jeton` include this file by its own.
#[path = "tlog.rs"]
pub mod tlog;

/// A target: its name, which is the name of its seeds' directory, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("token_text", token_text),
    ("cursor", cursor),
    ("record_cbor", record_cbor),
    ("check_json", check_json),
    ("resource_pattern", resource_pattern),
    ("openapi_import", openapi_import),
    ("ots", ots),
    ("backup", backup::backup),
    ("note", tlog::note),
    ("checkpoint", tlog::checkpoint),
    ("tile_path", tlog::tile_path),
    ("bundle", tlog::bundle),
    ("receipt", tlog::receipt),
    ("policy", tlog::policy),
    ("add_checkpoint", tlog::add_checkpoint),
];

/// Takes from the front of the bytes; nothing left is zeros.
struct Draw<'a>(&'a [u8]);

impl Draw<'_> {
    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().map_or((0, &[][..]), |(f, r)| (*f, r));
        self.0 = rest;
        first
    }

    fn bytes<const N: usize>(&mut self) -> [u8; N] {
        core::array::from_fn(|_| self.byte())
    }

    fn below(&mut self, most: usize) -> usize {
        let two = usize::from(self.byte()) << 8 | usize::from(self.byte());
        if most == 0 { 0 } else { two % most }
    }
}

/// One change of a text's bytes; the kind and the place are drawn.
fn mutated(text: &[u8], draw: &mut Draw<'_>) -> Vec<u8> {
    let mut out = text.to_vec();
    let (kind, at) = (draw.byte() % 6, draw.below(text.len().max(1)));
    match kind {
        0 => out.insert(at, draw.byte()),
        1 if !out.is_empty() => drop(out.remove(at)),
        2 if at + 1 < out.len() => out.swap(at, at + 1),
        3 => out.truncate(at),
        4 => out.extend_from_slice(&draw.bytes::<2>()),
        _ => {
            if let Some(byte) = out.get_mut(at) {
                *byte = draw.byte();
            }
        }
    }
    out
}

/// parse(print) is the same, and one slip of a finger is never another token.
///
/// A CRC-32 finds each change of one byte or of two neighbours. What is longer or shorter by a byte has another shape,
/// unless the slip is in the prefix: then, should the sums agree by chance, it is another tenant's.
pub fn token_text(bytes: &[u8]) {
    let mut draw = Draw(bytes);
    if let Ok(text) = core::str::from_utf8(bytes)
        && let Ok(token) = TokenText::parse(text)
    {
        assert_eq!(token.expose_secret(), text);
        assert!(text.len() <= TOKEN_BYTES_MAX);
    }
    let letters = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let len = 2 + draw.below(7);
    let prefix: Vec<u8> = (0..len).map(|_| letters[draw.below(36)]).collect();
    let class = Class::ALL[draw.below(Class::ALL.len())];
    let Some(prefix) = Prefix::parse(&prefix) else {
        assert!(prefix[0].is_ascii_digit(), "{prefix:?}");
        return;
    };
    let Some(secret) = mint(prefix, class, &TextDraw(draw.bytes())) else {
        return;
    };
    let text = secret.expose_secret();
    let token = TokenText::parse(text).expect("what was minted is a token");
    assert_eq!(token.expose_secret(), text);
    assert_eq!((token.prefix(), token.class()), (prefix, class));
    let changed = mutated(text.as_bytes(), &mut draw);
    if changed == text.as_bytes() {
        return;
    }
    let Ok(changed) = String::from_utf8(changed) else {
        return;
    };
    match TokenText::parse(&changed) {
        Ok(other) => {
            assert_ne!(changed.len(), text.len(), "{text} {changed}");
            assert_ne!(other.prefix(), prefix, "{text} {changed}");
        }
        Err(refusal) => assert_eq!(refusal.outward(), Refusal::TokenUnknown),
    }
}

fn keyring(which: usize) -> &'static Keyring {
    static KEYRINGS: OnceLock<[Keyring; 2]> = OnceLock::new();
    let made = KEYRINGS.get_or_init(|| {
        ["one", "two"].map(|name| {
            let dir =
                std::env::temp_dir().join(format!("jeton-fuzz-{}-{name}", std::process::id()));
            std::fs::create_dir_all(&dir).expect("a directory");
            let keyring = Keyring::open(&dir.join("keyring"), &Kek::File(dir.join("kek")));
            std::fs::remove_dir_all(&dir).expect("the directory goes");
            keyring.expect("a keyring")
        })
    });
    &made[which % 2]
}

/// A cursor is read where it was made, and nowhere else; nothing else is read at all.
pub fn cursor(bytes: &[u8]) {
    const LISTS: [List; 5] = [
        List::Tokens,
        List::OwnedTokens,
        List::Users,
        List::Apps,
        List::Events,
    ];
    let mut draw = Draw(bytes);
    let mut place = || {
        let key = draw.below(2);
        let list = LISTS[draw.below(LISTS.len())];
        let tenant = TenantId::from_bytes(draw.bytes());
        (key, list, tenant)
    };
    let (made, asked) = (place(), place());
    let position: [u8; 16] = draw.bytes();
    let text = cursor::make(keyring(made.0), made.1, made.2, &position);
    let read = |(key, list, tenant): (usize, List, TenantId), text: &str| {
        cursor::read::<16>(keyring(key), list, tenant, text).ok()
    };
    assert_eq!(read(made, &text), Some(position));
    assert_eq!(read(asked, &text).is_some(), asked == made);
    // Of another length than the list's positions.
    assert!(cursor::read::<8>(keyring(made.0), made.1, made.2, &text).is_err());
    let changed = mutated(text.as_bytes(), &mut draw);
    if changed != text.as_bytes()
        && let Ok(changed) = String::from_utf8(changed)
    {
        assert_eq!(read(made, &changed), None, "{text} {changed}");
    }
    if let Ok(text) = core::str::from_utf8(bytes) {
        assert_eq!(read(made, text), None);
    }
}

/// Whatever decodes is written in one way: the deterministic one (RFC 8949 §4.2), which decodes to the same.
pub fn record_cbor(bytes: &[u8]) {
    let Ok(record) = minicbor::decode::<Record>(bytes) else {
        return;
    };
    let written = minicbor::to_vec(&record).expect("memory does not fail");
    let again: Record = minicbor::decode(&written).expect("what was written is read");
    assert!(again == record, "{record:?} {again:?}");
    assert_eq!(
        minicbor::to_vec(&again).expect("memory does not fail"),
        written
    );
    let mut at = 0;
    canonical(&written, &mut at);
    assert_eq!(at, written.len());
}

/// Walks one item: definite lengths, shortest heads, map keys in ascending order.
fn canonical(bytes: &[u8], at: &mut usize) {
    let head = bytes[*at];
    let (major, minor) = (head >> 5, head & 0x1f);
    *at += 1;
    let width = match minor {
        0..24 => 0,
        24 => 1,
        25 => 2,
        26 => 4,
        27 => 8,
        _ => panic!("an indefinite length at {at}"),
    };
    let mut value = u64::from(minor);
    if width > 0 {
        let digits = &bytes[*at..*at + width];
        *at += width;
        value = digits.iter().fold(0, |v, d| v << 8 | u64::from(*d));
        let least = [0, 24, 0x100, 0, 0x1_0000, 0, 0, 0, 0x1_0000_0000][width];
        assert!(major == 7 || value >= least, "a long head at {at}");
    }
    let count = usize::try_from(value).expect("a length fits");
    match major {
        2 | 3 => *at += count,
        4 => (0..count).for_each(|_| canonical(bytes, at)),
        5 => {
            let mut last: Option<&[u8]> = None;
            for _ in 0..count {
                let start = *at;
                canonical(bytes, at);
                let key = &bytes[start..*at];
                assert!(last.is_none_or(|l| l < key), "keys out of order at {start}");
                last = Some(key);
                canonical(bytes, at);
            }
        }
        6 => canonical(bytes, at),
        _ => {}
    }
}

/// Stands wherever the bytes have an `@`: no error may repeat it, since it may be a secret in the wrong place.
const CANARY: &str = "acme_key_0123456789abcdefghijABCDEFGHIJ123456";

/// Orders and questions: strict is a part of what serde reads, errors repeat no secret, nothing panics.
pub fn check_json(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace('@', CANARY);
    let text = text.as_bytes();
    if strict::from_slice::<CheckView<'_>>(text).is_ok() {
        assert!(serde_json::from_slice::<CheckView<'_>>(text).is_ok());
        let value: Value = serde_json::from_slice(text).expect("it was read");
        assert!(value.is_object());
    }
    if let Ok(batch) = strict::from_slice::<BatchView<'_>>(text) {
        let value: Value = serde_json::from_slice(text).expect("it was read");
        let checks = value["checks"].as_array().expect("a list");
        assert_eq!(checks.len(), batch.checks.len());
        assert!(checks.iter().all(Value::is_object));
    }
    let told = |blame: Option<jeton_core::refusal::Blame>| {
        if let Some(blame) = blame {
            let told = format!("{blame:?}");
            assert!(!told.contains("012345"), "{told}");
            assert!(matches!(
                blame.refusal,
                Refusal::BodyInvalid | Refusal::FieldInvalid
            ));
        }
    };
    told(read_json::<IssueView>(text).err());
    told(read_json::<RotateView>(text).err());
    told(read_json::<CutOffView>(text).err());
    told(read_json::<AppOrder>(text).err());
    told(read_json::<ApiOrder>(text).err());
    told(read_json::<RoutesOrder>(text).err());
    told(read_json::<ImportOrder>(text).err());
}

/// A text over few letters, so that patterns and names meet.
fn segments(draw: &mut Draw<'_>) -> String {
    const PARTS: [&str; 12] = [
        "a", "b", "*", "**", ".", "..", "", "ab", "a*", "%2f", "é", "A",
    ];
    let mut out = String::new();
    if draw.byte().is_multiple_of(4) {
        out.push('/');
    }
    for at in 0..draw.below(6) {
        if at > 0 {
            out.push('/');
        }
        // Mostly the letters that mean something.
        let most = if draw.byte() < 200 { 4 } else { PARTS.len() };
        out.push_str(PARTS[draw.below(most)]);
    }
    out
}

/// Patterns: parse(print), the laws of `covers` and `matches`, and names that no pattern reaches.
pub fn resource_pattern(bytes: &[u8]) {
    if let Ok(text) = core::str::from_utf8(bytes)
        && let Some(pattern) = Pattern::parse(text)
    {
        assert_eq!(Pattern::parse(pattern.as_str()).as_ref(), Some(&pattern));
        assert!(pattern.as_str().len() <= RESOURCE_BYTES_MAX);
        assert!(!pattern.as_str().starts_with('/'));
        // A pattern without a star is the name that it reaches.
        let literal = !pattern.as_str().contains('*');
        assert!(!literal || pattern.matches(text));
    }
    let mut draw = Draw(bytes);
    let texts: [String; 3] = core::array::from_fn(|_| segments(&mut draw));
    let name = segments(&mut draw);
    let patterns = texts.each_ref().map(|t| Pattern::parse(t));
    let bare = name.strip_prefix('/').unwrap_or(&name);
    let clean = bare.split('/').all(|s| !matches!(s, "" | "." | ".."));
    for pattern in patterns.iter().flatten() {
        assert!(pattern.covers(pattern));
        assert!(Pattern::everything().covers(pattern));
        assert_eq!(
            pattern.is_everything(),
            pattern.covers(&Pattern::everything())
        );
        assert!(clean || !pattern.matches(&name), "{pattern:?} {name}");
        assert_eq!(pattern.matches(&name), pattern.matches(&format!("/{bare}")));
        assert!(all_covered(
            core::slice::from_ref(pattern),
            core::slice::from_ref(pattern)
        ));
    }
    let [Some(a), Some(b), Some(c)] = &patterns else {
        return;
    };
    if a.covers(b) {
        assert!(!b.matches(&name) || a.matches(&name), "{a:?} {b:?} {name}");
        assert!(!b.covers(c) || a.covers(c), "{a:?} {b:?} {c:?}");
        assert!(!b.covers(a) || a == b, "{a:?} {b:?}");
    }
}

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// What is imported says what the description says: a route for each operation, with all its scopes; or it is refused.
pub fn openapi_import(bytes: &[u8]) {
    let Ok(Value::Object(description)) = serde_json::from_slice(bytes) else {
        return;
    };
    let Ok(read) = openapi_import::read(&description, &[]) else {
        return;
    };
    let none = Map::new();
    let paths = description
        .get("paths")
        .and_then(Value::as_object)
        .unwrap_or(&none);
    let mut due = 0;
    for item in paths.values().filter_map(Value::as_object) {
        for (_, operation) in item.iter().filter(|(m, _)| METHODS.contains(&m.as_str())) {
            due += 1;
            let security = operation.get("security").or(description.get("security"));
            let alternatives = security.map(|s| s.as_array().expect("a list, or it is refused"));
            for alternative in alternatives.into_iter().flatten() {
                let schemes = alternative
                    .as_object()
                    .expect("an object, or it is refused");
                let names = schemes
                    .values()
                    .map(|l| l.as_array().expect("a list, or refused"));
                let names: Vec<&str> = names
                    .flatten()
                    .map(|n| n.as_str().expect("a text"))
                    .collect();
                let kept = |route: &jeton::http::apis::RouteView| {
                    names.iter().all(|n| route.scopes.iter().any(|s| s == n))
                };
                assert!(read.routes.iter().any(kept), "no route needs {names:?}");
            }
        }
    }
    assert_eq!(read.routes.len(), due);
    for (at, scope) in read.scopes.iter().enumerate() {
        assert!(
            read.scopes[..at].iter().all(|s| s.name != scope.name),
            "{} twice",
            scope.name
        );
        assert!(!scope.default && !scope.retired);
    }
    for route in &read.routes {
        assert!(
            route
                .method
                .as_deref()
                .is_some_and(|m| METHODS.contains(&m.to_lowercase().as_str()))
        );
        assert!(!route.path.contains('{'), "{}", route.path);
        for name in &route.scopes {
            assert!(
                read.scopes.iter().any(|s| s.name == *name),
                "{name} is not in the catalogue"
            );
        }
    }
    // A pattern with fewer stars comes first, so that no literal path hides behind a parameter.
    let stars: Vec<usize> = read
        .routes
        .iter()
        .map(|r| r.path.matches('*').count())
        .collect();
    assert!(stars.is_sorted());
}

/// Proofs of OpenTimestamps: parse(print) is the same, all is within its bounds, and no header proves what it does not hold.
///
/// The bytes are a file, and they are what a calendar answers: so a fuzzer need not find the magic first.
pub fn ots(bytes: &[u8]) {
    let (digest, nonce) = ([7; 32], [9; 16]);
    let answered = Stamp::parse(bytes, &commitment(&digest, &nonce)).ok();
    let begun = answered.map(|stamp| Proof::begun(digest, &nonce, stamp));
    // Two edges more than was read may be two too many.
    let begun = begun.filter(|proof| proof.to_bytes().is_ok());
    for proof in [Proof::parse(bytes).ok(), begun].into_iter().flatten() {
        let written = proof.to_bytes().expect("what was read can be written");
        let again = Proof::parse(&written).expect("what was written can be read");
        assert_eq!(again, proof);
        assert_eq!(again.to_bytes().expect("twice"), written);
        let claims = proof.claims();
        assert!(!claims.is_empty() && claims.len() <= STEPS_MAX);
        let mut grown = proof.clone();
        for claim in claims.into_iter().take(64) {
            let Some(message) = claim.message else {
                continue;
            };
            assert!((1..=MESSAGE_BYTES_MAX).contains(&message.len()));
            if let Attestation::Bitcoin { height } = claim.attestation {
                let mut header = [0; 80];
                let root = header[36..68].iter_mut().zip(&message);
                root.for_each(|(to, from)| *to = *from);
                let header = Header::from_bytes(&header);
                // Its target is zero: nobody has worked for it.
                assert!(header.check(&message, height, 0).is_err());
            }
            if let Ok(more) = Stamp::parse(bytes, &message) {
                assert!(grown.merge_at(&message, &more));
            }
        }
    }
    if let Ok(header) = <&[u8; 80]>::try_from(bytes) {
        let header = Header::from_bytes(header);
        let root = &bytes[36..68];
        let believed = header.check(root, 0, 1_000_000).is_ok();
        assert!(!believed || header.difficulty() >= 1_000_000);
        assert!(header.check(&bytes[35..67], 0, 0).is_err() || bytes[35..67] == *root);
    }
}
