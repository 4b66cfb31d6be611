//! Binding a door: TLS over TCP, a unix socket, or plain TCP that nobody outside can reach.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::NetError;
use super::unix::{self, SocketFile};

/// A bound door that is not yet served; connections to it wait.
pub struct Listener {
    name: Arc<str>,
    door: Door,
}

enum Door {
    Tls(TcpListener, TlsAcceptor),
    Plain(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// A connection as it came in.
pub(super) enum Arrival {
    Tls(TcpStream, SocketAddr, TlsAcceptor),
    Plain(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Arrival {
    /// The address that its seat is counted under; none for this machine's own.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Tls(_, address, _) | Self::Plain(_, address) => Some(address.ip()),
            Self::Unix(_) => None,
        }
    }
}

impl Listener {
    /// TLS over TCP. `name` tells the service which door a request came through.
    ///
    /// # Errors
    /// [`NetError::Bind`].
    pub async fn tls(
        name: &str,
        address: SocketAddr,
        config: Arc<ServerConfig>,
    ) -> Result<Self, NetError> {
        let door = Door::Tls(bind_tcp(address).await?, TlsAcceptor::from(config));
        Ok(Self {
            name: name.into(),
            door,
        })
    }

    /// Plain HTTP over TCP, on a loopback address only.
    ///
    /// # Errors
    /// [`NetError::PlainOffLoopback`] for any other address, `0.0.0.0` and `::` among them;
    /// [`NetError::Bind`].
    pub async fn plain(name: &str, address: SocketAddr) -> Result<Self, NetError> {
        if !address.ip().to_canonical().is_loopback() {
            return Err(NetError::PlainOffLoopback { address });
        }
        Ok(Self {
            name: name.into(),
            door: Door::Plain(bind_tcp(address).await?),
        })
    }

    /// A unix socket at `path` with the permission bits `mode` (`0o600` to `0o666`).
    ///
    /// The file of a dead listener is replaced; it is removed when this listener is dropped.
    ///
    /// # Errors
    /// [`NetError::SocketInUse`], [`NetError::NotASocket`], [`NetError::SocketMode`],
    /// [`NetError::Bind`].
    pub async fn unix(name: &str, path: &Path, mode: u32) -> Result<Self, NetError> {
        let (listener, file) = unix::bind(path, mode).await?;
        Ok(Self {
            name: name.into(),
            door: Door::Unix(listener, file),
        })
    }

    /// The name that was given.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Where it listens: the port is the real one if 0 was asked for. `None` for a unix socket.
    #[must_use]
    pub fn local_address(&self) -> Option<SocketAddr> {
        match &self.door {
            Door::Tls(listener, _) | Door::Plain(listener) => listener.local_addr().ok(),
            Door::Unix(..) => None,
        }
    }

    /// The socket file, if this is a unix socket.
    #[must_use]
    pub fn socket_path(&self) -> Option<&Path> {
        match &self.door {
            Door::Unix(_, file) => Some(&file.path),
            Door::Tls(..) | Door::Plain(_) => None,
        }
    }

    /// The next connection. Dropping the future loses none.
    pub(super) async fn accept(&self) -> std::io::Result<Arrival> {
        match &self.door {
            Door::Tls(listener, acceptor) => {
                let (stream, address) = listener.accept().await?;
                Ok(Arrival::Tls(stream, address, acceptor.clone()))
            }
            Door::Plain(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok(Arrival::Plain(stream, address))
            }
            Door::Unix(listener, _) => Ok(Arrival::Unix(listener.accept().await?.0)),
        }
    }
}

async fn bind_tcp(address: SocketAddr) -> Result<TcpListener, NetError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| NetError::Bind {
            address: address.to_string(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn plain_http_is_refused_wherever_another_machine_could_reach_it() {
        for text in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
            let refused = Listener::plain("plain", text.parse().unwrap())
                .await
                .err()
                .unwrap();
            assert!(
                matches!(refused, NetError::PlainOffLoopback { .. }),
                "{text}"
            );
            assert!(
                refused.to_string().contains("only a loopback address"),
                "{refused}"
            );
        }
        let allowed = Listener::plain("plain", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        assert_ne!(allowed.local_address().unwrap().port(), 0);
    }

    #[tokio::test]
    async fn an_address_that_is_taken_is_named() {
        let first = Listener::plain("plain", "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let address = first.local_address().unwrap();
        let second = Listener::plain("plain", address).await.err().unwrap();
        assert_eq!(second.to_string(), format!("binding {address} failed"));
    }
}
