//! Logs that a test makes and signs itself, as static files, and a server of them that does nothing else.

#![expect(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "each test file uses a part of it; what breaks here ends the test"
)]

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jeton::{mirror::Source, net::Client};
use jeton_tlog::{BundleId, Checkpoint, Policy, SigningKey, TileBuilder, encode_bundle, leaf_hash};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// The name of the logs that tests make.
pub const ORIGIN: &str = "made.example/log";

/// A log with its key, of which any size can be shown.
pub struct Made {
    pub key: SigningKey,
    pub entries: Vec<Vec<u8>>,
}

impl Made {
    pub fn of(entries: Vec<Vec<u8>>) -> Self {
        let key = SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap();
        Self { key, entries }
    }

    /// So many entries of the length of a leaf; `salt` makes them others.
    pub fn leaves(count: usize, salt: u8) -> Vec<Vec<u8>> {
        let entry = |n: usize| {
            let mut entry = vec![salt; 106];
            entry[..8].copy_from_slice(&n.to_be_bytes());
            entry
        };
        (0..count).map(entry).collect()
    }

    pub fn policy(&self) -> String {
        format!("log {}\nquorum none\n", self.key.verifier())
    }

    /// Writes the first `size` entries as a log's server has them.
    pub fn write(&self, dir: &Path, size: usize) {
        let put = |name: &str, bytes: &[u8]| {
            let path = dir.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        };
        let mut tree = TileBuilder::new();
        for entry in &self.entries[..size] {
            for tile in tree.push(leaf_hash(entry)) {
                put(&tile.id.path(), &tile.bytes);
            }
        }
        for tile in tree.partial_tiles() {
            put(&tile.id.path(), &tile.bytes);
        }
        for (index, entries) in self.entries[..size].chunks(256).enumerate() {
            let width = u16::try_from(entries.len()).unwrap();
            let id = BundleId::new(u64::try_from(index).unwrap(), width).unwrap();
            put(&id.path(), &encode_bundle(entries).unwrap());
        }
        let size = u64::try_from(size).unwrap();
        let checkpoint = Checkpoint::new(ORIGIN, size, tree.root()).unwrap();
        put("checkpoint", checkpoint.sign(&self.key).unwrap().as_bytes());
        put("policy", self.policy().as_bytes());
    }
}

/// What came with a request: its path and body.
pub type Asked = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Serves the files under a directory, and takes every POST with 204 unless it is told to refuse.
pub struct Statics {
    pub address: SocketAddr,
    pub asked: Asked,
    pub refuse: Arc<std::sync::atomic::AtomicBool>,
}

impl Statics {
    pub async fn serve(dir: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Asked::default();
        let refuse = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (dir, log, no) = (dir.to_owned(), Arc::clone(&asked), Arc::clone(&refuse));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (dir, log, no) = (dir.clone(), Arc::clone(&log), Arc::clone(&no));
                tokio::spawn(async move {
                    answer(
                        stream,
                        &dir,
                        &log,
                        no.load(std::sync::atomic::Ordering::SeqCst),
                    )
                    .await;
                });
            }
        });
        Self {
            address,
            asked,
            refuse,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn source(&self) -> Source {
        Source::http(Client::plain(&self.url()).unwrap(), "", None)
    }
}

async fn answer(mut stream: TcpStream, dir: &Path, asked: &Asked, refuse: bool) {
    let mut read = Vec::new();
    let head = loop {
        if let Some(end) = read.windows(4).position(|w| w == b"\r\n\r\n") {
            break end + 4;
        }
        let mut some = [0; 4096];
        match stream.read(&mut some).await {
            Ok(n) if n > 0 => read.extend_from_slice(&some[..n]),
            _ => return,
        }
    };
    let text = String::from_utf8_lossy(&read[..head]).to_lowercase();
    let length = text
        .lines()
        .find_map(|l| l.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |l| l.trim().parse().unwrap());
    while read.len() < head + length {
        let mut some = [0; 4096];
        let n = stream.read(&mut some).await.unwrap();
        assert!(n > 0, "the request broke off");
        read.extend_from_slice(&some[..n]);
    }
    let first = String::from_utf8_lossy(&read[..head]).into_owned();
    let mut words = first.split(' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap().to_owned());
    let (status, body) = if method == "POST" && refuse {
        ("503 No", Vec::new())
    } else if method == "POST" {
        asked.lock().unwrap().push((path, read[head..].to_vec()));
        ("204 Taken", Vec::new())
    } else {
        match file(dir, &path) {
            Some(bytes) => ("200 OK", bytes),
            None => ("404 Not Found", Vec::new()),
        }
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    drop(stream.write_all(&[head.as_bytes(), &body].concat()).await);
}

fn file(dir: &Path, path: &str) -> Option<Vec<u8>> {
    assert!(!path.contains(".."));
    let path = path.split('?').next()?;
    std::fs::read(dir.join(path.trim_start_matches('/'))).ok()
}

/// Every file under a directory, by its name there, with its bytes.
pub fn files(dir: &Path) -> std::collections::BTreeMap<PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        for entry in std::fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name = path.strip_prefix(dir).unwrap().to_owned();
                found.insert(name, std::fs::read(&path).unwrap());
            }
        }
    }
    found
}

/// What a policy's text says.
pub fn policy(text: &str) -> Policy {
    Policy::parse(text).unwrap()
}
