//! Promise 4: no token can create authority that it does not hold. Random tenants, random callers, every order that makes
//! or changes authority, decided by the real rules and judged by an oracle that shares no code with them.
//!
//! `cargo xtask gate attenuate` runs it with a million orders. `JETON_CONTROL=1` takes `attenuate` out of the way: then it
//! must fail, and one test here sees to it that it would.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "helpers of a test; a world that breaks ends it"
)]

#[path = "attenuate/oracle.rs"]
mod oracle;
mod world;

use std::collections::BTreeMap;

use oracle::Oracle;
use world::{Protection, World, draw::Rng};

/// Orders in one world.
const STEPS: u64 = 60;

#[derive(Default)]
struct Found {
    cases: u64,
    accepted: u64,
    refused_authority: u64,
    minted: u64,
    allowed: u64,
    escalations: u64,
    /// Of each kind, the first story and how many there were.
    stories: BTreeMap<String, (String, u64)>,
}

impl Found {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.accepted += other.accepted;
        self.refused_authority += other.refused_authority;
        self.minted += other.minted;
        self.allowed += other.allowed;
        self.escalations += other.escalations;
        for (kind, (story, count)) in other.stories {
            self.stories.entry(kind).or_insert((story, 0)).1 += count;
        }
    }
}

fn one_world(seed: u64, protection: Protection) -> Found {
    use jeton_core::refusal::Refusal as R;
    let mut world = World::new(seed, protection);
    let mut oracle = Oracle::new(&world);
    let mut rng = Rng::new(!seed);
    let mut found = Found::default();
    for number in 0..STEPS {
        let step = world.step();
        found.cases += 1;
        found.accepted += u64::from(!step.events.is_empty());
        let for_authority = matches!(
            step.refused,
            Some(R::Widening | R::GiveMissing | R::OwnerLacksRight)
        );
        found.refused_authority += u64::from(for_authority);
        let mut wrong = oracle.step(&world, &step).err();
        let mut asked = Oracle::concerned(&step);
        asked.push(world.some_token());
        for token in asked {
            if wrong.is_none() && world.tokens.contains_key(&token) {
                wrong = oracle.ask(&world, token, &mut rng).err();
            }
        }
        if let Some(wrong) = wrong {
            found.escalations += 1;
            let story = format!("seed {seed}, step {number}: {step:?}");
            found.stories.insert(wrong, (story, 1));
            break;
        }
    }
    for token in world.tokens.keys().copied().collect::<Vec<_>>() {
        if found.escalations > 0 {
            break;
        }
        if let Err(wrong) = oracle.ask(&world, token, &mut rng) {
            found.escalations += 1;
            let story = format!("seed {seed}, at the end");
            found.stories.insert(wrong, (story, 1));
        }
    }
    found.minted = oracle.minted;
    found.allowed = oracle.allowed;
    found
}

fn worlds(cases: u64, protection: Protection) -> Found {
    let worlds = cases.div_ceil(STEPS);
    let some = |from: u64| {
        let mut found = Found::default();
        for seed in (from..worlds).step_by(2) {
            found.add(one_world(seed, protection));
        }
        found
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| some(1));
        let mut found = some(0);
        found.add(other.join().unwrap());
        found
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "the gate tells the test how much to do"
)]
fn told(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[test]
fn no_order_makes_more_than_its_caller_could_give() {
    let cases = told("JETON_CASES")
        .and_then(|n| n.parse().ok())
        .unwrap_or(6_000);
    let protection = match told("JETON_CONTROL").as_deref() {
        Some("1") => Protection::Off,
        _ => Protection::On,
    };
    let found = worlds(cases, protection);
    println!(
        "attenuate: {{\"cases\":{},\"accepted\":{},\"refused_for_authority\":{},\"minted\":{},\"allowed\":{},\"escalations\":{}}}",
        found.cases,
        found.accepted,
        found.refused_authority,
        found.minted,
        found.allowed,
        found.escalations
    );
    for (kind, (story, count)) in &found.stories {
        println!("{count} x {kind}; the first: {story}");
    }
    assert_eq!(found.escalations, 0, "authority came out of nothing");
    // A world in which nothing happens proves nothing.
    assert!(
        found.minted * 8 > found.cases,
        "too few orders were accepted"
    );
    assert!(
        found.refused_authority * 20 > found.cases,
        "too few orders asked for too much"
    );
    assert!(found.allowed > found.cases, "too few requests were allowed");
}

#[test]
fn without_attenuate_the_oracle_finds_escalation() {
    let found = worlds(1_200, Protection::Off);
    assert!(
        found.escalations > 10,
        "{} worlds escalated",
        found.escalations
    );
}
