//! A recovery that is cut off leaves the store as it was, wherever a gap lies; and what nobody knows stays unknown, however much a
//! mirror brings.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use common::{Authority, config};
use jeton::{
    backup::mark,
    capability::Clock,
    mirror::{Dir, Pull, Source},
    net::{Client, Roots},
    node::{
        epoch,
        high_water::{Later, Mark, Seen},
        recover::{Missing, Order, RecoverError, Recovered, recover},
        start::{Node, Place, start},
        writer::{Purpose, Ruling},
    },
};
use jeton_core::{
    decision::Decision,
    event::{Actor, Event},
    id::TokenId,
    secret::Secret,
    time::Span,
    token::record::Reason,
};
use jeton_tlog::{Hash, Policy};
use serde_json::{Value, json};

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// An authority that has stopped: its data directory as it was earlier, and a mirror of all that it did since.
struct World {
    dir: tempfile::TempDir,
    earlier: PathBuf,
    mirror: PathBuf,
    stored: u64,
    served: u64,
}

impl World {
    /// Lives, is copied, lives on as told, is mirrored, and stops.
    async fn new(live_on: impl AsyncFnOnce(&Authority, &Value)) -> Self {
        let a = Authority::start().await;
        a.api("docs", &["read"]).await;
        let grants = json!([{"api": "docs", "scopes": ["read"]}]);
        let (user, _) = a.user("reader", grants.clone()).await;
        let order = json!({"class": "key", "subject": user, "grants": grants});
        let data = a.dir.path().join("data");
        let (earlier, mirror) = (a.dir.path().join("earlier"), a.dir.path().join("mirror"));
        let stored = a.running.doors.node.verifier.size();
        let as_now = config(a.dir.path());
        let a = a.restart_as(&as_now, || copy(&data, &earlier)).await;
        live_on(&a, &order).await;
        let served = a.running.doors.node.verifier.size();
        mirrored(&a, served, &mirror).await;
        let Authority { dir, running, .. } = a;
        running.stop().await;
        Self {
            dir,
            earlier,
            mirror,
            stored,
            served,
        }
    }

    /// The data directory as it was earlier, with its mark of that time.
    fn put_back(&self, name: &str) -> PathBuf {
        let to = self.dir.path().join(name);
        copy(&self.earlier, &to);
        to
    }

    fn recover(&self, data: &Path, later: Later) -> Result<Recovered, RecoverError> {
        self.recover_telling(data, later, &mut |_| ())
    }

    fn recover_telling(
        &self,
        data: &Path,
        later: Later,
        told: &mut dyn FnMut(u64),
    ) -> Result<Recovered, RecoverError> {
        let order = Order {
            mirror: &self.mirror,
            later,
        };
        recover(&Place::in_dir(data, ""), &order, told)
    }
}

/// Mirrors the log with its openings, as the operator.
async fn mirrored(a: &Authority, size: u64, into: &Path) {
    let node = &a.running.doors.node;
    let mut shown = node.published.subscribe();
    let due = shown.wait_for(|s| s.as_ref().is_some_and(|s| s.size >= size));
    due.await.unwrap();
    let base = format!("https://{}", a.running.address);
    let ca = a.running.ca_pem.clone().unwrap();
    let client = Client::https(&base, Roots::File(&ca)).unwrap();
    let token = Secret::new(a.operator.clone());
    let key = node.log_keys().remove(0);
    let pull = Pull {
        source: &Source::http(client, "/log", Some(token)),
        dir: &Dir::open(into).unwrap(),
        policy: &Policy::parse(&format!("log {key}\nquorum none\n")).unwrap(),
        openings: true,
    };
    assert_eq!(pull.round().await.unwrap().size, size);
}

fn started(data: &Path) -> Node {
    let place = Place {
        ballast_bytes: 0,
        ..Place::in_dir(data, "jeton.local/ledger")
    };
    start(&place, Arc::new(Clock::start())).unwrap()
}

/// Size, and both sizes of a quarantine.
fn starts(data: &Path) -> (u64, Option<(u64, u64)>) {
    let node = started(data);
    node.stop();
    let why = node.gate.why().map(|why| (why.served, why.stored));
    (node.verifier.size(), why)
}

/// Suspends and resumes a token so often.
async fn tossed(node: &Node, token: TokenId, events: u64) {
    let tenant = node.verifier.record(token).unwrap().tenant;
    let reason = Reason::Abuse;
    let events = (0..events).map(|n| match n % 2 {
        0 => Event::TokenSuspended { token, reason },
        _ => Event::TokenResumed { token },
    });
    let decision = Decision::yes((), events.collect());
    let submitted = node.writer.submit(Purpose::Grow, move |_| Ruling {
        tenant,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision,
    });
    submitted.await.unwrap();
}

/// A gap comes at the beginning, and what explains it 9,000 events later: more than two commits of a store that grows.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_that_is_cut_off_at_any_commit_leaves_a_store_that_opens() {
    let world = World::new(async |a, order| {
        let (gone, _) = a.issue(order.clone()).await;
        let (long, _) = a.issue(order.clone()).await;
        let revoke = format!("/v1/tokens/{gone}/revoke");
        a.order("POST", &revoke, json!({})).await.is(200);
        let node = &a.running.doors.node;
        tossed(node, long.parse().unwrap(), 9000).await;
        node.clock.danger_advance(Span::days(2));
        let erase = json!({"tokens": [gone]});
        a.order("POST", "/v1/tokens/erase", erase).await.is(200);
    });
    let world = world.await;
    let data = world.put_back("data-whole");
    // What a machine leaves that dies there: each time the store has come further, and each thousand events between.
    let (mut images, mut seen, mut last) = (Vec::new(), 0u64, None);
    let recovered = world.recover_telling(&data, Later::Unknown, &mut |there| {
        if last.replace(there) != Some(there) || seen % 1000 == 0 {
            let image = world.dir.path().join(format!("image-{seen}"));
            copy(&data, &image);
            images.push(image);
        }
        seen += 1;
    });
    let due = Recovered {
        before: world.stored,
        size: world.served,
        missing: Missing::Nothing,
    };
    assert_eq!(recovered.unwrap(), due);
    assert_eq!(starts(&data), (world.served, None));
    assert!(images.len() >= 10, "{}", images.len());
    for image in &images {
        assert_eq!(starts(image).0, world.stored, "{}", image.display());
        assert_eq!(world.recover(image, Later::Unknown).unwrap(), due);
        assert_eq!(starts(image), (world.served, None));
    }
    // The other way out is open, too.
    let data = world.put_back("data-epoch");
    let order = epoch::Order {
        reason: "the mirror is lost".to_owned(),
        served: Some(world.served),
    };
    let mut image = None;
    let told = &mut |there| {
        if there > world.stored && image.is_none() {
            let cut_off = world.dir.path().join("image-epoch");
            copy(&data, &cut_off);
            image = Some(cut_off);
        }
    };
    world.recover_telling(&data, Later::Unknown, told).unwrap();
    let place = Place::in_dir(&image.unwrap(), "");
    let begun = epoch::begin(&place, &Clock::start(), &order).unwrap();
    assert_eq!((begun.number, begun.from), (2, world.stored));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_does_not_say_what_nobody_knows() {
    let world = World::new(async |a, order| {
        for _ in 0..3 {
            a.issue(order.clone()).await;
        }
    });
    let world = world.await;
    let (stored, served) = (world.stored, world.served);
    // As a restore leaves it on a machine that knows nothing.
    let data = world.put_back("data");
    let unknown = Mark::unknown_after(stored, 1);
    fs::write(data.join("high-water"), "").unwrap();
    mark::raise(&data, unknown).unwrap();
    assert_eq!(starts(&data), (stored, Some((stored + 1, stored))));
    let recovered = world.recover(&data, Later::Unknown).unwrap();
    let due = (stored, served, Missing::Unknown);
    assert_eq!((recovered.before, recovered.size, recovered.missing), due);
    assert_eq!(
        mark::read(&data).unwrap(),
        Some(Mark::unknown_after(served, 1))
    );
    assert_eq!(starts(&data), (served, Some((served + 1, served))));
    // Nor does a store that is larger than the mark says.
    fs::write(data.join("high-water"), "").unwrap();
    mark::raise(&data, unknown).unwrap();
    let node = started(&data);
    node.stop();
    let why = node.gate.why().expect("it is in quarantine").to_string();
    assert!(why.contains("nobody knows"), "{why}");
    let again = world.recover(&data, Later::Unknown).unwrap_err();
    assert!(
        matches!(again, RecoverError::NothingThere { .. }),
        "{again}"
    );
    // Who vouches settles it, in one go or afterwards.
    let recovered = world.recover(&data, Later::Nothing).unwrap();
    assert_eq!(
        (recovered.before, recovered.missing),
        (served, Missing::Nothing)
    );
    assert_eq!(starts(&data), (served, None));
    let data = world.put_back("vouched");
    fs::write(data.join("high-water"), "").unwrap();
    mark::raise(&data, unknown).unwrap();
    let recovered = world.recover(&data, Later::Nothing).unwrap();
    assert_eq!(
        (recovered.size, recovered.missing),
        (served, Missing::Nothing)
    );
    assert_eq!(starts(&data), (served, None));
    // What is known to be missing is missing, whoever vouches.
    let data = world.put_back("known");
    fs::write(data.join("high-water"), "").unwrap();
    mark::raise(&data, Mark::unknown_after(served + 2, 1)).unwrap();
    let recovered = world.recover(&data, Later::Nothing).unwrap();
    assert_eq!(recovered.missing, Missing::Shown(served + 2));
    assert!(starts(&data).1.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mark_of_another_history_is_not_raised_by_a_mirror() {
    let world = World::new(async |a, order| drop(a.issue(order.clone()).await));
    let world = world.await;
    let data = world.put_back("data");
    let other = Mark {
        size: world.served - 1,
        seen: Seen::Root(Hash::from_bytes([7; 32])),
        epoch: 1,
    };
    fs::write(data.join("high-water"), "").unwrap();
    mark::raise(&data, other).unwrap();
    let refused = world.recover(&data, Later::Nothing).unwrap_err();
    assert!(
        matches!(refused, RecoverError::OtherShown { .. }),
        "{refused}"
    );
    assert_eq!(mark::read(&data).unwrap(), Some(other));
    assert_eq!(starts(&data).0, world.stored);
}
