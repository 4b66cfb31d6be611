//! A new epoch: what was shown of the ledger and is lost for good ends its name, and everything that was issued under it.
//!
//! The store goes on where it is, under a name that no witness has seen. So nobody is asked to cosign two histories, and whoever
//! holds a receipt of the lost part can still prove that it was there.

use jeton_core::{
    event::{Actor, Event, LogEvent, REASON_BYTES_MAX, RECORD_VERSION, Record},
    id::TenantId,
};
use jeton_store::{Store as _, sqlite::Sqlite};

use crate::{
    capability::Clock,
    node::{
        dir::{keyring, last_signed, lock, mark, older},
        high_water::HighWater,
        learn::learn,
        publish::End,
        start::{Place, StartError, append_at_rest},
    },
};

/// What an operator orders.
#[derive(Clone, Debug)]
pub struct Order {
    /// Why, in the operator's words.
    pub reason: String,
    /// The highest size that was ever shown, where somebody else than the directory knows: a witness, a receipt.
    pub served: Option<u64>,
}

/// The epoch that has begun.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Epoch {
    /// Its number, from 1.
    pub number: u32,
    /// Its name.
    pub origin: String,
    /// The index of its first event: what was issued below is dead.
    pub from: u64,
    /// The highest size that was ever shown under the name before.
    pub served: u64,
}

/// Begins a new epoch in a directory on which no server runs.
///
/// # Errors
/// [`StartError`]: also if nothing is lost here, as far as the directory and the order know.
pub fn begin(place: &Place, clock: &Clock, order: &Order) -> Result<Epoch, StartError> {
    let reason = order.reason.trim();
    if reason.is_empty() || reason.len() > REASON_BYTES_MAX {
        let rule = format!("the reason must have 1 to {REASON_BYTES_MAX} bytes");
        return Err(StartError::Other(rule));
    }
    let _alone = lock(&place.dir)?;
    let keyring = keyring(place)?;
    let mut store = Sqlite::open(&place.dir.join("ledger.db"), place.durability)?;
    let mut reader = store.reader()?;
    let learnt = learn(&mut *reader, &keyring, &place.dir.join("snapshot"))?;
    let (mut directory, mut sealer) = (learnt.directory, learnt.sealer);
    let end = End::of(&sealer, &directory);
    let mark_path = place.dir.join("high-water");
    let signed = last_signed(&mut *reader, directory.log())?;
    let seen = older(&mut *reader, mark(&mark_path)?, signed.as_ref(), end)?;
    let seen = seen.map(|why| why.served);
    let told = order.served.filter(|served| *served > end.size);
    let Some(served) = seen.max(told) else {
        let words = "nothing is lost here: the store holds all that was shown, as far as this directory knows. If a witness or a \
                     receipt has seen more, say how much with `--served`";
        return Err(StartError::Other(words.to_owned()));
    };
    let system: Option<TenantId> = directory.system();
    let system = system.ok_or_else(|| StartError::Other("the ledger has no beginning".into()))?;
    let number = end.epoch.saturating_add(1);
    let origin = format!("{}/{number}", directory.log().origin_at(1));
    let record = Record {
        version: RECORD_VERSION,
        tenant: system,
        at: clock.time(),
        actor: Actor::Authority,
        request: None,
        aside: None,
        event: Event::Ledger(LogEvent::EpochBegan {
            origin: origin.clone(),
            served,
            reason: reason.to_owned(),
        }),
    };
    let state = (&mut directory, &mut sealer);
    append_at_rest(&mut store, &keyring, state, &[record])?;
    // Signed under a name that has ended: a crash before this leaves some that a start knows as such.
    store.forget_checkpoints_beyond(end.size)?;
    // A crash before this line leaves a mark of the epoch before, which a start of this one is above by its own word.
    let raised = HighWater::open(&mark_path).and_then(|file| {
        file.raise(&End::of(&sealer, &directory).mark())?;
        file.sync()
    });
    raised.map_err(|source| StartError::HighWater {
        path: mark_path.clone(),
        source,
    })?;
    Ok(Epoch {
        number,
        origin,
        from: end.size,
        served,
    })
}
