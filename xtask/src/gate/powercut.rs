//! G1: what was acknowledged survives a power cut.
//!
//! An XFS with shared extents holds the image of an ext4, and jeton's data directory lies on that ext4. While a workload
//! issues, rotates and revokes, `cp --reflink=always` of the image takes, at once, exactly what has reached the disk: a power
//! cut. The copy is mounted (its journal replays), a fresh node starts on it, and everything that was acknowledged before the
//! copy was begun must be true. Cuts come in the middle of the first start too, and after a restart.
//!
//! `--cuts N` (6 quick, 200 full). With `--control` commits are not synced: an acknowledged operation must be lost within 25
//! cuts.

use std::{
    fs,
    hash::{BuildHasher as _, Hasher as _},
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use crate::{
    gate::lab::{Lab, bounded, example, last_line},
    install,
    options::{Control, Options},
    run,
};

/// The control must lose something within so many cuts.
const CONTROL_CUTS: u64 = 25;
/// A fresh disk after so many cuts; the workload is stopped and started again in the middle.
const ROUND: u64 = 20;
/// A start may take so long (R1).
const START_MS_MAX: u64 = 5000;
/// Problems that are told in words.
const TOLD_MAX: usize = 10;

const GIB: u64 = 1 << 30;
const XFS_BYTES: u64 = 6 * GIB;
const EXT4_BYTES: u64 = GIB;

/// Proves it.
pub(crate) fn run(options: &Options) -> anyhow::Result<Value> {
    options.only(&["quick", "control", "cuts"])?;
    let control = options.control() == Control::Off;
    let (quick, full) = if control {
        (CONTROL_CUTS, CONTROL_CUTS)
    } else {
        (6, 200)
    };
    let cuts = options.figure("cuts", quick, full)?;
    let missing = (!install::present("mkfs.xfs")).then(|| "there is no mkfs.xfs".to_owned());
    if let Some(why) = missing.or_else(install::no_mounts) {
        return Ok(json!({"pass": false, "skipped": why}));
    }
    let mut bench = Bench::set_up(control)?;
    let mut tally = Tally::default();
    let round = ROUND.min(cuts);
    for cut in 0..cuts {
        if cut % round == 0 {
            bench.fresh_disk()?;
            bench.start()?;
            tally.add(cut, &bench.cut(400)?);
            bench.ready()?;
        } else if cut % round == round / 2 {
            bench.stop()?;
            bench.start()?;
            tally.add(cut, &bench.cut(400)?);
            bench.ready()?;
        } else {
            tally.add(cut, &bench.cut(1200)?);
        }
        if control && tally.lost > 0 {
            break;
        }
    }
    bench.stop()?;
    Ok(tally.report())
}

/// The disk under test, and the workload on it.
struct Bench {
    /// Dropped before the lab is: a disk in use cannot be unmounted.
    load: Option<Load>,
    lab: Lab,
    example: PathBuf,
    durability: &'static str,
    xfs: PathBuf,
    disk: Option<PathBuf>,
    disks: u32,
}

struct Load {
    child: Child,
    told: BufReader<ChildStdout>,
}

impl Bench {
    fn set_up(control: bool) -> anyhow::Result<Self> {
        let example = example()?;
        let mut lab = Lab::set_up(XFS_BYTES + 2 * GIB)?;
        let image = lab.path("xfs.img");
        Lab::format(&image, XFS_BYTES, &["mkfs.xfs", "-q", "-m", "reflink=1"])?;
        let xfs = lab.mount(&image, "xfs")?;
        let durability = if control { "normal" } else { "full" };
        Ok(Self {
            load: None,
            lab,
            example,
            durability,
            xfs,
            disk: None,
            disks: 0,
        })
    }

    fn image(&self) -> PathBuf {
        self.xfs.join("disk.img")
    }

    /// The journal lies beside the disk, not on it.
    fn journal(&self) -> PathBuf {
        self.lab.path(&format!("journal-{}", self.disks))
    }

    fn fresh_disk(&mut self) -> anyhow::Result<()> {
        self.stop()?;
        if let Some(disk) = self.disk.take() {
            self.lab.unmount(&disk)?;
            fs::remove_file(self.image())?;
            fs::remove_file(self.journal())?;
        }
        self.disks += 1;
        Lab::format(&self.image(), EXT4_BYTES, &["mkfs.ext4", "-q", "-F"])?;
        self.disk = Some(self.lab.mount(&self.image(), "disk")?);
        Ok(())
    }

    /// Starts the workload, and does not wait for it.
    fn start(&mut self) -> anyhow::Result<()> {
        let data = self.disk.as_ref().context("no disk")?.join("data");
        // The workload ends when its standard input does; the time limit is for one that hangs.
        let mut command = run::command("timeout", &["--kill-after=5", "1800"]);
        command.arg(&self.example).arg("load");
        command.arg("--data").arg(data);
        command.arg("--journal").arg(self.journal());
        command.args(["--durability", self.durability]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting the workload")?;
        let told = child.stdout.take().context("no standard output")?;
        let told = BufReader::new(told);
        self.load = Some(Load { child, told });
        Ok(())
    }

    /// Waits until the workload runs.
    fn ready(&mut self) -> anyhow::Result<()> {
        let load = self.load.as_mut().context("no workload")?;
        let mut line = String::new();
        load.told.read_line(&mut line).context("the workload")?;
        ensure!(line.trim() == "ready", "the workload said {line:?}");
        Ok(())
    }

    /// Stops the workload as an operator would.
    fn stop(&mut self) -> anyhow::Result<()> {
        let Some(mut load) = self.load.take() else {
            return Ok(());
        };
        drop(load.child.stdin.take());
        let status = load.child.wait().context("stopping the workload")?;
        ensure!(status.success(), "the workload ended with {status}");
        Ok(())
    }

    /// Cuts the power at a random moment, and audits what is left.
    fn cut(&mut self, within_ms: u64) -> anyhow::Result<Value> {
        pause(Duration::from_millis(random() % within_ms));
        let clone = self.xfs.join("cut.img");
        // Read before the copy is begun: what is acknowledged after this line may be lost, for all the audit knows.
        let bytes = fs::metadata(self.journal()).map_or(0, |m| m.len());
        run::output(
            bounded("cp")
                .arg("--reflink=always")
                .args([&self.image(), &clone]),
        )?;
        let at = self.lab.mount(&clone, "cut")?;
        let report = self.audit(&at.join("data"), bytes);
        self.lab.unmount(&at)?;
        fs::remove_file(&clone)?;
        report
    }

    fn audit(&self, data: &Path, bytes: u64) -> anyhow::Result<Value> {
        let mut audit: Command = run::command("timeout", &["--kill-after=5", "120"]);
        audit.arg(&self.example).arg("audit");
        audit.arg("--data").arg(data);
        audit.arg("--journal").arg(self.journal());
        audit.args(["--bytes", &bytes.to_string()]);
        last_line(&run::output(&mut audit)?)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if let Some(mut load) = self.load.take() {
            // It was not stopped, so something went wrong: its disk must be let go all the same.
            drop(load.child.stdin.take());
            drop(load.child.wait());
        }
    }
}

/// What all cuts came to.
#[derive(Default)]
struct Tally {
    cuts: u64,
    acknowledged: u64,
    lost: u64,
    cuts_with_loss: u64,
    findings: u64,
    starts_ms: Vec<u64>,
    events_max: u64,
    from_snapshot: u64,
    problems: Vec<String>,
}

impl Tally {
    fn add(&mut self, cut: u64, report: &Value) {
        let figure = |name: &str| report.get(name).and_then(Value::as_u64).unwrap_or(0);
        let entries = |name: &str| {
            report
                .get(name)
                .and_then(Value::as_array)
                .map_or(0, Vec::len)
        };
        let lost = figure("lost");
        self.cuts += 1;
        self.acknowledged += figure("acknowledged");
        self.lost += lost;
        self.cuts_with_loss += u64::from(lost > 0);
        self.findings += u64::try_from(entries("findings")).unwrap_or(u64::MAX);
        self.events_max = self.events_max.max(figure("events"));
        self.from_snapshot += u64::from(figure("from_snapshot") > 0);
        let started = report.get("started") == Some(&Value::Bool(true));
        if started {
            self.starts_ms.push(figure("start_ms"));
        }
        let goes_on = report.get("goes_on").and_then(Value::as_str) == Some("yes");
        if lost > 0 || entries("findings") > 0 || !started || !goes_on {
            self.problems.push(format!("cut {cut}: {report}"));
        }
        println!("cut {cut}: {report}");
    }

    fn report(mut self) -> Value {
        self.starts_ms.sort_unstable();
        let start_ms_max = self.starts_ms.last().copied().unwrap_or(0);
        let median = self.starts_ms.get(self.starts_ms.len() / 2);
        let pass = self.problems.is_empty()
            && self.lost == 0
            && self.acknowledged > 0
            && start_ms_max <= START_MS_MAX;
        self.problems.truncate(TOLD_MAX);
        json!({
            "pass": pass,
            "cuts": self.cuts,
            "acknowledged_audited": self.acknowledged,
            "lost": self.lost,
            "cuts_with_loss": self.cuts_with_loss,
            "findings": self.findings,
            "start_ms_median": median,
            "start_ms_max": start_ms_max,
            "events_max": self.events_max,
            "starts_from_snapshot": self.from_snapshot,
            "problems": self.problems,
        })
    }
}

fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a power cut comes at a random moment; nothing is waited for"
)]
fn pause(span: Duration) {
    std::thread::sleep(span);
}
