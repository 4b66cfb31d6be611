//! A log that can lie, and witnesses that run for real.

#![expect(unreachable_pub, reason = "a part of one test")]

use std::path::{Path, PathBuf};

use bytes::Bytes;
use http::{HeaderMap, Method};
use jeton::{
    config::Config,
    net::{Client, Roots},
    node::witness::{WITNESS_TIMEOUT, WitnessClient},
    witness::{self, Running, Settings},
};
use jeton_tlog::{
    AddCheckpoint, Checkpoint, Frontier, Hash, SigningKey, TileBuilder, TileSpan, VerifierKey,
    WitnessKey, leaf_hash, prove_consistency,
};

pub const ORIGIN: &str = "log.example";

/// A log of up to 255 leaves whose history after `fork` is another one.
#[derive(Clone, Copy)]
pub struct Log {
    pub fork: u64,
}

/// The history that is told first.
pub const TRUE: Log = Log { fork: u64::MAX };

impl Log {
    pub fn key() -> SigningKey {
        SigningKey::from_seed(ORIGIN, &[7; 32]).unwrap()
    }

    fn leaves(self, size: u64) -> impl Iterator<Item = Hash> {
        (0..size).map(move |leaf| leaf_hash(format!("{leaf} {}", leaf >= self.fork).as_bytes()))
    }

    pub fn checkpoint(self, size: u64) -> Checkpoint {
        let mut frontier = Frontier::new();
        self.leaves(size).for_each(|leaf| frontier.push(leaf));
        Checkpoint::new(ORIGIN, size, frontier.root()).unwrap()
    }

    pub fn note(self, size: u64) -> String {
        self.checkpoint(size).sign(&Self::key()).unwrap()
    }

    pub fn proof(self, old: u64, size: u64) -> Vec<Hash> {
        assert!(size < 256, "one tile");
        let mut builder = TileBuilder::new();
        self.leaves(size).for_each(|leaf| drop(builder.push(leaf)));
        let read = |level, index| {
            let span = TileSpan::of_node(level, index, size)?;
            let tile = builder.partial(span.tile().level()).iter();
            let bytes: Vec<u8> = tile.flat_map(|hash| *hash.as_bytes()).collect();
            span.hash(&bytes).ok()
        };
        prove_consistency(old, size, read).unwrap()
    }

    pub fn request(self, old: u64, size: u64) -> String {
        let proof = self.proof(old, size);
        let request = AddCheckpoint::new(old, proof, self.note(size));
        request.unwrap().to_string()
    }
}

/// A witness in a directory of its own.
pub struct Home {
    pub dir: tempfile::TempDir,
    pub name: String,
}

impl Home {
    pub fn new(name: &str) -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            name: name.to_owned(),
        }
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    pub async fn start(&self) -> Witness {
        self.start_for(vec![Log::key().verifier().clone()]).await
    }

    /// Of other logs than the usual one.
    pub async fn start_for(&self, logs: Vec<VerifierKey>) -> Witness {
        let config = Config {
            data_dir: self.data(),
            listen: "127.0.0.1:0".to_owned(),
            ..Config::default()
        };
        let settings = Settings {
            config,
            name: self.name.clone(),
            logs,
        };
        let running = witness::start(settings).await.unwrap();
        Witness { running }
    }
}

/// One that runs.
pub struct Witness {
    pub running: Running,
}

impl Witness {
    pub fn url(&self) -> String {
        format!("https://{}", self.running.address)
    }

    pub fn key(&self) -> WitnessKey {
        self.running.key.clone()
    }

    fn ca(&self) -> &Path {
        self.running.ca_pem.as_deref().unwrap()
    }

    pub fn client(&self) -> WitnessClient {
        client(&self.url(), self.key(), self.ca())
    }

    /// The status, the type and the text of an answer.
    pub async fn ask(&self, method: Method, path: &str, body: &str) -> (u16, String, String) {
        let client = Client::https(&self.url(), Roots::File(self.ca())).unwrap();
        let body = Bytes::from(body.to_owned());
        let answer = client.send(method, path, HeaderMap::new(), body).await;
        let (status, headers, body) = answer.unwrap();
        let kind = headers["content-type"].to_str().unwrap().to_owned();
        let text = String::from_utf8(body.to_vec()).unwrap();
        (status.as_u16(), kind, text)
    }

    pub async fn add(&self, request: &str) -> (u16, String, String) {
        self.ask(Method::POST, "/add-checkpoint", request).await
    }
}

pub fn client(url: &str, key: WitnessKey, ca: &Path) -> WitnessClient {
    WitnessClient::new(url, key, Some(ca), WITNESS_TIMEOUT).unwrap()
}
