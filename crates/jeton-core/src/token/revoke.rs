//! Revoking, suspending, resuming, and the cut-off that ends many at once. Revocation is final and never waits.

use crate::{
    api::own,
    authority::Authority,
    decision::Decision,
    directory::Directory,
    event::Event,
    refusal::{Blame, Refusal},
    subject::SubjectId,
    time::Time,
    token::{
        issue::may_manage,
        record::{Reason, State, TokenRecord},
    },
};

/// Revokes a token. Revoking a revoked one is no error and changes nothing.
pub fn revoke(authority: &Authority, token: &TokenRecord, reason: Reason) -> Decision<()> {
    let own = authority.holds(own::TOKENS_OWN) && authority.subject() == Some(token.subject);
    if !authority.holds(own::TOKENS_REVOKE) && !own {
        return Decision::no(Refusal::ScopeMissing);
    }
    ended_by(token, reason)
}

/// Revokes a token for whoever holds its secret: possession is proof enough to end it, and for nothing else.
pub fn revoke_by_possession(token: &TokenRecord) -> Decision<()> {
    ended_by(token, Reason::Holder)
}

fn ended_by(token: &TokenRecord, reason: Reason) -> Decision<()> {
    match token.state {
        State::Revoked { .. } => Decision::yes((), Vec::new()),
        State::Active | State::Suspended { .. } => Decision::yes(
            (),
            vec![Event::TokenRevoked {
                token: token.id,
                reason,
            }],
        ),
    }
}

/// Suspends a token until it is resumed. Suspending a suspended one changes nothing.
pub fn suspend(authority: &Authority, token: &TokenRecord, reason: Reason) -> Decision<()> {
    if let Err(blame) = may_manage(authority, token.subject) {
        return Decision::no(blame);
    }
    match token.state {
        State::Active => Decision::yes(
            (),
            vec![Event::TokenSuspended {
                token: token.id,
                reason,
            }],
        ),
        State::Suspended { .. } => Decision::yes((), Vec::new()),
        State::Revoked { .. } => Decision::no(revoked()),
    }
}

/// Lets a suspended token work again: to give authority back is to give it, so it must lie within what the caller may give.
/// Otherwise one token of an owner could undo the suspension of another that can do more. A token that is idle is as good as
/// suspended, whether the sweep has said so yet or not; resumed, it counts as used now.
pub fn resume(authority: &Authority, token: &TokenRecord, now: Time) -> Decision<()> {
    let decide = || {
        may_manage(authority, token.subject)?;
        let idle = token.held().idle_from().is_some_and(|at| now >= at);
        match token.state {
            State::Active if !idle => Ok(((), Vec::new())),
            State::Active | State::Suspended { .. } => {
                authority.attenuate(token.terms.permit.clone(), "token")?;
                Ok(((), vec![Event::TokenResumed { token: token.id }]))
            }
            State::Revoked { .. } => Err(revoked()),
        }
    };
    decide().into()
}

pub(crate) fn revoked() -> Blame {
    Blame {
        refusal: Refusal::StateConflict,
        field: None,
        rule: Some("the token is revoked".into()),
    }
}

/// Ends every token of the tenant, or of one subject, issued before this moment.
pub fn cut_off(
    authority: &Authority,
    subject: Option<SubjectId>,
    reason: Reason,
    directory: &Directory,
) -> Decision<u64> {
    if !authority.holds(own::TOKENS_REVOKE) {
        return Decision::no(Refusal::ScopeMissing);
    }
    if let Some(id) = subject
        && directory.subject(authority.tenant(), id).is_none()
    {
        let rule = "no such user or application in the tenant";
        return Decision::no(Blame::field(Refusal::NotFound, "subject", rule));
    }
    let below = directory.size();
    Decision::yes(
        below,
        vec![Event::CutOff {
            subject,
            below,
            reason,
        }],
    )
}
