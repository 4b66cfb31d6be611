//! Idle expiry as a fact: a token that nobody used for as long as its terms allow is suspended, by an event that says so.
//!
//! The judge refuses such a token from the first second on, event or not. The event makes it visible in lists and trail, and
//! gives whoever manages the token something to resume.

use crate::{
    check::judge::{self, Facts},
    decision::Decision,
    directory::Directory,
    event::Event,
    id::TenantId,
    refusal::Refusal,
    time::Time,
    token::record::{Reason, State, TokenRecord},
};

/// Suspends those of a tenant's tokens that are idle now, and says how many. Whoever found them looked at an earlier moment:
/// what was used, resumed or ended since is left alone.
pub fn suspend<'a>(
    tenant: TenantId,
    tokens: impl IntoIterator<Item = &'a TokenRecord>,
    directory: &Directory,
    now: Time,
) -> Decision<usize> {
    let idle = tokens
        .into_iter()
        .filter(|token| token.tenant == tenant && is_idle(token, directory, now));
    let suspended = idle.map(|token| Event::TokenSuspended {
        token: token.id,
        reason: Reason::Idle,
    });
    let events: Vec<Event> = suspended.collect();
    Decision::yes(events.len(), events)
}

/// Whether a token that is active is refused for its idleness and for nothing else: of one that is dead anyway, or whose
/// owner is, there is nothing to say.
#[must_use]
pub fn is_idle(token: &TokenRecord, directory: &Directory, now: Time) -> bool {
    let tenant = directory.tenant(token.tenant);
    let owner = directory.subject(token.tenant, token.subject);
    let (State::Active, Some(tenant), Some(owner)) = (token.state, tenant, owner) else {
        return false;
    };
    let facts = Facts {
        token: token.held(),
        tenant,
        owner: owner.owner(),
        directory,
    };
    judge::alive(&facts, now).is_err_and(|refused| refused.refusal == Refusal::TokenIdle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        authority::Authority,
        check::judge::IDLE_GRACE,
        event::{Actor, RECORD_VERSION, Record},
        founding,
        id::{AppId, TokenId},
        limit::Limit,
        permit::Permit,
        policy::Inclusion,
        subject::{Standing, SubjectId},
        time::Span,
        token::{
            digest::Digest,
            record::Terms,
            revoke,
            text::{Class, Prefix},
        },
    };

    const BORN: Time = Time::from_seconds(1_800_000_000);
    const IDLE: Span = Span::days(30);

    struct World {
        directory: Directory,
        tenant: TenantId,
        owner: SubjectId,
    }

    impl World {
        fn new() -> Self {
            let tenant = TenantId::from_bytes([2; 16]);
            let app = AppId::from_bytes([3; 16]);
            let mut world = Self {
                directory: Directory::new(),
                tenant,
                owner: SubjectId::App(app),
            };
            let system = TenantId::from_bytes([1; 16]);
            let genesis = founding::genesis(system, "idle.test/log", [7; 32], BORN).unwrap();
            founding::apply_all(&mut world.directory, &genesis).unwrap();
            let prefix = Prefix::parse(b"acme").unwrap();
            world.append(Event::TenantCreated { prefix });
            world.append(Event::AppCreated {
                app,
                sponsor: None,
                permit: founding::admin_permit(false),
            });
            world
        }

        fn append(&mut self, event: Event) {
            let record = self.record(BORN, event);
            self.directory
                .apply(self.directory.size(), &record)
                .unwrap();
        }

        fn record(&self, at: Time, event: Event) -> Record {
            Record {
                version: RECORD_VERSION,
                tenant: self.tenant,
                at,
                actor: Actor::Authority,
                request: None,
                aside: None,
                event,
            }
        }

        fn token(&self, idle: Option<Span>, expires: Option<Time>) -> TokenRecord {
            let permit: Permit = founding::admin_permit(false);
            let event = Event::TokenIssued {
                token: TokenId::from_draw(BORN, [9; 10]),
                class: Class::Key,
                subject: self.owner,
                digest: Digest::from_bytes([8; 32]),
                pepper: 0,
                terms: Terms {
                    permit,
                    limit: None::<Limit>,
                    idle,
                    lifetime_max: None,
                    inclusion: Inclusion::Logged,
                },
                expires,
            };
            TokenRecord::issued(self.directory.size(), self.tenant, &event).unwrap()
        }

        fn swept(&self, token: &TokenRecord, now: Time) -> Vec<Event> {
            let decision = suspend(self.tenant, [token], &self.directory, now);
            assert_eq!(decision.outcome, Ok(decision.events.len()));
            decision.events
        }

        fn refused(&self, token: &TokenRecord, now: Time) -> Option<judge::Refused> {
            let facts = Facts {
                token: token.held(),
                tenant: self.directory.tenant(self.tenant).unwrap(),
                owner: self
                    .directory
                    .subject(self.tenant, self.owner)
                    .unwrap()
                    .owner(),
                directory: &self.directory,
            };
            judge::alive(&facts, now).err()
        }
    }

    /// When a token is idle that was last used then.
    fn idle_after(used: Time) -> Time {
        used.after(IDLE).after(IDLE_GRACE)
    }

    fn before(at: Time) -> Time {
        Time::from_millis(at.millis() - 1)
    }

    #[test]
    fn a_token_is_suspended_from_the_first_second_at_which_it_is_idle() {
        let world = World::new();
        let used = BORN.after(Span::DAY);
        for (last_used, from) in [(None, idle_after(BORN)), (Some(used), idle_after(used))] {
            let mut token = world.token(Some(IDLE), None);
            token.last_used = last_used;
            assert_eq!(world.swept(&token, before(from)), []);
            let event = Event::TokenSuspended {
                token: token.id,
                reason: Reason::Idle,
            };
            assert_eq!(world.swept(&token, from), [event]);
        }
        let without = world.token(None, None);
        assert_eq!(world.swept(&without, Time::MAX), []);
    }

    #[test]
    fn what_is_dead_anyway_or_was_used_meanwhile_is_left_alone() {
        let late = BORN.after(Span::days(90));
        let mut world = World::new();
        let token = world.token(Some(IDLE), None);
        assert_eq!(world.swept(&token, late).len(), 1);
        let with = |change: &dyn Fn(&mut TokenRecord)| {
            let mut token = token.clone();
            change(&mut token);
            token
        };
        let (at, reason) = (BORN, Reason::Abuse);
        let alone = [
            with(&|t| t.last_used = Some(late)),
            with(&|t| t.expires = Some(late)),
            with(&|t| t.state = State::Suspended { reason }),
            with(&|t| t.state = State::Revoked { at, reason }),
            with(&|t| t.tenant = TenantId::from_bytes([1; 16])),
        ];
        for token in &alone {
            assert_eq!(world.swept(token, late), [], "{token:?}");
        }
        // One decision for many: each for itself.
        let many = suspend(
            world.tenant,
            [&alone[0], &token, &alone[1]],
            &world.directory,
            late,
        );
        assert_eq!(many.outcome, Ok(1));
        for (before, after) in [
            (Standing::Active, Standing::Suspended),
            (Standing::Suspended, Standing::Active),
        ] {
            let subject = world.owner;
            world.append(Event::SubjectStanding {
                subject,
                before,
                after,
            });
            let due = usize::from(after == Standing::Active);
            assert_eq!(world.swept(&token, late).len(), due, "{after:?}");
        }
        let below = world.directory.size();
        world.append(Event::CutOff {
            subject: None,
            below,
            reason,
        });
        assert_eq!(world.swept(&token, late), []);
    }

    #[test]
    fn a_token_that_could_not_be_used_yet_is_not_idle() {
        let world = World::new();
        let begins = BORN.after(Span::days(60));
        let mut token = world.token(Some(IDLE), None);
        let mut terms = Terms::clone(&token.terms);
        terms.permit.conditions.not_before = Some(begins);
        token.terms = terms.into();
        assert_eq!(world.refused(&token, begins), None);
        assert_eq!(world.swept(&token, before(idle_after(begins))), []);
        assert_eq!(world.swept(&token, idle_after(begins)).len(), 1);
    }

    #[test]
    fn its_holder_is_told_that_it_was_idle_and_resumed_it_is_fresh() {
        let world = World::new();
        let mut token = world.token(Some(IDLE), None);
        let (from, late) = (idle_after(BORN), BORN.after(Span::days(90)));
        for event in world.swept(&token, late) {
            token.apply(late, &event).unwrap();
        }
        let told = world.refused(&token, late).unwrap();
        assert_eq!(told.refusal, Refusal::TokenIdle);
        assert_eq!((told.at, told.reason), (Some(from), Some(Reason::Idle)));
        let authority = Authority::danger_founder(world.tenant, Actor::Setup);
        let decision = revoke::resume(&authority, &token, late);
        assert_eq!(decision.events, [Event::TokenResumed { token: token.id }]);
        token.apply(late, &decision.events[0]).unwrap();
        assert_eq!(world.refused(&token, late), None);
        assert_eq!(world.swept(&token, before(idle_after(late))), []);
        assert_eq!(world.swept(&token, idle_after(late)).len(), 1);
    }

    #[test]
    fn what_is_idle_can_be_resumed_before_the_sweep_comes_by() {
        let world = World::new();
        let authority = Authority::danger_founder(world.tenant, Actor::Setup);
        let mut token = world.token(Some(IDLE), None);
        let from = idle_after(BORN);
        assert_eq!(revoke::resume(&authority, &token, before(from)).events, []);
        let decision = revoke::resume(&authority, &token, from);
        token.apply(from, &decision.events[0]).unwrap();
        assert_eq!(world.refused(&token, from), None);
    }

    #[test]
    fn a_resumption_is_no_use_where_idleness_ends_nothing() {
        let world = World::new();
        let mut token = world.token(None, None);
        let (token_id, reason) = (token.id, Reason::Abuse);
        for event in [
            Event::TokenSuspended {
                token: token_id,
                reason,
            },
            Event::TokenResumed { token: token_id },
        ] {
            token.apply(BORN.after(Span::DAY), &event).unwrap();
        }
        assert_eq!((token.state, token.last_used), (State::Active, None));
    }
}
