//! Requests to witnesses: the specification's example byte for byte, and nothing around it.

use proptest::prelude::*;

use super::*;

/// The example of c2sp.org/tlog-witness.
const EXAMPLE: &str = "old 20852014\n\
    PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\
    jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n\
    5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n\
    /6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\
    \n\
    example.com/behind-the-sofa\n\
    20852163\n\
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\
    \n\
    — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
    — example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=\n";

#[test]
fn the_example_of_the_specification_is_read_and_printed() {
    let request = AddCheckpoint::parse(EXAMPLE.as_bytes()).unwrap();
    assert_eq!(request.old(), 20_852_014);
    assert_eq!(request.proof().len(), 4);
    assert!(
        request
            .note()
            .starts_with("example.com/behind-the-sofa\n20852163\n")
    );
    let note = crate::note::Note::parse(request.note().as_bytes()).unwrap();
    assert_eq!(note.signatures().len(), 2);
    assert_eq!(note.to_string(), request.note());
    assert_eq!(request.to_string(), EXAMPLE);
}

#[test]
fn what_is_not_a_request_is_refused() {
    use AddCheckpointError::*;
    let hash = format!("{}\n", Hash::EMPTY);
    let table = [
        (String::new(), NoCheckpoint),
        (EXAMPLE.replace("\n\n", "\n"), NoCheckpoint),
        (format!("\n{EXAMPLE}"), Old),
        (EXAMPLE.replace("old ", "old  "), Old),
        (EXAMPLE.replace("old ", "Old "), Old),
        (EXAMPLE.replace("old ", "old 0"), Old),
        (EXAMPLE.replace("old 20852014", "old"), Old),
        (EXAMPLE.replace("old 20852014", "old -1"), Old),
        (
            EXAMPLE.replace("old 20852014", "old 9223372036854775809"),
            Old,
        ),
        (EXAMPLE.replace("kaw=", "kax="), Proof { line: 1 }),
        (EXAMPLE.replace("wk=\n", "wk= \n"), Proof { line: 2 }),
        (
            EXAMPLE.replace("jrJZ", &format!("{}jrJZ", hash.repeat(60))),
            Proof { line: 64 },
        ),
    ];
    for (text, error) in table {
        assert_eq!(AddCheckpoint::parse(text.as_bytes()), Err(error), "{text}");
    }
    assert_eq!(AddCheckpoint::parse(b"\xff"), Err(NotPlainText));
}

#[test]
fn both_sides_of_each_bound() {
    let make = |old: u64, hashes: usize, note: usize| {
        let made = AddCheckpoint::new(old, vec![Hash::EMPTY; hashes], "n".repeat(note))?;
        assert_eq!(AddCheckpoint::parse(made.to_string().as_bytes())?, made);
        Ok(())
    };
    assert_eq!(make(TREE_SIZE_MAX, 63, 100), Ok(()));
    assert_eq!(
        make(TREE_SIZE_MAX + 1, 0, 100),
        Err(AddCheckpointError::Old)
    );
    let line = 64;
    assert_eq!(make(0, 64, 100), Err(AddCheckpointError::Proof { line }));
    let room = ADD_CHECKPOINT_BYTES_MAX - "old 0\n\n".len();
    assert_eq!(make(0, 0, room), Ok(()));
    let actual = ADD_CHECKPOINT_BYTES_MAX + 1;
    let too_long = AddCheckpointError::TooLong { actual };
    assert_eq!(make(0, 0, room + 1), Err(too_long));
    assert_eq!(AddCheckpoint::parse(&vec![b'x'; actual]), Err(too_long));
}

proptest! {
    #[test]
    fn what_parses_prints_the_same(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..4, "[\\n a=0]{0,3}"), 0..3),
    ) {
        let mut text: Vec<char> = EXAMPLE.chars().collect();
        for (at, length, with) in cuts {
            let at = at.index(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, with.chars());
        }
        let text: String = text.into_iter().collect();
        if let Ok(read) = AddCheckpoint::parse(text.as_bytes()) {
            prop_assert_eq!(read.to_string(), text);
        }
    }
}
