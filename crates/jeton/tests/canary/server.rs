//! The real binary in a process of its own, everything that it says kept.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    time::Duration,
};

use jeton::net::{Client, Roots};
use serde_json::Value;

/// `jeton serve`, at trace level.
pub(crate) struct Server {
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) socket: PathBuf,
    out: PathBuf,
    child: Child,
    pub(crate) client: Client,
}

fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jeton"));
    command.args(["--json", "serve", "--listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(dir.join("data"));
    command.arg("--unix-socket").arg(dir.join("jeton.sock"));
    command.arg("--kek-file").arg(dir.join("kek/key"));
    command.env("JETON_LOG_FILTER", "trace");
    command.env("RUST_BACKTRACE", "full");
    command
}

impl Server {
    /// Starts it on a directory; `n` tells its logs from those of other starts.
    pub(crate) async fn start(dir: &Path, n: u32) -> Self {
        let (log, out) = (
            dir.join(format!("log/{n}.err")),
            dir.join(format!("log/{n}.out")),
        );
        fs::create_dir_all(dir.join("log")).unwrap();
        fs::create_dir_all(dir.join("kek")).unwrap();
        let mut child = command(dir)
            .stdout(fs::File::create(&out).unwrap())
            .stderr(fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let told: Value = loop {
            tick.tick().await;
            let text = fs::read_to_string(&out).unwrap();
            if text.ends_with('\n') {
                break serde_json::from_str(&text).unwrap();
            }
            if let Some(status) = child.try_wait().unwrap() {
                let said = fs::read_to_string(&log).unwrap();
                let tail = said.len().saturating_sub(2000);
                panic!(
                    "it ended with {status}: {}",
                    said.get(tail..).unwrap_or(&said)
                );
            }
        };
        let text = |name: &str| told[name].as_str().unwrap().to_owned();
        let ca = PathBuf::from(text("ca"));
        let client = Client::https(&text("address"), Roots::File(&ca)).unwrap();
        Self {
            dir: dir.to_owned(),
            log,
            socket: dir.join("jeton.sock"),
            out,
            child,
            client,
        }
    }

    /// What the kernel tells about its process to everybody of the same user.
    pub(crate) fn proc(&self) -> Vec<u8> {
        let id = self.child.id();
        let mut out = fs::read(format!("/proc/{id}/cmdline")).unwrap();
        out.extend(fs::read(format!("/proc/{id}/environ")).unwrap());
        assert!(out.windows(5).any(|w| w == b"serve"));
        out
    }

    /// Stops it by a signal and waits for its end.
    pub(crate) async fn stop(mut self) -> (PathBuf, PathBuf) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
        let mut tick = tokio::time::interval(Duration::from_millis(20));
        let status: ExitStatus = loop {
            tick.tick().await;
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
        };
        assert!(status.success(), "{status}");
        (self.log.clone(), self.out.clone())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Runs `jeton serve` on a directory where it must refuse to: what it says.
pub(crate) async fn must_not_start(dir: &Path) -> String {
    let mut command = command(dir);
    let ended =
        tokio::task::spawn_blocking(move || command.env("JETON_LOG_FILTER", "info").output());
    let ended = tokio::time::timeout(Duration::from_secs(30), ended).await;
    let ended = ended.expect("it started").unwrap().unwrap();
    assert!(!ended.status.success());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&ended.stdout) + &text(&ended.stderr)
}
