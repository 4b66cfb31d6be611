//! Calendars of OpenTimestamps: they collect what is to be attested, and have one hash of it all put into a block.
//!
//! A calendar sees a hash behind chance, never the checkpoint. What it answers is believed in nothing: it is a tree of
//! operations that starts at the hash that was sent, whoever wrote it.

use http::StatusCode;

use super::endpoint::{Endpoint, EndpointError};
use super::ots::{OtsError, Stamp};

const MEDIA_TYPE: &str = "application/vnd.opentimestamps.v1";

/// Why a calendar gave no stamp.
#[derive(Debug, thiserror::Error)]
pub enum CalendarError {
    /// It could not be asked, or said no.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It knows the message, and has no block for it yet; or does not know it.
    #[error("{0} has no more to say of it yet")]
    NotYet(String),
    /// What it answered is no stamp.
    #[error("{server} answered no stamp")]
    Answer {
        /// The calendar.
        server: String,
        /// Why.
        source: OtsError,
    },
}

/// Hands a message in: the answer is most often a promise.
///
/// # Errors
/// A [`CalendarError`].
pub async fn submit(calendar: &Endpoint, message: &[u8; 32]) -> Result<Stamp, CalendarError> {
    let body = calendar
        .post("/digest", MEDIA_TYPE, message.to_vec())
        .await?;
    read(calendar, &body, message)
}

/// Asks what has become of a message that was promised a block.
///
/// # Errors
/// A [`CalendarError`].
pub async fn follow(calendar: &Endpoint, message: &[u8]) -> Result<Stamp, CalendarError> {
    let path = format!(
        "/timestamp/{}",
        data_encoding::HEXLOWER.encode_display(message)
    );
    match calendar.get(&path, MEDIA_TYPE).await {
        Ok(body) => read(calendar, &body, message),
        Err(EndpointError::Status {
            server,
            status: StatusCode::NOT_FOUND,
        }) => Err(CalendarError::NotYet(server)),
        Err(error) => Err(error.into()),
    }
}

fn read(calendar: &Endpoint, body: &[u8], message: &[u8]) -> Result<Stamp, CalendarError> {
    Stamp::parse(body, message).map_err(|source| CalendarError::Answer {
        server: calendar.server().to_owned(),
        source,
    })
}
