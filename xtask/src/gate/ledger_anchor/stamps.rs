//! OpenTimestamps: our proofs read by the reference implementation, and its proofs by us.

use std::process::Command;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{Bench, Ran, STAMPS_PY, Served};
use crate::{options::Control, run};

impl Bench {
    /// Proofs of OpenTimestamps, both ways.
    pub(super) fn stamps(&mut self) -> anyhow::Result<Value> {
        let theirs = self.path("theirs.ots");
        let header = self
            .python(&["stamp", &self.path("7"), &theirs])?
            .context("the reference made no proof")?;
        let header = header.trim().to_owned();
        let read = self.judged("7", &theirs, &header)?;
        self.expect("stamp: a proof of the reference is verified", read.yes);
        self.wrong(&theirs, "7", &header)?;
        let headers = self.path("headers");
        let mut serve = Command::new(&self.python);
        serve
            .arg(run::root().join(STAMPS_PY))
            .args(["calendar", &headers]);
        let calendar = Served::start(&mut serve, |line| {
            line.starts_with("http").then(|| line.to_owned())
        })?;
        let (checkpoint, ours) = (self.path("20"), self.path("ours.ots"));
        let url = calendar.told.as_str();
        let stamped = self.jeton(&[
            "anchor",
            "ots",
            "stamp",
            &checkpoint,
            "--calendar",
            url,
            "-o",
            &ours,
        ])?;
        self.expect("stamp: a calendar promises", stamped.yes);
        let pending = self.judged("20", &ours, &header)?;
        self.expect(
            "stamp: a promise is no proof",
            !pending.yes && pending.fault.contains("in no block yet"),
        );
        let other = self.jeton(&[
            "anchor",
            "ots",
            "upgrade",
            &ours,
            "--calendar",
            "http://127.0.0.1:1",
        ])?;
        self.expect(
            "upgrade: a calendar that was not named is not asked",
            !other.yes,
        );
        let early = self.jeton(&["anchor", "ots", "upgrade", &ours, "--calendar", url])?;
        self.expect(
            "upgrade: too early is told",
            !early.yes && early.fault.contains("in no block yet"),
        );
        let kept = self.jeton(&["anchor", "ots", "upgrade", &ours, "--calendar", url])?;
        self.expect("upgrade: the promise is kept", kept.yes);
        let header = std::fs::read_to_string(&headers)?.trim().to_owned();
        let (_, bare) = header
            .split_once(':')
            .context("the calendar told no height")?;
        let read = self.judged("20", &ours, &header)?;
        self.expect("stamp: our proof is verified by us", read.yes);
        let read = self.python(&["check", &checkpoint, &ours, bare])?;
        self.expect(
            "stamp: our proof is verified by the reference, and spelled alike",
            read.is_some(),
        );
        let read = self.python(&["check", &self.path("7"), &ours, bare])?;
        self.expect(
            "stamp: the reference refuses it for another file",
            read.is_none(),
        );
        self.wrong(&ours, "20", bare)?;
        let bytes = |path: &str| std::fs::metadata(path).map_or(0, |file| file.len());
        Ok(json!({"bytes_of_theirs": bytes(&theirs), "bytes_of_ours": bytes(&ours)}))
    }

    /// Wrong headers and wrong checkpoints.
    fn wrong(&mut self, proof: &str, name: &str, header: &str) -> anyhow::Result<()> {
        // The Merkle root is bytes 36 to 68, the nonce the last four.
        for (what, digit) in [("root's first", 72), ("root's last", 135)] {
            let read = self.judged(name, proof, &flipped(header, digit)?)?;
            self.expect(
                &format!("header: one whose {what} digit is wrong is refused"),
                !read.yes,
            );
            let read =
                self.python(&["check", &self.path(name), proof, &flipped(header, digit)?])?;
            self.expect("reference: it refuses it as well", read.is_none());
        }
        // A target of next to nothing: no hash meets it.
        let hard = format!(
            "{}ffff0003{}",
            header.get(..144).unwrap_or_default(),
            header.get(152..).unwrap_or_default()
        );
        let read = self.judged(name, proof, &hard)?;
        self.expect("header: one without work is refused", !read.yes);
        let read = self.judged(name, proof, &format!("102:{header}"))?;
        self.expect("header: one of another height is refused", !read.yes);
        let easy = [
            "anchor",
            "ots",
            "verify",
            &self.path(name),
            proof,
            "--header",
            header,
        ];
        let read = self.jeton(&easy)?;
        self.expect(
            "header: a test chain's is refused unless asked for",
            !read.yes,
        );
        let read = self.judged("3", proof, header)?;
        self.expect("header: another checkpoint is refused", !read.yes);
        Ok(())
    }

    /// jeton's verdict on a proof; for the control, whatever it says is a yes.
    fn judged(&self, name: &str, proof: &str, header: &str) -> anyhow::Result<Ran> {
        let file = self.path(name);
        let words = [
            "anchor",
            "ots",
            "verify",
            &file,
            proof,
            "--header",
            header,
            "--least-difficulty",
            "0",
            "--key",
            &self.key,
        ];
        let ran = self.jeton(&words)?;
        let blind = self.control == Control::Off;
        Ok(Ran {
            yes: ran.yes || blind,
            ..ran
        })
    }
}

/// A header with one digit changed.
fn flipped(header: &str, digit: usize) -> anyhow::Result<String> {
    let (before, rest) = header
        .split_at_checked(digit)
        .context("the header is too short")?;
    let (old, after) = rest
        .split_at_checked(1)
        .context("the header is too short")?;
    let new = if old == "0" { "1" } else { "0" };
    Ok(format!("{before}{new}{after}"))
}
