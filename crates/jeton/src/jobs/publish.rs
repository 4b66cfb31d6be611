//! Publication: a checkpoint that was signed is shown, at once or once the witnesses of the policy have cosigned it.

use std::sync::Arc;

use tokio::sync::watch;

use crate::node::start::Node;

/// Shows signed checkpoints as they come, until `stop` fires.
pub async fn run(node: Arc<Node>, mut stop: watch::Receiver<bool>) {
    let mut signed = node.signed.clone();
    loop {
        let newest = signed.borrow_and_update().clone();
        if newest.is_some() {
            node.published.send_replace(newest);
        }
        tokio::select! {
            changed = signed.changed() => if changed.is_err() { return },
            _ = stop.changed() => return,
        }
    }
}
