//! The commands of backups, as people run them, and those who may open what they make.

#![expect(unreachable_pub, reason = "two test files share it")]

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use age::secrecy::ExposeSecret as _;
use serde_json::Value;

const BIN: &str = env!("CARGO_BIN_EXE_jeton");

/// Somebody who may open backups.
pub struct Vault {
    pub dir: tempfile::TempDir,
    pub recipient: String,
    pub identity: String,
}

/// How a command ended.
pub struct Done {
    pub status: i32,
    pub out: Vec<u8>,
    pub err: String,
}

impl Done {
    #[track_caller]
    pub fn ok(self) -> Value {
        self.ends(0)
    }

    /// The JSON of a command that ended so.
    #[track_caller]
    pub fn ends(self, status: i32) -> Value {
        let out = String::from_utf8_lossy(&self.out).into_owned();
        assert_eq!(self.status, status, "{out}\n{}", self.err);
        serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}\n{}", self.err))
    }

    #[track_caller]
    pub fn fails(&self, status: i32, says: &str) {
        let out = String::from_utf8_lossy(&self.out);
        assert_eq!(self.status, status, "{out}\n{}", self.err);
        assert!(self.err.contains(says), "{says:?} is not in {}", self.err);
    }
}

/// Runs a command to its end.
pub fn jeton(args: &[&str]) -> Done {
    let ended = Command::new(BIN).arg("--json").args(args).output().unwrap();
    Done {
        status: ended.status.code().unwrap_or(-1),
        out: ended.stdout,
        err: String::from_utf8_lossy(&ended.stderr).into_owned(),
    }
}

/// A path as an argument.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Writes a file of a mode.
pub fn write_mode(path: &Path, mode: u32, text: &str) {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

impl Vault {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let identity = age::x25519::Identity::generate();
        let path = dir.path().join("identity");
        write_mode(
            &path,
            0o600,
            &format!("# ours\n{}\n", identity.to_string().expose_secret()),
        );
        Self {
            recipient: identity.to_public().to_string(),
            identity: text(&path).to_owned(),
            dir,
        }
    }

    /// A path for a backup.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Takes a backup of a data directory.
    #[track_caller]
    pub fn create(&self, data: &Path, name: &str, more: &[&str]) -> Value {
        let to = self.path(name);
        let args = [
            "backup",
            "create",
            "--data-dir",
            text(data),
            "--to",
            text(&to),
        ];
        let args = [&args[..], &["--recipient", &self.recipient], more].concat();
        jeton(&args).ok()
    }

    pub fn verify(&self, name: &str) -> Done {
        self.of("verify", name, &[])
    }

    pub fn restore(&self, name: &str, data: &Path, more: &[&str]) -> Done {
        self.of(
            "restore",
            name,
            &[&["--data-dir", text(data)], more].concat(),
        )
    }

    pub fn drill(&self, name: &str, more: &[&str]) -> Done {
        let within = text(self.dir.path());
        self.of("drill", name, &[&["--within", within], more].concat())
    }

    fn of(&self, command: &str, name: &str, more: &[&str]) -> Done {
        let file = self.path(name);
        let args = ["backup", command, text(&file), "--identity", &self.identity];
        jeton(&[&args[..], more].concat())
    }

    /// Opens a backup as any tool for age would.
    pub fn open(&self, name: &str) -> Vec<u8> {
        use std::io::Read as _;
        let identity: age::x25519::Identity = fs::read_to_string(&self.identity)
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let sealed = fs::read(self.path(name)).unwrap();
        let sealed = age::Decryptor::new(&sealed[..]).unwrap();
        let identity: &dyn age::Identity = &identity;
        let mut opened = Vec::new();
        let mut stream = sealed.decrypt(std::iter::once(identity)).unwrap();
        stream.read_to_end(&mut opened).unwrap();
        opened
    }

    /// Seals bytes as anybody can who knows the recipient.
    pub fn seal(&self, name: &str, bytes: &[u8]) {
        let recipient: age::x25519::Recipient = self.recipient.parse().unwrap();
        let recipient: &dyn age::Recipient = &recipient;
        let sealing = age::Encryptor::with_recipients(std::iter::once(recipient)).unwrap();
        let mut sealing = sealing.wrap_output(Vec::new()).unwrap();
        sealing.write_all(bytes).unwrap();
        fs::write(self.path(name), sealing.finish().unwrap()).unwrap();
    }
}

/// Every row of every table of a store, but the name of the last batch.
pub fn rows(store: &Path) -> Vec<(String, Vec<String>)> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let db = rusqlite::Connection::open_with_flags(store, flags).unwrap();
    let tables = [
        ("event", "*"),
        ("head", "one, size, frontier"),
        ("tile", "*"),
        ("checkpoint", "*"),
        ("trail", "*"),
        ("token", "*"),
        ("entity", "*"),
        ("last_use", "*"),
    ];
    let read = |(table, columns): (&str, &str)| {
        let sql = format!("SELECT {columns} FROM {table} ORDER BY 1, 2");
        let mut statement = db.prepare(&sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| {
            let cells = (0..columns).map(|at| row.get::<_, rusqlite::types::Value>(at));
            let cells: Result<Vec<_>, _> = cells.collect();
            Ok(format!("{:?}", cells?))
        });
        let rows = rows.unwrap().map(Result::unwrap).collect();
        (table.to_owned(), rows)
    };
    tables.map(read).to_vec()
}

/// That two stores hold the same, or the first row that only one of them holds.
#[track_caller]
pub fn same(one: &[(String, Vec<String>)], other: &[(String, Vec<String>)]) {
    for ((table, one), (_, other)) in one.iter().zip(other) {
        for (only, all) in [(one, other), (other, one)] {
            let lost = only.iter().find(|row| !all.contains(row));
            assert_eq!(lost, None, "{table}: {} and {}", one.len(), other.len());
        }
        assert_eq!(one.len(), other.len(), "{table}");
    }
}
