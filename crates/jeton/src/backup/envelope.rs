//! The envelope: an age stream (age-encryption.org/v1), so that a backup can be opened with tools that are not ours.
//!
//! age authenticates each 64 KiB with the key of the file, and marks the last of them: what was changed or cut off is seen. It
//! does not say *who* made a file, since everybody may know a recipient; that the events are ours is what the log's signature says.

use std::{
    fs,
    io::{BufReader, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use age::{
    DecryptError, Decryptor, Encryptor, Identity, IdentityFile, Recipient, stream::StreamReader,
    stream::StreamWriter, x25519,
};

use crate::backup::error::BackupError;

/// The most recipients of one backup.
pub const RECIPIENTS_MAX: usize = 64;
/// The most bytes of a file of recipients or identities.
const KEYS_BYTES_MAX: u64 = 1 << 20;

/// For whom backups are made.
pub struct Recipients(Vec<x25519::Recipient>);

impl Recipients {
    /// Reads recipients, one in each text.
    ///
    /// # Errors
    /// [`BackupError::Recipient`] for a text that is none, or one beyond [`RECIPIENTS_MAX`].
    pub fn parse<'a>(texts: impl Iterator<Item = &'a str>) -> Result<Self, BackupError> {
        let mut read = Vec::new();
        for text in texts {
            let parsed = text.parse().ok().filter(|_| read.len() < RECIPIENTS_MAX);
            read.push(parsed.ok_or_else(|| BackupError::Recipient(text.to_owned()))?);
        }
        Ok(Self(read))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Begins a stream that only they can read.
    ///
    /// # Errors
    /// [`BackupError::Stream`] from whatever takes it; [`BackupError::Recipient`] if there is nobody to read it.
    pub fn seal<W: Write>(&self, out: W) -> Result<StreamWriter<W>, BackupError> {
        let recipients = self.0.iter().map(|r| {
            let recipient: &dyn Recipient = r;
            recipient
        });
        let sealing = Encryptor::with_recipients(recipients)
            .map_err(|error| BackupError::Recipient(error.to_string()))?;
        sealing
            .wrap_output(out)
            .map_err(|source| BackupError::Stream {
                doing: "begin",
                source,
            })
    }
}

/// The lines of a file of recipients: without comments and empty ones.
///
/// # Errors
/// [`BackupError::File`], also if it has more than a megabyte.
pub fn recipient_lines(path: &Path) -> Result<Vec<String>, BackupError> {
    let file = fs::File::open(path).map_err(BackupError::file("read", path))?;
    let text = bounded(file).map_err(BackupError::file("read", path))?;
    let lines = text.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(lines.map(str::to_owned).collect())
}

fn bounded(file: fs::File) -> std::io::Result<String> {
    let mut text = String::new();
    file.take(KEYS_BYTES_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).is_ok_and(|len| len > KEYS_BYTES_MAX) {
        return Err(std::io::ErrorKind::FileTooLarge.into());
    }
    Ok(text)
}

/// Who may open a backup.
pub struct Identities(Vec<Box<dyn Identity + Send + Sync>>);

impl Identities {
    /// Reads a file of identities, as `age-keygen` writes it. One that others can read is refused.
    ///
    /// # Errors
    /// [`BackupError::File`], [`BackupError::Open`].
    pub fn read(path: &Path) -> Result<Self, BackupError> {
        let doing = "read identities from";
        let file = fs::File::open(path).map_err(BackupError::file(doing, path))?;
        let metadata = file.metadata().map_err(BackupError::file(doing, path))?;
        // A pipe (`<(…)`) has no owner who could be careless.
        if metadata.is_file() && metadata.permissions().mode().trailing_zeros() < 6 {
            return Err(BackupError::Open(path.to_owned()));
        }
        let lines = BufReader::new(file.take(KEYS_BYTES_MAX));
        let read = IdentityFile::from_buffer(lines).map_err(BackupError::file(doing, path))?;
        let read = read.into_identities();
        let read = read.map_err(|e| BackupError::file(doing, path)(std::io::Error::other(e)))?;
        Ok(Self(read))
    }

    /// Opens a stream.
    ///
    /// # Errors
    /// [`BackupError::NoIdentity`], [`BackupError::NotOurs`], [`BackupError::Damaged`], [`BackupError::Stream`].
    pub fn open<R: Read>(&self, from: R) -> Result<StreamReader<R>, BackupError> {
        let opened = Decryptor::new(from).and_then(|sealed| {
            sealed.decrypt(self.0.iter().map(|i| {
                let identity: &dyn Identity = &**i;
                identity
            }))
        });
        opened.map_err(|error| match error {
            DecryptError::NoMatchingKeys | DecryptError::KeyDecryptionFailed => {
                BackupError::NoIdentity
            }
            DecryptError::ExcessiveWork { .. } => {
                BackupError::NotOurs("it is sealed with a passphrase")
            }
            DecryptError::InvalidHeader | DecryptError::UnknownFormat => {
                BackupError::NotOurs("it is no age file")
            }
            DecryptError::DecryptionFailed | DecryptError::InvalidMac => BackupError::Damaged {
                events: 0,
                what: "its envelope was changed".to_owned(),
            },
            DecryptError::Io(source) => BackupError::Stream {
                doing: "read",
                source,
            },
            _ => BackupError::NotOurs("its envelope is of a newer age"),
        })
    }
}
