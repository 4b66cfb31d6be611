//! A client that costs as little as a client can, so that the server is what is measured: one thread, blocking sockets, and
//! a question always waiting on every connection but the one whose answer is being read.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use rustls::{ClientConfig, ClientConnection, StreamOwned, pki_types::ServerName};

/// How a connection is made.
#[derive(Clone)]
pub enum Via {
    Plain(SocketAddr),
    Secure(SocketAddr, Arc<ClientConfig>),
    Unix(PathBuf),
}

trait Wire: Read + Write + Send {}
impl<S: Read + Write + Send> Wire for S {}

impl Via {
    fn connect(&self) -> Box<dyn Wire> {
        let tcp = |address: &SocketAddr| {
            let stream = TcpStream::connect(address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream
        };
        match self {
            Self::Plain(address) => Box::new(tcp(address)),
            Self::Secure(address, config) => {
                let name = ServerName::try_from("127.0.0.1").unwrap();
                let session = ClientConnection::new(Arc::clone(config), name).unwrap();
                Box::new(StreamOwned::new(session, tcp(address)))
            }
            Self::Unix(path) => Box::new(UnixStream::connect(path).unwrap()),
        }
    }
}

/// One kept connection.
pub struct Connection {
    wire: Box<dyn Wire>,
    buffer: [u8; 4096],
    /// The length of the last answer: the next one is nearly always as long.
    usual: usize,
}

impl Connection {
    /// Opens it.
    pub fn new(via: &Via) -> Self {
        Self {
            wire: via.connect(),
            buffer: [0; 4096],
            usual: 0,
        }
    }

    /// Sends a request.
    pub fn ask(&mut self, request: &[u8]) {
        self.wire.write_all(request).unwrap();
    }

    /// Reads a whole answer, which must be a yes: the length of its body.
    pub fn answer(&mut self) -> usize {
        let mut filled = 0;
        loop {
            let n = self.wire.read(&mut self.buffer[filled..]).unwrap();
            let seen = &self.buffer[..filled + n];
            assert!(n > 0, "closed: {}", String::from_utf8_lossy(seen));
            assert!(
                seen.starts_with(b"HTTP/1.1 20"),
                "{}",
                String::from_utf8_lossy(seen)
            );
            filled += n;
            if filled == self.usual {
                return filled;
            }
            if let Some((whole, body)) = lengths(seen)
                && filled >= whole
            {
                assert_eq!(filled, whole, "more than an answer");
                self.usual = whole;
                return body;
            }
        }
    }
}

/// The lengths of an answer and of its body, once its head is there.
fn lengths(seen: &[u8]) -> Option<(usize, usize)> {
    let end = seen.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&seen[..end])
        .unwrap()
        .to_ascii_lowercase();
    let told = head.split("content-length: ").nth(1);
    let body = told.map_or(0, |t| t.split("\r\n").next().unwrap().parse().unwrap());
    Some((end + body, body))
}

/// Kept connections, and what they ask in turn.
pub struct Drive {
    connections: Vec<Connection>,
    requests: Arc<Vec<Vec<u8>>>,
    at: usize,
}

impl Drive {
    /// So many connections.
    pub fn new(via: &Via, connections: usize, requests: &Arc<Vec<Vec<u8>>>) -> Self {
        Self {
            connections: (0..connections).map(|_| Connection::new(via)).collect(),
            requests: Arc::clone(requests),
            at: 0,
        }
    }

    /// Each request once: what only the first use of a token costs is not what is measured.
    pub fn once_each(&mut self) {
        let waves = self.requests.chunks(self.connections.len());
        for wave in waves {
            for (connection, request) in self.connections.iter_mut().zip(wave) {
                connection.ask(request);
            }
            for (connection, _) in self.connections.iter_mut().zip(wave) {
                connection.answer();
            }
        }
    }

    /// Asks for so long, in an order without a pattern: answers, and how long it took.
    pub fn slice(&mut self, length: Duration) -> (u64, Duration) {
        let Self {
            connections,
            requests,
            at,
        } = self;
        let mut next = || {
            *at = (*at + 104_729) % requests.len();
            requests[*at].as_slice()
        };
        let (start, mut answers) = (Instant::now(), 0);
        for connection in connections.iter_mut() {
            connection.ask(next());
        }
        while start.elapsed() < length {
            for connection in connections.iter_mut() {
                connection.answer();
                connection.ask(next());
                answers += 1;
            }
        }
        for connection in connections {
            connection.answer();
            answers += 1;
        }
        (answers, start.elapsed())
    }
}
