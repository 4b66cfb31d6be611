//! A home of its own for the command line, and a server that the real binary runs.

#![expect(unreachable_pub, reason = "a part of one test")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Mutex,
};

use serde_json::Value;

const BIN: &str = env!("CARGO_BIN_EXE_jeton");

/// A home of its own, and every argument that was ever given in it.
pub struct Shell {
    pub dir: tempfile::TempDir,
    pub said: Mutex<Vec<String>>,
}

pub struct Done {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.status, 0, "{}\n{}", self.stdout, self.stderr);
        self
    }

    #[track_caller]
    pub fn fails(self, status: i32, says: &str) -> Self {
        assert_eq!(self.status, status, "{}\n{}", self.stdout, self.stderr);
        let all = format!("{}\n{}", self.stdout, self.stderr);
        assert!(all.contains(says), "{says:?} is not in:\n{all}");
        self
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {}", self.stdout))
    }

    #[track_caller]
    pub fn text(&self, pointer: &str) -> String {
        let json = self.json();
        let found = json.pointer(pointer).and_then(Value::as_str);
        found
            .unwrap_or_else(|| panic!("no {pointer} in {json}"))
            .to_owned()
    }
}

impl Shell {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
            said: Mutex::default(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut said = self.said.lock().unwrap();
        said.extend(args.iter().map(|a| (*a).to_owned()));
        let mut command = Command::new(BIN);
        command
            .args(args)
            .current_dir(self.dir.path())
            .env_clear()
            .env("HOME", self.dir.path());
        command
    }

    pub fn run_with(&self, args: &[&str], input: &str) -> Done {
        let mut command = self.command(args);
        command.stdin(Stdio::piped());
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // A command that never reads its input closes it early.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let out = child.wait_with_output().unwrap();
        Done {
            status: out.status.code().unwrap_or(-1),
            stdout: String::from_utf8(out.stdout).unwrap(),
            stderr: String::from_utf8(out.stderr).unwrap(),
        }
    }

    pub fn run(&self, args: &[&str]) -> Done {
        self.run_with(args, "")
    }

    pub fn json(&self, args: &[&str]) -> Done {
        let args: Vec<&str> = ["--json"].into_iter().chain(args.iter().copied()).collect();
        self.run(&args).ok()
    }

    pub fn credentials(&self) -> PathBuf {
        self.path(".config/jeton/credentials.toml")
    }
}

pub struct Server {
    pub child: Child,
    pub address: String,
    pub ca: String,
    pub log: PathBuf,
}

impl Server {
    pub fn start(shell: &Shell) -> Self {
        let log = shell.path("log");
        let err = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let args = [
            "--json",
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--data-dir",
            "data",
            "--log-filter",
            "trace",
        ];
        let mut command = shell.command(&args);
        let command = command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.stderr(err).spawn().unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line)
            .unwrap_or_else(|e| panic!("{e}: {line}{}", fs::read_to_string(&log).unwrap()));
        let text = |name: &str| started[name].as_str().unwrap_or_default().to_owned();
        assert!(!text("address").ends_with(":0"), "the real port is told");
        Self {
            address: text("address"),
            ca: text("ca"),
            child,
            log,
        }
    }

    /// What everybody on the machine can see of it.
    pub fn visible(&self) -> String {
        let proc = PathBuf::from(format!("/proc/{}", self.child.id()));
        let read = |name: &str| fs::read(proc.join(name)).unwrap_or_default();
        let both = [read("cmdline"), read("environ")].concat();
        String::from_utf8_lossy(&both).into_owned()
    }

    pub fn stop(mut self) -> String {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        assert!(self.child.wait().unwrap().success(), "it stops well");
        fs::read_to_string(&self.log).unwrap()
    }
}

pub fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}
