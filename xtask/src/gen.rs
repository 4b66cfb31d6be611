//! Generated files: written by `cargo xtask gen`, and found stale by `cargo xtask gen --check`, which the tests run.

use std::{fmt::Write as _, fs, process::ExitCode};

use anyhow::Context as _;

use crate::{refusals, run};

/// A file that is generated, from the root of the repository, and what makes its text.
struct Generated {
    path: &'static str,
    text: fn() -> anyhow::Result<String>,
}

/// To add a file: a line here, and a function that makes the whole text. It must give the same text each time.
const FILES: &[Generated] = &[
    Generated {
        path: "docs/refusals/README.md",
        text: refusal_index,
    },
    Generated {
        path: "docs/reference/configuration.md",
        text: configuration,
    },
];

/// Writes the generated files, or says which are stale.
pub(crate) fn command(check: bool) -> anyhow::Result<ExitCode> {
    let mut stale = 0;
    for file in FILES {
        let path = run::root().join(file.path);
        let text = (file.text)().with_context(|| format!("{} cannot be generated", file.path))?;
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        stale += 1;
        if check {
            eprintln!("{} is stale: run `cargo xtask gen`", file.path);
        } else {
            let unwritten = || format!("{} cannot be written", file.path);
            if let Some(dir) = path.parent() {
                fs::create_dir_all(dir).with_context(unwritten)?;
            }
            fs::write(&path, text).with_context(unwritten)?;
            println!("wrote {}", file.path);
        }
    }
    Ok(if check && stale > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Names the generated files.
pub(crate) fn list() {
    println!("generated files");
    for file in FILES {
        println!("  {}", file.path);
    }
}

/// The index of the refusals, from the table in the core.
fn refusal_index() -> anyhow::Result<String> {
    let source = fs::read_to_string(run::root().join("crates/jeton-core/src/refusal.rs"))?;
    let mut text = "# Refusals\n\n\
        Every reason for which jeton says no. The code is stable: it stands in the `code` of a problem, in the\n\
        `jeton-refusal` header of the forward-auth door, in logs and in metrics. `jeton explain <code>` shows the same\n\
        pages. Generated from the table in `jeton-core` by `cargo xtask gen`.\n\n\
        | code | who can mend it | in a sentence |\n|---|---|---|\n"
        .to_owned();
    for row in refusals::rows(&source) {
        let who = match row.fault.as_str() {
            "Unknown" => "nobody proved anything",
            "Holder" => "the holder of the credential",
            "Caller" => "the caller",
            "Server" => "whoever runs jeton",
            other => anyhow::bail!("`{other}` is a fault that this index has no words for"),
        };
        writeln!(
            text,
            "| [`{0}`]({0}.md) | {who} | {1} |",
            row.code, row.sentence
        )?;
    }
    Ok(text)
}

/// The page on the configuration. The library makes it of its own registry: xtask names no crate of ours, and runs it.
fn configuration() -> anyhow::Result<String> {
    let words = ["run", "--quiet", "-p", "jeton", "--example", "reference"];
    run::output(&mut run::command("cargo", &words))
}
