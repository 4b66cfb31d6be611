//! Publication: a checkpoint that was signed is shown, at once or once the witnesses of the policy have cosigned it.

use std::{sync::Arc, time::Duration};

use jeton_core::{
    decision::Decision,
    event::{Actor, Event, LogEvent},
    refusal::Blame,
};
use tokio::sync::watch;

use crate::node::{
    publish::Signed,
    quorum::Quorum,
    start::Node,
    witness::WITNESS_TIMEOUT,
    writer::{Purpose, Ruling},
};

/// A checkpoint that was not witnessed is tried again after so long, if none has followed it.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Writes into the ledger which policy is followed from now on, if it is another one.
///
/// # Errors
/// [`Blame`] if the ledger cannot be written.
pub async fn follow(node: &Node, quorum: Option<&Quorum>) -> Result<(), Blame> {
    let policy = quorum.map(|q| q.text().to_owned());
    let directory = node.verifier.directory().clone();
    let (Some(system), true) = (directory.system(), directory.log().policy != policy) else {
        return Ok(());
    };
    let event = Event::Ledger(LogEvent::PolicySet { policy });
    let done = node.writer.submit(Purpose::Grow, move |_| Ruling {
        tenant: system,
        actor: Actor::Authority,
        request: None,
        words: None,
        decision: Decision {
            outcome: Ok(()),
            events: vec![event],
        },
    });
    done.await.map(drop)
}

/// The newest checkpoint of the store that may be shown: with a policy, the newest that satisfies it.
pub async fn newest(node: &Arc<Node>, quorum: Option<&Arc<Quorum>>) -> Option<Signed> {
    let Some(quorum) = quorum.map(Arc::clone) else {
        return node.signed.borrow().clone();
    };
    let log = Arc::clone(node.verifier.directory().log());
    let read = node.read(move |reader| {
        let mut found = None;
        // What a note says counts, and not the row in which it stands.
        reader.checkpoints(&mut |row, note| {
            let open = quorum.opened(&note);
            let own = open.filter(|open| {
                u64::try_from(row) == Ok(open.size()) && open.origin() == log.origin_at(open.size())
            });
            found = own.map(|open| (open, note)).or(found.take());
        })?;
        let Some((open, note)) = found else {
            return Ok(None);
        };
        let (size, root, note) = (open.size(), *open.root(), note.into());
        let ours = crate::node::dir::root_at(reader, size)?;
        Ok((ours == root).then_some(Signed { size, root, note }))
    });
    read.await.unwrap_or_else(|error| {
        tracing::error!(%error, "the last checkpoint that was shown cannot be read");
        None
    })
}

/// Shows signed checkpoints as they come, until `stop` fires.
pub async fn run(node: Arc<Node>, quorum: Option<Arc<Quorum>>, mut stop: watch::Receiver<bool>) {
    let mut signed = node.signed.clone();
    let mut again = tokio::time::interval(AGAIN_AFTER);
    loop {
        let newest = signed.borrow_and_update().clone();
        let shown = node.published.borrow().as_ref().map_or(0, |s| s.size);
        let fresh = newest.filter(|s| s.size > shown && !node.gate.is_closed());
        let mut done = true;
        if let Some(fresh) = fresh {
            let showing = show(&node, quorum.as_deref(), fresh);
            done = tokio::select! {
                done = showing => done,
                _ = stop.changed() => return,
            };
            again.reset();
        }
        tokio::select! {
            changed = signed.changed() => if changed.is_err() { return },
            _ = again.tick(), if !done => {}
            _ = stop.changed() => return,
        }
    }
}

/// Asks those witnesses again that were away at the start, until each has said what it remembers: a store that was put back need
/// have nothing new for them to cosign.
pub async fn remind(node: Arc<Node>, quorum: Option<Arc<Quorum>>, mut stop: watch::Receiver<bool>) {
    let mut again = tokio::time::interval(AGAIN_AFTER);
    again.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while let Some(quorum) = quorum.as_deref().filter(|q| !q.all_heard()) {
        tokio::select! {
            _ = again.tick() => {}
            _ = stop.changed() => return,
        }
        if node.gate.is_closed() {
            return;
        }
        tokio::select! {
            more = quorum.remember(&node, WITNESS_TIMEOUT) => if let Some(more) = more {
                node.gate.close(more.why, Some(more.mark));
            },
            _ = stop.changed() => return,
        }
    }
}

/// Shows a checkpoint, if it may be shown.
async fn show(node: &Arc<Node>, quorum: Option<&Quorum>, signed: Signed) -> bool {
    let Some(quorum) = quorum else {
        node.published.send_replace(Some(signed));
        return true;
    };
    let Some(note) = quorum.cosign(node, &signed).await else {
        return false;
    };
    let (writer, kept, size) = (node.writer.clone(), note.clone(), signed.size);
    let keeping = tokio::task::spawn_blocking(move || writer.keep_checkpoint(size, kept));
    if !keeping.await.is_ok_and(|kept| kept) {
        return false;
    }
    // From now on whatever wants to be witnessed and lies below authenticates; whoever sees the checkpoint may count on it.
    node.verifier.with_index(|index| index.witness(size));
    node.published.send_replace(Some(Signed {
        note: note.into(),
        ..signed
    }));
    true
}
