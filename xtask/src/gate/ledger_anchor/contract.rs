//! The contract: compiled, deployed, filled, read and attacked.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::{Value, json};

use super::{Bench, ORIGIN, Ran, SIZES, Served, text};
use crate::{install, options::Control, run};

const SOURCE: &str = "deploy/anchor/JetonAnchor.sol";
const ARTIFACT: &str = "deploy/anchor/JetonAnchor.json";
const CONTRACT_JS: &str = "xtask/src/gate/ledger_anchor/contract.cjs";

/// Where the contract is.
#[derive(Clone, Copy)]
struct On<'a> {
    rpc: &'a str,
    address: &'a str,
}

impl Bench {
    /// The contract on a chain.
    pub(super) fn contract(&mut self) -> anyhow::Result<Value> {
        let compiled = node(&["compile", SOURCE])?;
        let checked_in: Value =
            serde_json::from_str(&std::fs::read_to_string(run::root().join(ARTIFACT))?)?;
        self.expect(
            "source: the artifact is what solc makes of it",
            compiled == checked_in,
        );
        let chain = Served::start(
            Command::new(install::anvil()?).args(["--port", "0"]),
            |line| {
                line.strip_prefix("Listening on ")
                    .map(|address| format!("http://{address}"))
            },
        )?;
        let rpc = chain.told.as_str();
        let accounts = node(&["accounts", ARTIFACT, rpc])?;
        let account = |at: usize| {
            accounts
                .get(at)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let (owner, stranger) = (account(0), account(1));
        let deployed = self.jeton(&["anchor", "evm", "deploy", "--rpc", rpc, "--from", &owner])?;
        let address = text(&deployed.answer, "contract");
        ensure!(
            deployed.yes,
            "the contract was not deployed: {}",
            deployed.fault
        );
        let on = On {
            rpc,
            address: &address,
        };
        let mut gas = vec![deployed.answer.get("gas").cloned().unwrap_or_default()];
        for size in &SIZES[..3] {
            let put = self.put(&on, &size.to_string(), &owner)?;
            self.expect(&format!("anchoring {size}"), put.yes);
            gas.push(put.answer.get("gas").cloned().unwrap_or_default());
        }
        self.refusals(&on, &owner, &stranger)?;
        self.comparisons(&on)?;
        self.lost_answer(&on, &owner)?;
        self.rules(&on)?;
        Ok(json!({"gas": gas}))
    }

    /// What jeton does not anchor.
    fn refusals(&mut self, on: &On<'_>, owner: &str, stranger: &str) -> anyhow::Result<()> {
        for (name, by, why) in [
            ("7", owner, "size must grow"),
            ("20.fork", owner, "size must grow"),
            ("21", stranger, "only the owner anchors"),
        ] {
            let put = self.put(on, name, by)?;
            self.expect(
                &format!("put: {name} is refused: {why}"),
                !put.yes && put.fault.contains(why),
            );
        }
        let again = self.put(on, "20", owner)?;
        let nothing_sent = again.yes && again.answer.get("transaction").is_none();
        self.expect("put: the same head again sends nothing", nothing_sent);
        let elsewhere = On {
            address: stranger,
            ..*on
        };
        let put = self.put(&elsewhere, "21", owner)?;
        self.expect(
            "put: another code is refused",
            !put.yes && put.fault.contains("is not that of"),
        );
        Ok(())
    }

    /// What was anchored, read by jeton and by ethers.
    fn comparisons(&mut self, on: &On<'_>) -> anyhow::Result<()> {
        let (mut times, mut blocks) = (Vec::new(), Vec::new());
        for size in &SIZES[..3] {
            let found = self.compare(on, &size.to_string())?;
            self.expect(&format!("verify: {size} is found"), found.yes);
            times.push(text(&found.answer, "block_time"));
            blocks.push(found.answer.get("block").and_then(Value::as_u64));
        }
        self.expect(
            "verify: blocks are told, in order",
            blocks.is_sorted() && blocks.iter().all(Option::is_some),
        );
        self.expect(
            "verify: times are told",
            times.iter().all(|time| time.ends_with('Z')),
        );
        for (name, why) in [
            ("20.fork", "another root was anchored"),
            ("7.fork", "another root was anchored"),
            ("21", "no head of 21 leaves"),
            ("20.more", "another checkpoint file"),
        ] {
            if name == "20.more" {
                let more = "\u{2014} witness.example.test AAAAAAA=\n";
                let note = std::fs::read_to_string(self.dir.join("20"))? + more;
                std::fs::write(self.dir.join(name), note)?;
            }
            let found = self.compare(on, name)?;
            self.expect(
                &format!("verify: {name} is refused: {why}"),
                !found.yes && found.fault.contains(why),
            );
        }
        let read = node(&["read", ARTIFACT, on.rpc, on.address, ORIGIN])?;
        let note = std::fs::read_to_string(self.dir.join("20"))?;
        let root = note.lines().nth(2).unwrap_or_default();
        let same = read.get("size") == Some(&json!(20))
            && read.get("root_base64") == Some(&json!(root))
            && read.get("sizes") == Some(&json!(&SIZES[..3]))
            && read.get("same_code") == Some(&json!(true));
        self.expect("read: ethers reads the head that jeton wrote", same);
        Ok(())
    }

    /// A transaction that is in no block in time is told, and the same command then finds what became of it.
    fn lost_answer(&mut self, on: &On<'_>, owner: &str) -> anyhow::Result<()> {
        node(&["mining", ARTIFACT, on.rpc, "off"])?;
        let waiting = self.put(on, "21", owner)?;
        let told = !waiting.yes && waiting.fault.contains("is in no block after");
        self.expect("put: a block that does not come is told", told);
        node(&["mining", ARTIFACT, on.rpc, "on"])?;
        let found = self.put(on, "21", owner)?;
        let once = found.yes && found.answer.get("transaction").is_none();
        self.expect("put: what came into a block late is not sent again", once);
        Ok(())
    }

    /// The contract's own rules, attacked by ethers.
    fn rules(&mut self, on: &On<'_>) -> anyhow::Result<()> {
        let weakened;
        let address = match self.control {
            Control::On => on.address,
            Control::Off => {
                weakened = text(&node(&["weaken", SOURCE, on.rpc])?, "contract");
                &weakened
            }
        };
        let attacked = node(&["attack", ARTIFACT, on.rpc, address, ORIGIN])?;
        let let_in = attacked.get("let_in").and_then(Value::as_array);
        for name in let_in.context("the attack told nothing")? {
            self.problems.push(format!("contract: it let in {name}"));
        }
        let tried = attacked.get("tried").and_then(Value::as_u64).unwrap_or(0);
        ensure!(tried > 0, "nothing was attacked");
        self.tried += tried;
        self.expect(
            "contract: its head is as before",
            attacked.get("unchanged") == Some(&json!(true)),
        );
        Ok(())
    }

    fn put(&self, on: &On<'_>, name: &str, from: &str) -> anyhow::Result<Ran> {
        let file = self.path(name);
        self.jeton(&[
            "anchor",
            "evm",
            "put",
            &file,
            "--key",
            &self.key,
            "--rpc",
            on.rpc,
            "--contract",
            on.address,
            "--from",
            from,
            "--wait",
            "3s",
        ])
    }

    fn compare(&self, on: &On<'_>, name: &str) -> anyhow::Result<Ran> {
        let file = self.path(name);
        self.jeton(&[
            "anchor",
            "evm",
            "verify",
            &file,
            "--key",
            &self.key,
            "--rpc",
            on.rpc,
            "--contract",
            on.address,
        ])
    }
}

/// Runs the script with solc and ethers.
fn node(words: &[&str]) -> anyhow::Result<Value> {
    let mut command = run::command("node", &[CONTRACT_JS]);
    command
        .args(words)
        .env("NODE_PATH", install::node_modules()?);
    serde_json::from_str(&run::output(&mut command)?).context("the script answered no JSON")
}
