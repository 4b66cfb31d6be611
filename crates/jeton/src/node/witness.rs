//! The authority's side of a witness: asks for a cosignature, and for what the witness remembers.
//!
//! The answers fall into three kinds, and the difference matters: *try again* (it is away), *from another size* (it is
//! elsewhere), and *never again* (it has seen another history, so either this one or that one is a fork). What a witness
//! answers is believed only where its key has signed it. Other implementations' quirks are known: some answer a fork with 409
//! and no size, or with the very size that was asked from.

use std::{path::Path, time::Duration};

use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use jeton_tlog::{
    AddCheckpoint, AddCheckpointError, Checkpoint, CheckpointError, Hash, NOTE_BYTES_MAX, Note,
    NoteError, WitnessKey,
};
use sha2::{Digest as _, Sha256};

use crate::net::{Client, NetError, Roots};

/// How long a witness may take to answer, unless told otherwise.
pub const WITNESS_TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError {
    /// The witness is at another size: ask again with the proof from there.
    ///
    /// A size larger than the checkpoint's says that this log was rolled back.
    #[error("the witness is at size {size}")]
    Conflict {
        /// The size of the last checkpoint that it cosigned.
        size: u64,
    },
    /// The witness says no, and asking again is no use: see [`WitnessError::is_split`].
    #[error("the witness refuses with status {status}: {words}")]
    Fatal {
        /// The status.
        status: u16,
        /// The first of what it says.
        words: String,
    },
    /// The witness does not cosign this log.
    #[error("the witness does not know this log")]
    UnknownLog,
    /// The witness was not reached, or has no time: ask again later.
    #[error("the witness was not reached")]
    Unreachable(#[source] NetError),
    /// The witness answers with a status that promises nothing: ask again later.
    #[error("the witness answers with status {status}")]
    Unavailable {
        /// The status.
        status: u16,
    },
    /// The witness says yes and has not signed, or shows what it has not signed: ask again later, and ask its operator.
    #[error("the answer of the witness is not signed by its key")]
    Answer(#[source] CheckpointError),
    /// The request cannot be made.
    #[error("the request to the witness")]
    Request(#[source] AddCheckpointError),
}

impl WitnessError {
    /// Whether the witness has seen another history of this log than the one it was shown.
    #[must_use]
    pub const fn is_split(&self) -> bool {
        matches!(
            self,
            Self::Fatal {
                status: 409 | 422,
                ..
            }
        )
    }

    /// Whether the same request may be sent again later.
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unavailable { .. } | Self::Answer(_) => true,
            Self::Conflict { .. } | Self::Fatal { .. } | Self::UnknownLog | Self::Request(_) => {
                false
            }
        }
    }
}

/// A client of one witness.
pub struct WitnessClient {
    client: Client,
    /// The path of the submission prefix, without its last slash.
    prefix: String,
    key: WitnessKey,
}

impl WitnessClient {
    /// A client of the witness with this key at a submission prefix (c2sp.org/tlog-witness).
    ///
    /// `ca` holds the authorities that are trusted for `https://`; the machine's own list is never used. `http://` is for
    /// loopback addresses.
    ///
    /// # Errors
    /// [`NetError::Url`], and those of the CA's file.
    pub fn new(
        url: &str,
        key: WitnessKey,
        ca: Option<&Path>,
        timeout: Duration,
    ) -> Result<Self, NetError> {
        let wrong = |rule| NetError::Url {
            url: url.to_owned(),
            rule,
        };
        let uri = Uri::try_from(url).map_err(|_| wrong("it does not parse"))?;
        let authority = uri
            .authority()
            .ok_or_else(|| wrong("it must name a host"))?;
        let base = |scheme: &str| format!("{scheme}://{authority}");
        let client = match (uri.scheme_str(), ca) {
            (Some("https"), Some(ca)) => Client::https(&base("https"), Roots::File(ca))?,
            (Some("https"), None) => {
                return Err(wrong("the CA that signs for the witness must be given"));
            }
            (Some("http"), _) => Client::plain(&base("http"))?,
            (_, _) => return Err(wrong("it must begin with https://")),
        };
        Ok(Self {
            client: client
                .with_timeout(timeout)
                .with_answer_bytes_max(NOTE_BYTES_MAX),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            key,
        })
    }

    /// The key of the witness.
    #[must_use]
    pub const fn key(&self) -> &WitnessKey {
        &self.key
    }

    /// Shows a checkpoint with the proof from the `old` size on, and gives the witness's cosignature lines, verified.
    ///
    /// # Errors
    /// [`WitnessError`].
    pub async fn add_checkpoint(
        &self,
        note: &str,
        old: u64,
        proof: &[Hash],
    ) -> Result<Vec<String>, WitnessError> {
        let request = AddCheckpoint::new(old, proof.to_vec(), note.to_owned());
        let body = request.map_err(WitnessError::Request)?.to_string();
        let path = format!("{}/add-checkpoint", self.prefix);
        let (status, answer) = self.ask(Method::POST, &path, Bytes::from(body)).await?;
        match status {
            StatusCode::OK => self.lines(note, &answer),
            // Without a size, or with the size that was asked from, there is nothing to try again with.
            StatusCode::CONFLICT => match size_in(&answer).filter(|size| *size != old) {
                Some(size) => Err(WitnessError::Conflict { size }),
                None => Err(fatal(status, &answer)),
            },
            StatusCode::NOT_FOUND => Err(WitnessError::UnknownLog),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => {
                let status = status.as_u16();
                Err(WitnessError::Unavailable { status })
            }
            status if status.is_client_error() => Err(fatal(status, &answer)),
            status => {
                let status = status.as_u16();
                Err(WitnessError::Unavailable { status })
            }
        }
    }

    /// The last checkpoint of a log that the witness cosigned, as it shows it to everybody; `None` if it shows none.
    ///
    /// The witness's cosignature is verified, the log's signature is not: that a log has signed more than it knows of is for
    /// the log to find, with [`Checkpoint::open_any`].
    ///
    /// # Errors
    /// [`WitnessError`].
    pub async fn latest(&self, origin: &str) -> Result<Option<String>, WitnessError> {
        let hash = HEXLOWER.encode(&Sha256::digest(origin));
        let path = format!("{}/{hash}/checkpoint", self.prefix);
        let (status, answer) = self.ask(Method::GET, &path, Bytes::new()).await?;
        match status {
            StatusCode::OK => {
                let note = self.cosigned(origin, &answer);
                note.map(Some).map_err(WitnessError::Answer)
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => {
                let status = status.as_u16();
                Err(WitnessError::Unavailable { status })
            }
        }
    }

    /// The size of the last checkpoint that the witness cosigned of a log, or 0 if there was none.
    ///
    /// Where the witness does not show it, it is shown `note` (a checkpoint of the log, signed) as if it knew nothing: it then
    /// tells its size, or cosigns `note` as the first.
    ///
    /// # Errors
    /// [`WitnessError`], but not [`WitnessError::Conflict`].
    pub async fn size(&self, origin: &str, note: &str) -> Result<u64, WitnessError> {
        if let Some(latest) = self.latest(origin).await? {
            let head = Note::parse(latest.as_bytes())
                .map_err(CheckpointError::Note)
                .and_then(|note| Checkpoint::parse(note.unverified_text()));
            return Ok(head.map_err(WitnessError::Answer)?.size());
        }
        match self.add_checkpoint(note, 0, &[]).await {
            Ok(_) => Ok(0),
            Err(WitnessError::Conflict { size }) => Ok(size),
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), WitnessError> {
        let mut headers = HeaderMap::new();
        let plain = HeaderValue::from_static("text/plain; charset=utf-8");
        if method == Method::POST {
            headers.insert(header::CONTENT_TYPE, plain);
        }
        let sent = self.client.send(method, path, headers, body).await;
        let (status, _, answer) = sent.map_err(WitnessError::Unreachable)?;
        Ok((status, answer))
    }

    /// The lines of the answer that the witness's key has signed: at least one.
    fn lines(&self, note: &str, answer: &[u8]) -> Result<Vec<String>, WitnessError> {
        let wrong = WitnessError::Answer;
        let plain = |_| wrong(CheckpointError::Note(NoteError::NotPlainText));
        let answer = str::from_utf8(answer).map_err(plain)?;
        let parsed = Note::parse(note.as_bytes()).map_err(CheckpointError::Note);
        let mut note = parsed.map_err(wrong)?;
        note.add_cosignature(answer, &self.key).map_err(wrong)?;
        let of_key = |line: &&jeton_tlog::Signature| {
            line.name() == self.key.name() && line.key_id() == self.key.key_id()
        };
        let lines = note.signatures().iter().filter(of_key);
        Ok(lines.map(ToString::to_string).collect())
    }

    /// A note of this log that the witness has cosigned.
    fn cosigned(&self, origin: &str, note: &[u8]) -> Result<String, CheckpointError> {
        let note = Note::parse(note).map_err(CheckpointError::Note)?;
        let head = Checkpoint::parse(note.unverified_text())?;
        if head.origin() != origin {
            return Err(CheckpointError::OriginMismatch {
                origin: head.origin().to_owned(),
                name: origin.to_owned(),
            });
        }
        let own = note.cosignatures(std::slice::from_ref(&self.key));
        match own.map_err(CheckpointError::Note)?.as_slice() {
            [] => Err(CheckpointError::Note(NoteError::NotSigned)),
            [_, ..] => Ok(note.to_string()),
        }
    }
}

/// A tree size and a newline, whatever the type of the body is said to be.
fn size_in(answer: &[u8]) -> Option<u64> {
    let text = str::from_utf8(answer).ok()?;
    let digits = text.strip_suffix('\n').unwrap_or(text);
    let plain = !digits.is_empty() && digits.len() <= 19;
    let plain = plain && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().ok()).flatten()
}

/// The first line of what is said, without anything that could paint a terminal.
fn fatal(status: StatusCode, answer: &[u8]) -> WitnessError {
    let text = String::from_utf8_lossy(answer);
    let line = text.lines().next().unwrap_or_default();
    let words = line.chars().filter(|letter| !letter.is_control());
    WitnessError::Fatal {
        status: status.as_u16(),
        words: words.take(200).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_decimal_and_nothing_else() {
        let table: [(&[u8], Option<u64>); 9] = [
            (b"0\n", Some(0)),
            (b"20852014\n", Some(20_852_014)),
            (b"7", Some(7)),
            (b"", None),
            (b"\n", None),
            (b"7\n\n", None),
            (b"+7\n", None),
            (b"12345678901234567890\n", None),
            (b"\xff\n", None),
        ];
        for (body, size) in table {
            assert_eq!(size_in(body), size, "{body:?}");
        }
    }

    #[test]
    fn a_url_needs_a_scheme_and_its_ca() {
        let key = jeton_tlog::CosigningKey::from_seed("w", &[7; 32]).unwrap();
        let new = |url: &str| {
            let key = key.witness().clone();
            WitnessClient::new(url, key, None, WITNESS_TIMEOUT)
        };
        let made = new("http://127.0.0.1:1/prefix/").unwrap();
        assert_eq!(made.prefix, "/prefix");
        assert_eq!(new("http://127.0.0.1:1").unwrap().prefix, "");
        for url in [
            "https://w.example",
            "http://w.example",
            "w.example",
            "ftp://127.0.0.1",
            "",
        ] {
            assert!(
                matches!(new(url).err(), Some(NetError::Url { .. })),
                "{url}"
            );
        }
    }
}
