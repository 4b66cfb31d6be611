//! The rolling audit: walks the whole store again and again while the node runs, and tells what is not as the ledger says.
//!
//! No decision reads what it looks at, so nothing waits for it: a thread of its own, the last to be given the processor, a
//! little at a time. What it finds was changed behind the node's back. `jeton audit` says more, and says it at once.

mod confirm;
mod ledger;
mod openings;
mod round;
mod rows;
mod seen;

use std::{
    cell::RefCell,
    collections::HashSet,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::Duration,
};

use jeton_store::{StoreError, fsck::Finding};
use tokio::{runtime::Handle, sync::watch};

pub use self::{
    round::{Means, Round, round},
    seen::Seen,
};
use crate::{capability, node::start::Node};

/// From the end of one round to the begin of the next.
const BETWEEN: Duration = Duration::from_secs(5);
/// So many times as long as it worked, it rests: a round takes four times as long as its work.
const RESTS: u32 = 3;
/// The most findings that are told one by one: what is that broken needs no longer log.
const TOLD_MAX: usize = 1000;

/// Goes round until `stop` fires.
pub async fn run(node: Arc<Node>, seen: Arc<Seen>, mut stop: watch::Receiver<bool>) {
    let runtime = Handle::current();
    let (going, stopped) = sync_channel(0);
    let thread = std::thread::Builder::new().name("audit".into());
    let thread = thread.spawn(move || {
        be_the_last();
        rounds(&node, &runtime, &seen, &stopped);
    });
    let thread = match thread {
        Ok(thread) => thread,
        Err(error) => return tracing::error!(%error, "the rolling audit has no thread"),
    };
    // An error says that nobody can stop it any more: then everything ends.
    drop(stop.changed().await);
    drop::<std::sync::mpsc::SyncSender<()>>(going);
    let joined = tokio::task::spawn_blocking(move || thread.join().is_ok()).await;
    if !joined.unwrap_or(false) {
        tracing::error!("the rolling audit ended badly");
    }
}

/// Everybody else on this machine comes first.
fn be_the_last() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), 19) {
        tracing::warn!(%error, "the rolling audit has the priority of all others");
    }
}

/// Waits for so long. `false`: it is time to stop.
fn wait(stopped: &Receiver<()>, time: Duration) -> bool {
    matches!(stopped.recv_timeout(time), Err(RecvTimeoutError::Timeout))
}

fn rounds(node: &Arc<Node>, runtime: &Handle, seen: &Seen, stopped: &Receiver<()>) {
    let told = RefCell::new(HashSet::new());
    let means = Means {
        node,
        runtime,
        rest: &|worked| wait(stopped, worked * RESTS),
        found: &|finding| {
            seen.found(finding);
            tell(&mut told.borrow_mut(), finding);
        },
    };
    loop {
        let since = capability::stopwatch();
        match round(&means) {
            Ok(None) => return,
            Ok(Some(round)) => seen.ended(&round, since()),
            Err(error) => {
                let finding = unreadable(&error);
                (means.found)(&finding);
            }
        }
        if !wait(stopped, BETWEEN) {
            return;
        }
    }
}

/// A store that cannot be read to its end: nobody wrote such bytes through the engine.
fn unreadable(error: &StoreError) -> Finding {
    let cause = core::error::Error::source(error).map(ToString::to_string);
    let cause = cause.unwrap_or_else(|| error.to_string());
    Finding::new("store", "a row", format!("it cannot be read on: {cause}"))
}

/// Tells a finding to the operator, once.
fn tell(told: &mut HashSet<(&'static str, String, Option<&'static str>)>, finding: &Finding) {
    let key = (finding.table, finding.row.clone(), finding.field);
    if told.len() >= TOLD_MAX || !told.insert(key) {
        return;
    }
    tracing::error!(
        table = finding.table,
        row = finding.row,
        token = finding.token.map(|token| token.to_string()),
        leaf = finding.leaf,
        field = finding.field,
        what = finding.what,
        "the store was changed behind the node: run `jeton audit`"
    );
}
