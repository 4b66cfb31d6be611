//! A batch says what its questions say one by one, whatever stands beside what.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a test stops at the first surprise"
)]

#[path = "../examples/world/mod.rs"]
mod world;

use std::collections::HashMap;

use jeton_core::{
    check::question::Question,
    id::Id,
    scope::ScopeSet,
    time::{Span, Time},
    token::{digest::Pepper, text::Prefix},
};
use jeton_verify::check::{Now, Peppers};

#[test]
fn a_batch_says_what_single_checks_say() {
    let born = Time::from_seconds(1_900_000_000);
    let verifier = world::verifier(100, born);
    let ask = |needed: ScopeSet, resource| Question {
        tenant: world::tenant(),
        api: world::api(),
        needed,
        resource,
        address: None,
        method: None,
        path: None,
    };
    let good: Vec<String> = (0..40).map(world::text).collect();
    let unknown: Vec<String> = (1000..1010).map(world::text).collect();
    let typo = format!("{}x", &good[0][..good[0].len() - 1]);
    let foreign = good[0].replace("acme_", "other_");
    let mut asked = Vec::new();
    for (n, text) in good.iter().chain(&unknown).enumerate() {
        let needed = ScopeSet::one(u8::try_from(n % 32).unwrap());
        asked.push((text.as_str(), ask(needed, None)));
        asked.push((text.as_str(), ask(ScopeSet::one(31), Some("projects/7/x"))));
    }
    for odd in ["", "nothing like a token", typo.as_str(), foreign.as_str()] {
        asked.insert(asked.len() / 2, (odd, ask(ScopeSet::EMPTY, None)));
    }
    let elsewhere = Question {
        tenant: Id::from_bytes([9; 16]),
        ..ask(ScopeSet::EMPTY, None)
    };
    asked.push((good[0].as_str(), elsewhere));
    // As they are; while the pepper is rotated, so that all are found under the older one; and when all have ended.
    let prefix = Prefix::parse(b"acme").unwrap().as_u64();
    let rotated = Peppers {
        tenant: world::tenant(),
        current: (1, Pepper::new(&[6; 32])),
        previous: Some((0, Pepper::new(&[5; 32]))),
    };
    for (round, late) in [Span::seconds(0), Span::seconds(1), Span::days(31)]
        .into_iter()
        .enumerate()
    {
        if round == 1 {
            verifier.set_peppers(HashMap::from([(prefix, rotated.clone())]));
        }
        let now = Now {
            time: born.after(late),
            meter_us: 1,
        };
        let shown = |verdict| format!("{verdict:?}");
        let mut batch = vec![None; asked.len()];
        verifier.check_batch(&asked, now, |n, verdict| {
            assert!(batch[n].replace(verdict).is_none(), "{n} is answered once");
        });
        let mut allowed = 0;
        for ((text, question), verdict) in asked.iter().zip(batch) {
            let (mut batch, mut single) = (
                verdict.expect("an answer"),
                verifier.check(text, question, now),
            );
            // What one use after another leaves behind: the meter, and whether it was the first.
            for passed in [&mut batch, &mut single].into_iter().flatten() {
                (passed.limit, passed.observe) = (None, false);
                allowed += 1;
                assert_eq!(passed.rehash.is_some(), round > 0);
                if let Some(seen) = passed.rehash {
                    let record = verifier.record(passed.token).unwrap();
                    let kept = (record.generation, record.pepper);
                    assert_eq!(
                        (seen.generation, seen.from, seen.pepper),
                        (kept.0, kept.1, 1)
                    );
                }
            }
            assert_eq!(shown(batch), shown(single), "{text}");
        }
        assert_eq!(allowed >= 40, round < 2, "{allowed} in round {round}");
    }
}
