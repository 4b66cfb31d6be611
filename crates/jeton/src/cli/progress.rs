//! Long work on a thread of its own, with a line for people that says how far it is.

use std::{
    io::{IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::task::{JoinError, JoinHandle};

use super::fault::Fault;

/// Works on a thread that may block, and shows people how many events it has got through.
pub(super) async fn work<T: Send + 'static>(
    doing: &'static str,
    job: impl FnOnce(&AtomicU64) -> T + Send + 'static,
) -> Result<T, Fault> {
    let events = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&events);
    let working = tokio::task::spawn_blocking(move || job(&counted));
    let done = shown(working, |seconds| {
        let events = events.load(Relaxed);
        format!("{doing} … {events} events, {seconds} s")
    });
    done.await
        .map_err(|e| Fault::caused("the work ended badly", &e))
}

/// Waits, and on a terminal says once a second how it stands.
pub(super) async fn shown<T>(
    mut working: JoinHandle<T>,
    stands: impl Fn(u64) -> String,
) -> Result<T, JoinError> {
    let shown = std::io::stderr().is_terminal();
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let mut seconds = 0u64;
    tick.tick().await;
    loop {
        tokio::select! {
            done = &mut working => {
                if shown && seconds > 0 {
                    drop(write!(std::io::stderr(), "\r\x1b[K"));
                }
                return done;
            }
            _ = tick.tick() => {
                seconds += 1;
                if shown {
                    drop(write!(std::io::stderr(), "\r{}", stands(seconds)));
                }
            }
        }
    }
}
