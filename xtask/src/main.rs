//! Everything about jeton that is done by a command and has logic: tests, gates, benchmarks, generated files.
//!
//! `cargo xtask list` names them. Gates and benchmarks print one JSON object as their last line, so that whoever reads
//! them need not be a person.

mod bench;
mod gate;
mod r#gen;
mod install;
mod options;
mod refusals;
mod run;
mod test;

use std::process::ExitCode;

use crate::options::Options;

const USAGE: &str = "\
usage: cargo xtask <command>

  test [--quick]                       install what tests need, format, lint, test, quick gates with their controls
  gate NAME [--quick] [--control]      prove one promise; --control switches the protection off and must fail
  bench NAME [--quick]                 measure one thing
  gen [--check]                        write the generated files, or say which are stale
  list                                 the gates, benchmarks and generated files that there are

A gate or benchmark may take further figures as `--key value` or `--key=value`; its page says which.";

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn dispatch(words: &[String]) -> anyhow::Result<ExitCode> {
    let Some((command, rest)) = words.split_first() else {
        anyhow::bail!("no command\n\n{USAGE}");
    };
    match command.as_str() {
        "test" => {
            let options = Options::read(rest)?;
            options.only(&["quick"])?;
            Ok(test::test(&options))
        }
        "gate" => gate::command(rest),
        "bench" => bench::command(rest),
        "gen" => {
            let options = Options::read(rest)?;
            options.only(&["check"])?;
            r#gen::command(options.given("check"))
        }
        "list" => {
            gate::list();
            bench::list();
            r#gen::list();
            Ok(ExitCode::SUCCESS)
        }
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(ExitCode::SUCCESS)
        }
        other => anyhow::bail!("there is no command `{other}`\n\n{USAGE}"),
    }
}
