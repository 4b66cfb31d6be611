//! `jeton log recover` and `jeton log new-epoch`: the two ways out of a quarantine, for a stopped authority.

use std::{path::PathBuf, sync::atomic::Ordering::Relaxed};

use clap::Args;
use serde_json::json;

use super::{
    fault::{Fault, USAGE},
    out::Out,
    progress::work,
};
use crate::{
    capability::Clock,
    node::{
        epoch::{self, Order},
        high_water::Later,
        keyring::Kek,
        recover::{self, Missing, RecoverError, recover},
        start::{Place, StartError},
    },
};

const RECOVER_EXAMPLES: &str = "\
Examples:
  jeton log recover --data-dir /var/lib/jeton --from-mirror /srv/mirror

The mirror is a directory that `jeton log mirror --openings` has kept. Its checkpoint must bear a signature of one of this authority's \
own keys, its beginning must be what the store holds, and each event of the rest is believed as at a start. All of it becomes durable \
at once, or nothing. Where the mirror ends before what was shown, the next start is still in quarantine.

After a backup was restored on a machine that does not know how far the authority had come, no mirror can say that it has all: more \
may have been served after its last event, a revocation too. So the next start stays in quarantine, unless you know that nothing \
was (the authority was stopped before the mirror went its last round) and say so with --nothing-later.";

const EPOCH_EXAMPLES: &str = "\
Examples:
  jeton log new-epoch --data-dir /var/lib/jeton --reason 'disk lost, restored the backup of Monday' --yes

Nobody can say what was revoked in the part that is lost. So every token that was issued before is dead, in every tenant: the next \
start offers a setup secret for the operator, and `jeton tenant readmit` gives each tenant a new first credential. Witnesses and \
verifiers need the new name and key: `/log/vkey`. Try `jeton log recover` first.";

/// A data directory on which no server runs.
#[derive(Args, Debug)]
struct Stopped {
    /// The data directory of a stopped authority
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// The file of the key-encryption key; in the data directory unless told
    #[arg(long, value_name = "FILE")]
    kek_file: Option<PathBuf>,
}

impl Stopped {
    fn place(&self) -> Result<Place, Fault> {
        if !self.data_dir.join("ledger.db").exists() {
            let words = format!("{} holds no ledger (ledger.db)", self.data_dir.display());
            let hint = "--data-dir is the directory that `jeton serve` was given";
            return Err(Fault::failed(words).hint(hint));
        }
        // The ledger names itself; nothing is begun here.
        let mut place = Place::in_dir(&self.data_dir, "");
        if let Some(kek) = &self.kek_file {
            place.kek = Kek::File(kek.clone());
        }
        Ok(place)
    }
}

/// From where.
#[derive(Args, Debug)]
#[command(after_long_help = RECOVER_EXAMPLES)]
pub(super) struct Recover {
    #[command(flatten)]
    stopped: Stopped,
    /// The directory of a mirror that was kept with --openings
    #[arg(long, value_name = "DIR")]
    from_mirror: PathBuf,
    /// Vouch that nothing was served after the mirror's last event, where the directory cannot know
    #[arg(long)]
    nothing_later: bool,
}

/// Why.
#[derive(Args, Debug)]
#[command(after_long_help = EPOCH_EXAMPLES)]
pub(super) struct NewEpoch {
    #[command(flatten)]
    stopped: Stopped,
    /// Why, for the ledger: 1 to 512 bytes, without secrets or personal data
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The highest size that was ever shown, where a witness or a receipt knows and this directory does not
    #[arg(long, value_name = "SIZE")]
    served: Option<u64>,
    /// Yes, end every token there is
    #[arg(long)]
    yes: bool,
}

fn failed(error: &StartError) -> Fault {
    let words = error.to_string();
    match core::error::Error::source(error) {
        Some(cause) => Fault::caused(words, cause),
        None => Fault::failed(words),
    }
}

fn unrecovered(error: &RecoverError) -> Fault {
    match error {
        RecoverError::Start(error) => failed(error),
        RecoverError::Mirror(error) => super::log::fault(error),
        RecoverError::NothingThere { .. } => Fault::failed(error.to_string()).hint(
            "if you know that nothing was served after what the store holds, say so: `jeton log recover --nothing-later` with a \
             mirror of the same size, or `jeton backup restore --is-latest`",
        ),
        RecoverError::Store(_)
        | RecoverError::Key(_)
        | RecoverError::Policy(_)
        | RecoverError::OtherShown { .. }
        | RecoverError::OtherHistory { .. } => match core::error::Error::source(error) {
            Some(cause) => Fault::caused(error.to_string(), cause),
            None => Fault::failed(error.to_string()),
        },
    }
}

/// Brings the missing part back.
pub(super) async fn bring_back(args: Recover, out: Out) -> Result<(), Fault> {
    let place = args.stopped.place()?;
    let from = args.from_mirror;
    let later = if args.nothing_later {
        Later::Nothing
    } else {
        Later::Unknown
    };
    let done = work("recovering", move |events| {
        let mirror = &from;
        let order = recover::Order { mirror, later };
        recover(&place, &order, &mut |there| events.store(there, Relaxed))
    });
    let done = done.await?.map_err(|error| unrecovered(&error))?;
    let (more, shown) = match done.missing {
        Missing::Nothing => ("It holds all that was shown: start it.".to_owned(), None),
        Missing::Shown(shown) => (
            format!(
                "{shown} events were shown: it is still in quarantine. Find a mirror that goes further, or `jeton log new-epoch`."
            ),
            Some(shown),
        ),
        Missing::Unknown => (
            "A backup was restored here, and nobody knows whether more was served after the mirror's last event: it is still in \
             quarantine. If you know that nothing was, say --nothing-later; else find a mirror that goes further, or `jeton log \
             new-epoch`."
                .to_owned(),
            None,
        ),
    };
    let told = json!({
        "data_dir": args.stopped.data_dir, "before": done.before, "size": done.size, "shown_size": shown,
        "quarantine": done.missing != Missing::Nothing,
    });
    let words = format!(
        "{} events are back: from {} to {}. {more}",
        done.size - done.before,
        done.before,
        done.size
    );
    out.done(&told, &words)
}

/// Ends what the gap cannot explain.
pub(super) async fn begin(args: NewEpoch, out: Out) -> Result<(), Fault> {
    let place = args.stopped.place()?;
    if !args.yes {
        out.note("a new epoch ends every token of every tenant, the operator's too: say --yes");
        return Err(Fault::Told(USAGE));
    }
    let order = Order {
        reason: args.reason,
        served: args.served,
    };
    let working =
        tokio::task::spawn_blocking(move || epoch::begin(&place, &Clock::start(), &order));
    let ended = working.await;
    let begun = ended.map_err(|e| Fault::caused("the new epoch ended badly", &e))?;
    let begun = begun.map_err(|e| failed(&e))?;
    let told = json!({
        "data_dir": args.stopped.data_dir, "origin": begun.origin, "epoch": begun.number, "from": begun.from,
        "shown_size": begun.served,
    });
    let words = format!(
        "The ledger is {} from event {} on; everything issued before is dead. Start it: it offers a setup secret.",
        begun.origin, begun.from
    );
    out.done(&told, &words)
}
