//! Both sides of each boundary of erasing.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::{
    event::{Actor, RECORD_VERSION, Record},
    founding,
    id::AppId,
    policy::Inclusion,
    token::{
        digest::Digest,
        record::{Reason, Terms},
        text::{Class, Prefix},
    },
};

const BORN: Time = Time::from_seconds(1_800_000_000);
const SYSTEM: TenantId = TenantId::from_bytes([1; 16]);
const TENANT: TenantId = TenantId::from_bytes([2; 16]);

fn subject(n: u8) -> SubjectId {
    SubjectId::App(AppId::from_bytes([n; 16]))
}

/// A system tenant and another, each with an application of its number.
fn directory() -> Directory {
    let mut directory = Directory::new();
    let genesis = founding::genesis(SYSTEM, "erase.test/log", [7; 32], BORN).unwrap();
    founding::apply_all(&mut directory, &genesis).unwrap();
    let app = |n| Event::AppCreated {
        app: AppId::from_bytes([n; 16]),
        sponsor: None,
        permit: founding::admin_permit(n == 1),
    };
    let prefix = Prefix::parse(b"acme").unwrap();
    append(&mut directory, SYSTEM, app(1));
    append(&mut directory, TENANT, Event::TenantCreated { prefix });
    append(&mut directory, TENANT, app(2));
    directory
}

fn append(directory: &mut Directory, tenant: TenantId, event: Event) {
    let record = Record {
        version: RECORD_VERSION,
        tenant,
        at: BORN,
        actor: Actor::Authority,
        request: None,
        aside: None,
        event,
    };
    directory.apply(directory.size(), &record).unwrap();
}

fn delete(directory: &mut Directory, tenant: TenantId, n: u8) {
    let event = Event::SubjectStanding {
        subject: subject(n),
        before: Standing::Active,
        after: Standing::Deleted,
    };
    append(directory, tenant, event);
}

fn admin(tenant: TenantId) -> Authority {
    Authority::danger_founder(tenant, Actor::Setup)
}

/// The authority of an admin's token that may use these scopes of jeton's own API.
fn holding(scopes: &[u8], directory: &Directory) -> Authority {
    let mut permit = founding::admin_permit(false);
    if let crate::permit::Rights::Listed(grants) = &mut permit.use_ {
        grants[0].scopes = scopes.iter().copied().collect();
    }
    let mut token = token(9, None);
    token.terms = Terms {
        permit,
        ..Terms::clone(&token.terms)
    }
    .into();
    Authority::of_token(directory, &token, crate::scope::ScopeSet::EMPTY, BORN).unwrap()
}

fn token(n: u8, expires: Option<Time>) -> TokenRecord {
    let event = Event::TokenIssued {
        token: TokenId::from_draw(BORN, [n; 10]),
        class: Class::Key,
        subject: subject(2),
        digest: Digest::from_bytes([8; 32]),
        pepper: 0,
        terms: Terms {
            permit: founding::admin_permit(false),
            limit: None,
            idle: None,
            lifetime_max: None,
            inclusion: Inclusion::Logged,
        },
        expires,
    };
    TokenRecord::issued(100, TENANT, &event).unwrap()
}

fn revoked(n: u8, at: Time) -> TokenRecord {
    let mut token = token(n, None);
    let event = Event::TokenRevoked {
        token: token.id,
        reason: Reason::Leaked,
    };
    token.apply(at, &event).unwrap();
    token
}

fn traced(token: TokenRecord, indexes: Vec<u64>, last: Time) -> Traced {
    Traced {
        token,
        events: u64::try_from(indexes.len()).unwrap(),
        trace: Trace { indexes, last },
    }
}

fn found(place: TenantId, indexes: &[u64]) -> Found {
    Found {
        place,
        indexes: indexes.to_vec(),
        did: None,
    }
}

fn code(decision: &Decision<()>) -> (Option<Refusal>, usize) {
    let refusal = decision.outcome.as_ref().err().map(|b| b.refusal);
    (refusal, decision.events.len())
}

fn before(at: Time) -> Time {
    Time::from_millis(at.millis() - 1)
}

#[test]
fn words_go_once_their_subject_is_deleted() {
    let mut directory = directory();
    let ask = |directory: &Directory, who| {
        words(
            &admin(TENANT),
            who,
            &found(TENANT, &[3, 4]),
            directory,
            BORN,
        )
    };
    let refused = ask(&directory, subject(2));
    assert_eq!(code(&refused), (Some(Refusal::StateConflict), 0));
    delete(&mut directory, TENANT, 2);
    let indexes = vec![3, 4];
    let event = Event::Erased(Erasure::Words {
        subject: subject(2),
        indexes,
    });
    assert_eq!(ask(&directory, subject(2)).events, [event]);
    for foreign in [subject(1), subject(3)] {
        let refused = ask(&directory, foreign);
        assert_eq!(code(&refused), (Some(Refusal::NotFound), 0));
    }
    let nothing = words(
        &admin(TENANT),
        subject(2),
        &found(TENANT, &[]),
        &directory,
        BORN,
    );
    assert_eq!(code(&nothing), (None, 0));
}

#[test]
fn what_a_subject_did_stays_for_a_day_after_it_was_deleted() {
    let mut directory = directory();
    delete(&mut directory, TENANT, 2);
    let due = BORN.after(DEAD_FOR);
    let ask = |did, now| {
        let found = Found {
            did,
            ..found(TENANT, &[3])
        };
        code(&words(&admin(TENANT), subject(2), &found, &directory, now))
    };
    assert_eq!(
        ask(Some(BORN), before(due)),
        (Some(Refusal::StateConflict), 0)
    );
    assert_eq!(ask(Some(BORN), due), (None, 1));
    assert_eq!(ask(None, BORN), (None, 1));
    assert!(may_go(Concern::About, None, BORN));
    assert!(!may_go(Concern::Did, None, Time::MAX), "nobody knows when");
    assert!(!may_go(Concern::Did, Some(BORN), before(due)));
    assert!(may_go(Concern::Did, Some(BORN), due));
}

#[test]
fn only_the_operator_has_words_in_other_tenants() {
    let mut directory = directory();
    delete(&mut directory, TENANT, 2);
    delete(&mut directory, SYSTEM, 1);
    let abroad = words(
        &admin(TENANT),
        subject(2),
        &found(SYSTEM, &[3]),
        &directory,
        BORN,
    );
    assert_eq!(code(&abroad), (Some(Refusal::NotFound), 0));
    let operators = words(
        &admin(SYSTEM),
        subject(1),
        &found(TENANT, &[3]),
        &directory,
        BORN,
    );
    assert_eq!(code(&operators), (None, 1));
    append(&mut directory, TENANT, operators.events[0].clone());
    // It is an event of that tenant, and changes no row of it.
    assert_eq!(directory.entity(TENANT, &operators.events[0]), None);
    assert!(directory.entity(SYSTEM, &operators.events[0]).is_some());
}

#[test]
fn words_are_about_whom_they_concern() {
    use Concern::{About, Did};
    let (own, foreign) = (token(1, None).id, token(2, None).id);
    let by = |n| Actor::Token {
        token: foreign,
        subject: subject(n),
        issued: 7,
    };
    let standing = |n| Event::SubjectStanding {
        subject: subject(n),
        before: Standing::Active,
        after: Standing::Deleted,
    };
    let erased = Event::Erased(Erasure::Words {
        subject: subject(2),
        indexes: vec![1],
    });
    let possession = Actor::Possession { token: own };
    let (reason, resumed) = (Reason::Holder, |token| Event::TokenResumed { token });
    let ended = Event::TokenRevoked { token: own, reason };
    let cases = [
        (Actor::Authority, standing(2), Some(About)),
        (Actor::Authority, standing(3), None),
        (by(2), standing(3), Some(Did)),
        (by(2), standing(2), Some(Did)),
        (by(3), standing(3), None),
        (by(3), resumed(own), Some(About)),
        (by(3), resumed(foreign), None),
        (by(2), resumed(foreign), Some(Did)),
        (possession, ended, Some(About)),
        // The words of whoever ordered an erasure are its own.
        (by(3), erased.clone(), None),
        (by(2), erased, Some(Did)),
    ];
    for (actor, event, due) in cases {
        let record = Record {
            version: RECORD_VERSION,
            tenant: TENANT,
            at: BORN,
            actor,
            request: None,
            aside: None,
            event,
        };
        let told = concerns(&record, subject(2), |id| id == own);
        assert_eq!(told, due, "{record:?}");
    }
}

#[test]
fn erasing_is_for_whoever_manages_all_of_the_kind() {
    let directory = directory();
    let later = BORN.after(Span::days(3));
    let dead = [traced(revoked(1, BORN), vec![100, 101], BORN)];
    for n in 0..own::TENANTS_READ {
        let authority = holding(&[n], &directory);
        let (refused, _) = code(&openings(&authority, &dead, later));
        let due = (n != own::TOKENS_WRITE).then_some(Refusal::ScopeMissing);
        assert_eq!(refused, due, "scope {n}");
        let (refused, _) = code(&words(
            &authority,
            subject(2),
            &found(TENANT, &[]),
            &directory,
            later,
        ));
        let due = if n == own::SUBJECTS_WRITE {
            Refusal::StateConflict
        } else {
            Refusal::ScopeMissing
        };
        assert_eq!(refused, Some(due), "scope {n}");
    }
}

#[test]
fn a_token_goes_when_it_has_been_dead_and_at_rest_for_a_day() {
    let end = BORN.after(Span::HOUR);
    let later = end.after(Span::HOUR);
    let cases = [
        (revoked(1, end), end, Some(end.after(DEAD_FOR))),
        (token(1, Some(end)), BORN, Some(end.after(DEAD_FOR))),
        // Something was done to it after it had expired.
        (token(1, Some(end)), later, Some(later.after(DEAD_FOR))),
        (token(1, None), BORN, None),
        (token(1, Some(Time::MAX)), BORN, None),
    ];
    for (token, last, from) in cases {
        let dead = [traced(token, vec![100, 102], last)];
        let ask = |now| code(&openings(&admin(TENANT), &dead, now));
        let refused = (Some(Refusal::StateConflict), 0);
        match from {
            Some(from) => {
                assert_eq!(ask(before(from)), refused);
                assert_eq!(ask(from), (None, 1));
            }
            None => assert_eq!(ask(end.after(Span::days(4000))), refused),
        }
    }
}

#[test]
fn a_token_goes_whole_and_with_all_others_or_none_goes() {
    let now = BORN.after(Span::days(3));
    let good = || traced(revoked(1, BORN), vec![100, 101], BORN);
    let mut other = traced(revoked(2, BORN), vec![200, 201], BORN);
    let ask = |dead: &[Traced]| openings(&admin(TENANT), dead, now);
    let tokens = vec![good().token.id, other.token.id];
    let event = Event::Erased(Erasure::Openings {
        tokens,
        indexes: vec![100, 101, 200, 201],
    });
    let dead = [good(), other];
    assert_eq!(ask(&dead).events, [event]);
    [_, other] = dead;
    // One more event than was traced: perhaps its revocation would be left behind.
    other.events += 1;
    let decision = ask(&[good(), other]);
    assert_eq!(code(&decision), (Some(Refusal::StateConflict), 0));
    let field = decision.outcome.unwrap_err().field;
    assert_eq!(field.as_deref(), Some("tokens[1]"));
    let mut foreign = good();
    foreign.token.tenant = SYSTEM;
    assert_eq!(code(&ask(&[foreign])), (Some(Refusal::NotFound), 0));
}

#[test]
fn no_more_goes_at_once_than_the_writer_can_bear() {
    let now = BORN.after(Span::days(3));
    let most = u64::try_from(AT_ONCE_MAX).unwrap();
    for (events, due) in [(most, (None, 16)), (most + 1, (Some(Refusal::TooMany), 0))] {
        let dead = [traced(
            revoked(1, BORN),
            (100..100 + events).collect(),
            BORN,
        )];
        assert_eq!(code(&openings(&admin(TENANT), &dead, now)), due);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever the lengths of the histories: each index stands in one event, with the token whose it is and no other; and each
    /// token in one event, unless it has more events than one can name.
    #[test]
    fn each_event_names_whole_tokens(lengths in prop::collection::vec(1..6000u64, 1..8)) {
        let mut next = 0;
        let mut dead = Vec::new();
        for (n, length) in (0u8..).zip(&lengths) {
            // Histories lie in each other: a stride keeps them apart.
            let indexes: Vec<u64> = (0..*length).map(|at| at * 8 + u64::from(n)).collect();
            next = next.max(length * 8);
            dead.push(traced(revoked(n, BORN), indexes, BORN));
        }
        let mut whose = BTreeMap::new();
        for traced in &dead {
            whose.extend(traced.trace.indexes.iter().map(|i| (*i, traced.token.id)));
        }
        let mut seen = Vec::new();
        for event in packed(&dead) {
            let Event::Erased(erasure) = event else { panic!("{event:?}") };
            prop_assert!(erasure.is_sound(next));
            let Erasure::Openings { tokens, indexes } = &erasure else { panic!("{erasure:?}") };
            let named: BTreeSet<_> = indexes.iter().map(|i| whose.remove(i).unwrap()).collect();
            prop_assert_eq!(&named, &tokens.iter().copied().collect());
            prop_assert_eq!(named.len(), tokens.len());
            seen.extend(tokens.clone());
        }
        prop_assert!(whose.is_empty());
        for Traced { token, trace, .. } in &dead {
            let events = seen.iter().filter(|id| **id == token.id).count();
            prop_assert_eq!(events, trace.indexes.len().div_ceil(ERASED_MAX));
        }
    }
}
