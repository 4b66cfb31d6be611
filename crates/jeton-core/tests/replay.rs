//! State is what replaying the events gives: from their bytes, in one go or after a snapshot, always the same.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

mod world;

use std::collections::BTreeMap;

use jeton_core::{
    directory::{Directory, image::Image},
    event::Record,
    id::TokenId,
    token::record::TokenRecord,
};
use proptest::prelude::*;
use world::{Protection, World, apply_to_tokens};

/// A directory and the tokens, built from stored bytes alone.
struct Replayed {
    directory: Directory,
    tokens: BTreeMap<TokenId, TokenRecord>,
}

impl Replayed {
    fn of(
        directory: Directory,
        tokens: BTreeMap<TokenId, TokenRecord>,
        stored: &[Vec<u8>],
    ) -> Self {
        let mut state = Self { directory, tokens };
        for bytes in stored {
            let record: Record = minicbor::decode(bytes).unwrap();
            let index = state.directory.size();
            state.directory.apply(index, &record).unwrap();
            apply_to_tokens(&mut state.tokens, index, &record);
        }
        state
    }
}

fn image(directory: &Directory) -> Vec<u8> {
    minicbor::to_vec(directory.image()).unwrap()
}

fn words(tokens: &BTreeMap<TokenId, TokenRecord>) -> String {
    format!("{tokens:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn replay_gives_the_state(seed in any::<u64>(), steps in 1..120usize, cut in 0.0..1.0f64) {
        let mut world = World::new(seed, Protection::On);
        for _ in 0..steps {
            world.step();
        }
        let stored: Vec<Vec<u8>> = world.records.iter().map(|r| minicbor::to_vec(r).unwrap()).collect();

        let replayed = Replayed::of(Directory::new(), BTreeMap::new(), &stored);
        prop_assert_eq!(image(&replayed.directory), image(&world.directory));
        prop_assert_eq!(words(&replayed.tokens), words(&world.tokens));

        // The same from any snapshot on: what a directory at rest forgets must not matter.
        let share = cut * f64::from(u32::try_from(stored.len()).unwrap());
        let at = stored.len().min(format!("{share:.0}").parse().unwrap());
        let before = Replayed::of(Directory::new(), BTreeMap::new(), &stored[..at]);
        let at_rest: Image = minicbor::decode(&image(&before.directory)).unwrap();
        let resumed = Directory::from_image(at_rest).unwrap();
        prop_assert_eq!(image(&resumed), image(&before.directory));
        let after = Replayed::of(resumed, before.tokens, &stored[at..]);
        prop_assert_eq!(image(&after.directory), image(&world.directory));
        prop_assert_eq!(words(&after.tokens), words(&world.tokens));
        for id in &world.users {
            let who = jeton_core::subject::SubjectId::User(*id);
            prop_assert_eq!(
                after.directory.subject(world.tenant, who).map(|s| s.roles.clone()),
                world.directory.subject(world.tenant, who).map(|s| s.roles.clone())
            );
        }
    }

    /// A replay that never sees the openings of dead tokens comes to where they were erased: forgotten is as if it had never been.
    #[test]
    fn erased_openings_are_as_if_they_had_never_been(seed in any::<u64>(), steps in 20..160usize) {
        let mut world = World::new(seed, Protection::On);
        for _ in 0..steps {
            world.step();
        }
        let erased = world.erase_dead();
        prop_assume!(!erased.is_empty());
        for _ in 0..20 {
            world.step();
        }
        let mut directory = Directory::new();
        let mut tokens = BTreeMap::new();
        for (index, record) in (0u64..).zip(&world.records) {
            if erased.contains(&index) {
                directory.skip(index, record.tenant).unwrap();
            } else {
                directory.apply(index, record).unwrap();
                apply_to_tokens(&mut tokens, index, record);
            }
        }
        prop_assert_eq!(image(&directory), image(&world.directory));
        prop_assert_eq!(words(&tokens), words(&world.tokens));
    }

    #[test]
    fn bytes_of_records_have_one_form(seed in any::<u64>()) {
        let mut world = World::new(seed, Protection::On);
        for _ in 0..60 {
            world.step();
        }
        for record in &world.records {
            let bytes = minicbor::to_vec(record).unwrap();
            let read: Record = minicbor::decode(&bytes).unwrap();
            prop_assert_eq!(&read, record);
            prop_assert_eq!(minicbor::to_vec(&read).unwrap(), bytes);
        }
    }

    #[test]
    fn a_record_out_of_its_place_is_found(seed in any::<u64>(), at in any::<prop::sample::Index>()) {
        let mut world = World::new(seed, Protection::On);
        for _ in 0..40 {
            world.step();
        }
        let at = at.index(world.len());
        let mut directory = Directory::new();
        for (index, record) in (0u64..).zip(&world.records[..at]) {
            directory.apply(index, record).unwrap();
        }
        // Its index says so, whatever it is: a record left out, or one that comes twice.
        prop_assert!(directory.apply(directory.size() + 1, &world.records[at]).is_err());
        if at > 0 {
            prop_assert!(directory.apply(directory.size() - 1, &world.records[at - 1]).is_err());
        }
    }
}

#[test]
fn nothing_follows_a_revocation() {
    let mut revoked = 0;
    for seed in 0..200 {
        let mut world = World::new(seed, Protection::On);
        for _ in 0..80 {
            world.step();
        }
        let mut ended = std::collections::BTreeSet::new();
        for record in &world.records {
            let Some(token) = record.event.token() else {
                continue;
            };
            assert!(!ended.contains(&token), "{record:?}");
            if matches!(record.event, jeton_core::event::Event::TokenRevoked { .. }) {
                ended.insert(token);
            }
        }
        revoked += ended.len();
    }
    assert!(revoked > 20, "{revoked}");
}
