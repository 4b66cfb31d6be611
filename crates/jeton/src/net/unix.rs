//! The socket file: made with its mode before anybody can connect, and replaced only if dead.

use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::{UnixListener, UnixSocket, UnixStream};

use super::NetError;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// A listener that does not take a connection for this long is busy, not dead.
const PROBE: Duration = Duration::from_secs(2);

/// The file of a bound socket; removed on drop if it is still the one that was made.
pub(super) struct SocketFile {
    pub(super) path: PathBuf,
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity_of(&self.path).is_ok_and(|identity| identity == self.identity) {
            // A file that stays is found dead and replaced at the next start.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// Binds `path` with `mode`. The file appears under its name when it already listens.
pub(super) async fn bind(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), NetError> {
    if !(0o001..=0o777).contains(&mode) {
        return Err(NetError::SocketMode { mode });
    }
    let bind_error = |source| NetError::Bind {
        address: path.display().to_string(),
        source,
    };
    refuse_living(path).await?;

    let mut draft = path.as_os_str().to_owned();
    draft.push(".new");
    let draft = PathBuf::from(draft);
    match std::fs::remove_file(&draft) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(bind_error(error)),
        Ok(()) | Err(_) => {}
    }
    let socket = UnixSocket::new_stream().map_err(bind_error)?;
    socket.bind(&draft).map_err(bind_error)?;
    // Until `listen` every connection is refused, so the mode is in force before the first one.
    let bound = std::fs::set_permissions(&draft, PermissionsExt::from_mode(mode))
        .and_then(|()| socket.listen(BACKLOG))
        .and_then(|listener| Ok((listener, identity_of(&draft)?)))
        .and_then(|bound| std::fs::rename(&draft, path).map(|()| bound));
    match bound {
        Ok((listener, identity)) => Ok((
            listener,
            SocketFile {
                path: path.to_owned(),
                identity,
            },
        )),
        Err(source) => {
            std::fs::remove_file(&draft).ok();
            Err(bind_error(source))
        }
    }
}

/// Refuses a path at which somebody listens, or which is not a socket at all.
async fn refuse_living(path: &Path) -> Result<(), NetError> {
    let metadata = match std::fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(source) => {
            return Err(NetError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    if !metadata.file_type().is_socket() {
        return Err(NetError::NotASocket {
            path: path.to_owned(),
        });
    }
    match tokio::time::timeout(PROBE, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Ok(Err(error)) if error.kind() == ErrorKind::NotFound => Ok(()),
        // Connected, or too busy to be, or not ours to know: in each case somebody may be there.
        Ok(Ok(_) | Err(_)) | Err(_) => Err(NetError::SocketInUse {
            path: path.to_owned(),
        }),
    }
}

fn identity_of(path: &Path) -> std::io::Result<(u64, u64)> {
    std::fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_living_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jeton.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "the file outlives its listener");
        let (listener, file) = bind(&path, 0o660).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o660);
        let second = bind(&path, 0o660).await.err().unwrap();
        assert!(matches!(second, NetError::SocketInUse { .. }), "{second:?}");
        let accepted = listener.accept().await;
        assert!(accepted.is_ok(), "the probe of the second");
        drop(file);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jeton.sock");
        std::fs::write(&path, "mine").unwrap();
        assert!(matches!(
            bind(&path, 0o600).await,
            Err(NetError::NotASocket { .. })
        ));
        assert_eq!(std::fs::read(&path).unwrap(), b"mine");
        for mode in [0, 0o1777] {
            let refused = bind(&dir.path().join("other.sock"), mode).await;
            assert!(
                matches!(refused, Err(NetError::SocketMode { .. })),
                "{mode:o}"
            );
        }
    }

    #[tokio::test]
    async fn only_the_file_that_was_made_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("jeton.sock");
        let (_listener, file) = bind(&path, 0o600).await.unwrap();
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "of another").unwrap();
        drop(file);
        assert!(path.exists());
    }
}
