//! Snapshots while the node runs: so that a start after a crash replays little, however long ago the last good stop was.

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::node::start::Node;

/// So many events since the last snapshot make the next one due: some seconds of replay.
pub const EVENTS: u64 = 1_000_000;
/// Or so large a part of all tokens, if that is more: a snapshot is written whole, and costs as much as there are tokens.
const PART_OF_TOKENS: u64 = 8;
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Whether a snapshot is due, of a ledger of `size` whose last snapshot stands for `kept` events. At a start that is what had
/// to be replayed.
#[must_use]
pub fn is_due(size: u64, kept: u64, slots: u32) -> bool {
    size.saturating_sub(kept) >= EVENTS.max(u64::from(slots) / PART_OF_TOKENS)
}

/// Keeps snapshots when they are due, until `stop` fires: then whoever writes one is told by the node itself.
pub async fn run(node: Arc<Node>, mut stop: watch::Receiver<bool>) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = node.snapshot_size();
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            _ = stop.changed() => return,
        }
        let slots = node.verifier.with_index(jeton_verify::index::Index::len);
        if !is_due(node.verifier.size(), last, slots) {
            continue;
        }
        // One that fails is tried again when the next is due: until then only a start takes longer.
        last = node.verifier.size();
        let writing = Arc::clone(&node);
        let since = crate::capability::stopwatch();
        let written = tokio::select! {
            written = tokio::task::spawn_blocking(move || writing.keep_snapshot()) => written,
            _ = stop.changed() => return,
        };
        let took_ms = u64::try_from(since().as_millis()).unwrap_or(0);
        match written {
            Ok(Ok(events)) => tracing::info!(events, took_ms, "a snapshot was kept"),
            Ok(Err(error)) => tracing::warn!(%error, "no snapshot was kept"),
            Err(error) => tracing::error!(%error, "a snapshot ended badly"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_due_after_a_million_events_or_an_eighth_of_the_tokens() {
        for (size, kept, slots, due) in [
            (EVENTS - 1, 0, 0, false),
            (EVENTS, 0, 0, true),
            (EVENTS, 1, 0, false),
            (EVENTS + 1, 1, 0, true),
            (EVENTS, 0, 8_000_007, true),
            (EVENTS, 0, 8_000_008, false),
            (10 * EVENTS, 0, 80_000_000, true),
            // A directory that is older than its snapshot does not start; nothing is due of it.
            (1, 2, 0, false),
        ] {
            assert_eq!(is_due(size, kept, slots), due, "{size} {kept} {slots}");
        }
    }
}
