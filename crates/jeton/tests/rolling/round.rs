//! A round of the rolling audit, when a test wants one.

use std::sync::Arc;

use jeton::jobs::audit::{Means, Round, round};

use crate::common::Authority;

/// One round, without rest.
pub(crate) async fn go_round(authority: &Authority) -> Round {
    let node = Arc::clone(&authority.running.doors.node);
    let runtime = tokio::runtime::Handle::current();
    let gone = tokio::task::spawn_blocking(move || {
        let means = Means {
            node: &node,
            runtime: &runtime,
            rest: &|_| true,
            found: &|_| {},
        };
        round(&means).unwrap().unwrap()
    });
    gone.await.unwrap()
}
