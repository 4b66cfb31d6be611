//! The rules of the house that no compiler knows, checked on every file of the repository.
//!
//! Each rule is a pure function from text to complaints, so that beside the test that it holds stands one that it can
//! fail. An exception is a line in this file with its reason, and an exception that is no longer needed is a complaint:
//! the lists can only shrink.

#[path = "../src/refusals.rs"]
mod refusals;

#[path = "tidy/repository.rs"]
mod repository;

#[path = "tidy/code.rs"]
mod code;

use std::collections::{BTreeMap, BTreeSet};

use code::{Piece, Source};
use repository::{Text, root, texts};

/// Complains aloud, all at once.
#[track_caller]
fn tidy(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn sources(texts: &[Text]) -> Vec<Source> {
    let rust = texts
        .iter()
        .filter(|t| t.path.starts_with("crates/") && is_rust(&t.path));
    rust.map(|t| Source::read(&t.path, &t.text)).collect()
}

fn is_rust(path: &str) -> bool {
    path.rsplit_once('.')
        .is_some_and(|(_, extension)| extension == "rs")
}

/// `crates/NAME/src/…`
fn in_src(path: &str) -> bool {
    let mut parts = path.split('/');
    parts.next() == Some("crates") && parts.nth(1) == Some("src")
}

/// Files that are compiled for tests alone, by their names: `tests.rs`, `…_tests.rs`, `fixture.rs`.
fn is_test_file(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    !in_src(path) || name == "tests.rs" || name == "fixture.rs" || name.ends_with("_tests.rs")
}

mod floors {
    //! (a) Dependencies only point down; the two lowest floors stay pure.

    use super::*;

    /// Which of our crates each may name. Another edge needs a decision record.
    const EDGES: &[(&str, &[&str])] = &[
        ("jeton-core", &[]),
        ("jeton-tlog", &[]),
        ("jeton-store", &["jeton-core", "jeton-tlog"]),
        ("jeton-verify", &["jeton-core"]),
        ("jeton-scan", &["jeton-core"]),
        (
            "jeton",
            &["jeton-core", "jeton-tlog", "jeton-store", "jeton-verify"],
        ),
    ];

    /// The crates that are values in, values out.
    const PURE: &[&str] = &["jeton-core", "jeton-tlog"];

    /// What would bring I/O, a clock, chance, async or logging into them.
    const IMPURE: &[&str] = &[
        "async-std",
        "axum",
        "chrono",
        "crossbeam-utils",
        "env_logger",
        "fastrand",
        "futures",
        "futures-util",
        "getrandom",
        "http",
        "hyper",
        "hyper-util",
        "jiff",
        "log",
        "mio",
        "parking_lot",
        "rand",
        "rand_core",
        "rayon",
        "reqwest",
        "rusqlite",
        "rustix",
        "rustls",
        "smol",
        "socket2",
        "sqlx",
        "time",
        "tokio",
        "tokio-postgres",
        "tokio-rustls",
        "tower",
        "tracing",
        "tracing-subscriber",
        "uuid",
    ];

    /// The names in every table of a manifest whose name ends in `dependencies`, without those for tests.
    pub(crate) fn dependencies(manifest: &str) -> Vec<String> {
        let mut names = Vec::new();
        let mut within = false;
        for line in manifest.lines().map(str::trim) {
            if let Some(table) = line.strip_prefix('[').and_then(|l| l.split(']').next()) {
                let ours =
                    |t: &str| t.ends_with("dependencies") && !t.ends_with("dev-dependencies");
                within = ours(table);
                // `[dependencies.name]` is a table of its own.
                let owner = table.rsplit_once('.').filter(|(owner, _)| ours(owner));
                names.extend(owner.map(|(_, name)| name.to_owned()));
            } else if within && !line.starts_with('#') {
                let name: String = line
                    .chars()
                    .take_while(|c| c.is_ascii_alphanumeric() || "-_".contains(*c))
                    .collect();
                if !name.is_empty() {
                    names.push(name);
                }
            }
        }
        names
    }

    pub(crate) fn complaints(name: &str, manifest: &str) -> Vec<String> {
        let Some((_, allowed)) = EDGES.iter().find(|(of, _)| *of == name) else {
            return vec![format!(
                "{name}: a crate without a floor: say in tidy.rs what it may name"
            )];
        };
        let mut found = Vec::new();
        for dependency in dependencies(manifest) {
            let ours = dependency == "jeton" || dependency.starts_with("jeton-");
            if ours && !allowed.contains(&dependency.as_str()) {
                found.push(format!(
                    "{name} names {dependency}: dependencies only point down"
                ));
            }
            if PURE.contains(&name) && IMPURE.contains(&dependency.as_str()) {
                found.push(format!(
                    "{name} names {dependency}: this floor has no I/O, clock, chance, async or log"
                ));
            }
        }
        found
    }

    #[test]
    fn hold() {
        let texts = texts();
        let manifest = |t: &&Text| t.path.starts_with("crates/") && t.path.ends_with("/Cargo.toml");
        let manifests: Vec<_> = texts.iter().filter(manifest).collect();
        assert!(manifests.len() >= 5, "the crates were not found");
        let of = |t: &&Text| complaints(t.path.split('/').nth(1).unwrap_or_default(), &t.text);
        tidy(&manifests.iter().flat_map(of).collect::<Vec<_>>());
    }

    #[test]
    fn can_fail() {
        let upward = "[dependencies]\njeton-store.workspace = true\n";
        assert_eq!(complaints("jeton-verify", upward).len(), 1);
        assert_eq!(
            complaints(
                "jeton-core",
                "[dependencies]\ntokio = { version = \"1\" }\n"
            )
            .len(),
            1
        );
        assert_eq!(
            complaints("jeton-tlog", "[dependencies.rand]\nversion = \"0.10\"\n").len(),
            1
        );
        assert_eq!(
            complaints(
                "jeton-core",
                "[target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n"
            )
            .len(),
            1
        );
        assert_eq!(complaints("jeton-penthouse", "").len(), 1);
        assert!(
            complaints(
                "jeton-core",
                "[dependencies]\nsha2 = \"1\"\n[dev-dependencies]\nrand = \"1\"\n"
            )
            .is_empty()
        );
        assert!(
            complaints(
                "jeton-store",
                "[dependencies]\njeton-core.workspace = true\n"
            )
            .is_empty()
        );
    }
}

mod sizes {
    //! (b) No source file is longer than a person wants to read. Functions are left to clippy.

    use super::*;

    const LINES_MAX: usize = 500;

    fn complaints(source: &Source) -> Option<String> {
        let lines = source.lines_without_tests();
        let path = &source.path;
        (lines > LINES_MAX).then(|| {
            format!(
                "{path}: {lines} lines without tests, at most {LINES_MAX}: split it by its nouns"
            )
        })
    }

    #[test]
    fn hold() {
        let sources = sources(&texts());
        let own: Vec<_> = sources
            .iter()
            .filter(|s| in_src(&s.path) && !is_test_file(&s.path))
            .collect();
        assert!(own.len() > 50, "the sources were not found");
        let found: Vec<String> = own.iter().filter_map(|s| complaints(s)).collect();
        tidy(&found);
    }

    #[test]
    fn can_fail() {
        let of = |lines: usize, rest: &str| {
            Source::read("crates/a/src/b.rs", &("// x\n".repeat(lines) + rest))
        };
        assert!(complaints(&of(501, "")).is_some());
        assert!(complaints(&of(500, "")).is_none());
        assert!(complaints(&of(500, "#[cfg(test)]\nmod tests {\n}\n")).is_none());
        assert!(complaints(&of(501, "#[cfg(test)]\nmod tests {\n}\n")).is_some());
    }
}

mod heads {
    //! (c) Every source file begins by saying what it is.

    use super::*;

    fn complaints(path: &str, text: &str) -> Option<String> {
        let first = text.lines().next().unwrap_or_default();
        let told = first
            .strip_prefix("//! ")
            .is_some_and(|idea| idea.trim().len() > 3);
        (!told).then(|| format!("{path}: the first line is `//! ` and the idea of the file"))
    }

    #[test]
    fn hold() {
        let texts = texts();
        let rust = texts.iter().filter(|t| is_rust(&t.path));
        tidy(
            &rust
                .filter_map(|t| complaints(&t.path, &t.text))
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn can_fail() {
        assert!(complaints("a.rs", "use std::fs;\n").is_some());
        assert!(complaints("a.rs", "").is_some());
        assert!(complaints("a.rs", "//!\n").is_some());
        assert!(complaints("a.rs", "//! One idea.\n").is_none());
    }
}

mod pages {
    //! (d) A page for each refusal, a refusal for each page.

    use super::*;

    /// The generated index, which is no page.
    const INDEX: &str = "README";

    fn complaints(codes: &[String], pages: &BTreeMap<String, String>) -> Vec<String> {
        let mut found = Vec::new();
        for code in codes {
            match pages.get(code) {
                None => found.push(format!("docs/refusals/{code}.md is missing")),
                Some(page) if page.lines().next() != Some(&format!("# {code}")) => {
                    found.push(format!(
                        "docs/refusals/{code}.md does not begin with `# {code}`"
                    ));
                }
                Some(page) if page.lines().filter(|l| !l.trim().is_empty()).count() < 6 => {
                    found.push(format!("docs/refusals/{code}.md says too little"));
                }
                Some(_) => {}
            }
        }
        let strangers = pages
            .keys()
            .filter(|page| *page != INDEX && !codes.contains(page));
        found.extend(
            strangers.map(|page| format!("docs/refusals/{page}.md: there is no such refusal")),
        );
        found
    }

    #[test]
    fn hold() {
        let texts = texts();
        let table = texts
            .iter()
            .find(|t| t.path == "crates/jeton-core/src/refusal.rs");
        let table = &table.expect("the table of refusals").text;
        let codes: Vec<String> = refusals::rows(table)
            .into_iter()
            .map(|row| row.code)
            .collect();
        assert!(codes.len() > 40, "the table of refusals was not read");
        assert_eq!(
            codes.len(),
            refusals::lines(table),
            "a row of the table could not be read"
        );
        let page = |t: &Text| {
            let name = t.path.strip_prefix("docs/refusals/")?.strip_suffix(".md")?;
            Some((name.to_owned(), t.text.clone()))
        };
        tidy(&complaints(
            &codes,
            &texts.iter().filter_map(page).collect(),
        ));
    }

    #[test]
    fn can_fail() {
        let codes = ["too_many".to_owned()];
        let of = |name: &str, text: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
        let good = "# too_many\n\na\n\nb\n\nc\n\nd\n\ne\n";
        assert!(complaints(&codes, &of("too_many", good)).is_empty());
        assert_eq!(complaints(&codes, &BTreeMap::new()).len(), 1);
        assert_eq!(
            complaints(&codes, &of("too_many", &good.replace("# too", "# far_too"))).len(),
            1
        );
        assert_eq!(complaints(&codes, &of("too_many", "# too_many\n")).len(), 1);
        assert_eq!(complaints(&[], &of("too_many", good)).len(), 1);
        assert!(complaints(&[], &of("README", "")).is_empty());
    }
}

mod words {
    //! (e) What must not stand in code, and (i) what must not stand in the pure crates.

    use super::*;

    /// Nowhere in our crates, tests included. Comments and texts may speak of them.
    const BANNED: &[&str] = &[
        "todo!",
        "unimplemented!",
        "#[allow(",
        "#![allow(",
        "thread::sleep",
        "time::sleep(",
        "#[ignore",
    ];

    /// A file, a word, and why it is right there. Waiting for a *deadline* of the program is not a sleep: those use
    /// `sleep_until` and `timeout`, which are not banned.
    const EXCEPTIONS: &[(&str, &str)] = &[];

    /// Nowhere in the core and the log, but in their tests.
    const IMPURE: &[&str] = &[
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::thread",
        "std::process",
        "std::env",
        "std::time::Instant",
        "std::time::SystemTime",
        "async fn",
        "async move",
        ".await",
        "println!",
        "eprintln!",
        "print!(",
        "dbg!",
    ];

    fn banned(source: &Source, exceptions: &[(&str, &str)]) -> Vec<String> {
        let excepted = |word: &str| exceptions.contains(&(source.path.as_str(), word));
        let words = BANNED.iter().filter(|word| !excepted(word));
        words
            .flat_map(|word| found(source, word, &source.pieces))
            .collect()
    }

    fn impure(source: &Source) -> Vec<String> {
        let own = source.without_tests();
        IMPURE
            .iter()
            .flat_map(|word| found(source, word, own))
            .collect()
    }

    fn found(source: &Source, word: &str, pieces: &[Piece]) -> Vec<String> {
        let at = pieces.iter().filter(|piece| piece.code.contains(word));
        at.map(|piece| {
            format!(
                "{}:{}: `{word}` must not stand here",
                source.path, piece.line
            )
        })
        .collect()
    }

    #[test]
    fn hold() {
        let sources = sources(&texts());
        let mut complaints: Vec<String> =
            sources.iter().flat_map(|s| banned(s, EXCEPTIONS)).collect();
        for (path, word) in EXCEPTIONS {
            let source = sources.iter().find(|s| s.path == *path);
            if source.is_none_or(|s| found(s, word, &s.pieces).is_empty()) {
                complaints.push(format!(
                    "words: the exception `{word}` in {path} is no longer needed: remove it"
                ));
            }
        }
        let pure = |s: &&Source| {
            let floor = s.path.starts_with("crates/jeton-core/src/")
                || s.path.starts_with("crates/jeton-tlog/src/");
            floor && !is_test_file(&s.path)
        };
        assert!(
            sources.iter().filter(pure).count() > 20,
            "the pure crates were not found"
        );
        complaints.extend(sources.iter().filter(pure).flat_map(impure));
        tidy(&complaints);
    }

    #[test]
    fn can_fail() {
        let of = |text: &str| Source::read("crates/a/src/b.rs", text);
        for bad in [
            "fn f() { todo!() }",
            "fn f() { unimplemented!(\"later\") }",
            "#[allow(dead_code)]",
            "#![allow(dead_code)]",
            "std::thread::sleep(d);",
            "tokio::time::sleep(d).await;",
            "#[ignore]",
            "#[ignore = \"slow\"]",
        ] {
            assert_eq!(banned(&of(bad), &[]).len(), 1, "{bad}");
        }
        assert!(
            banned(
                &of("/// todo!() in an example\n// #[ignore]\nlet s = \"todo!\";"),
                &[]
            )
            .is_empty()
        );
        assert!(banned(&of("todo!()"), &[("crates/a/src/b.rs", "todo!")]).is_empty());
        for bad in [
            "use std::fs;",
            "let t = std::thread::spawn(f);",
            "async fn f() {}",
            "println!(\"x\");",
        ] {
            assert_eq!(impure(&of(bad)).len(), 1, "{bad}");
        }
        assert!(impure(&of("fn f() {}\n#[cfg(test)]\nmod tests { use std::fs; }")).is_empty());
    }
}

mod capabilities {
    //! (f) One file reads the clock and the environment.

    use super::*;

    const FILE: &str = "crates/jeton/src/capability.rs";

    /// Always.
    const BANNED: &[&str] = &[
        "SystemTime::now",
        "env::var",
        "std::env::vars",
        "Utc::now",
        "Timestamp::now",
    ];

    fn complaints(source: &Source) -> Vec<String> {
        if source.path == FILE {
            return Vec::new();
        }
        // Deadlines of connections are tokio's, whose clock a test can stop; they decide nothing about tokens.
        let text: String = source
            .pieces
            .iter()
            .flat_map(|p| [p.code.as_str(), "\n"])
            .collect();
        let tokios = text.contains("use tokio::time::") && !text.contains("std::time::Instant");
        let mut found = Vec::new();
        for piece in source.without_tests() {
            let code = piece.code.replace("tokio::time::Instant::now", "");
            let instant = code.contains("Instant::now") && !tokios;
            let word = BANNED.iter().find(|word| code.contains(**word)).copied();
            if let Some(word) = word.or(instant.then_some("Instant::now")) {
                found.push(format!(
                    "{}:{}: `{word}` belongs into {FILE} alone",
                    source.path, piece.line
                ));
            }
        }
        found
    }

    #[test]
    fn hold() {
        let sources = sources(&texts());
        let own = sources
            .iter()
            .filter(|s| in_src(&s.path) && !is_test_file(&s.path));
        tidy(&own.flat_map(complaints).collect::<Vec<_>>());
        let keeper = sources
            .iter()
            .find(|s| s.path == FILE)
            .expect("the file that may");
        let moved = Source {
            path: "crates/jeton/src/other.rs".to_owned(),
            ..keeper.clone()
        };
        assert!(
            complaints(&moved).len() >= 3,
            "the checker sees nothing in the file that it is about"
        );
    }

    #[test]
    fn can_fail() {
        let of = |text: &str| complaints(&Source::read("crates/a/src/b.rs", text)).len();
        assert_eq!(of("let now = SystemTime::now();"), 1);
        assert_eq!(of("use std::time::Instant;\nlet now = Instant::now();"), 1);
        assert_eq!(of("let home = std::env::var(\"HOME\");"), 1);
        assert_eq!(of("let home = std::env::var_os(\"HOME\");"), 1);
        assert_eq!(
            of("use tokio::time::sleep_until;\nlet now = std::time::Instant::now();"),
            1
        );
        assert_eq!(
            of("use tokio::time::Instant;\nlet now = Instant::now();"),
            0
        );
        assert_eq!(of("let now = tokio::time::Instant::now();"), 0);
        assert_eq!(of("// SystemTime::now\n"), 0);
    }
}

mod lists {
    //! (g) In the core, `mod.rs` only lists.

    use super::*;

    fn complaints(source: &Source) -> Option<String> {
        let item = |piece: &&Piece| {
            let code = piece.code.trim();
            !(code.is_empty()
                || code.starts_with('#')
                || code.starts_with("pub mod ")
                || code.starts_with("mod ")
                || code.starts_with("pub(crate) mod "))
        };
        let other = source.pieces.iter().find(item)?;
        Some(format!(
            "{}:{}: `mod.rs` only lists modules",
            source.path, other.line
        ))
    }

    #[test]
    fn hold() {
        let sources = sources(&texts());
        let lists = |s: &&Source| {
            s.path.starts_with("crates/jeton-core/src/") && s.path.ends_with("/mod.rs")
        };
        assert!(
            sources.iter().filter(lists).count() >= 2,
            "no mod.rs was found"
        );
        tidy(
            &sources
                .iter()
                .filter(lists)
                .filter_map(complaints)
                .collect::<Vec<_>>(),
        );
    }

    #[test]
    fn can_fail() {
        let of = |text: &str| complaints(&Source::read("crates/jeton-core/src/a/mod.rs", text));
        assert!(of("//! A list.\n\npub mod b;\nmod c;\n").is_none());
        assert!(of("//! A list.\npub mod b;\nfn f() {}\n").is_some());
        assert!(of("//! A list.\npub use b::C;\n").is_some());
    }
}

mod places {
    //! (h) No file names a place on somebody's machine.

    use super::*;

    /// Written in halves, so that this file does not complain about itself.
    const PLACES: &[&str] = &[
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
        concat!("/tmp/", "bash_jobs"),
        concat!("/Us", "ers/"),
    ];

    fn complaints(text: &Text) -> Vec<String> {
        let named = |line: &&str| PLACES.iter().any(|place| names(line, place));
        let lines = text
            .text
            .lines()
            .enumerate()
            .filter(|(_, line)| named(line));
        lines
            .map(|(at, _)| format!("{}:{}: names a place on one machine", text.path, at + 1))
            .collect()
    }

    /// Whether the place stands there as an absolute path, not within a longer one or a URL's path.
    fn names(line: &str, place: &str) -> bool {
        line.match_indices(place).any(|(at, _)| {
            let before = line.get(..at).and_then(|before| before.chars().next_back());
            !before.is_some_and(|c| c.is_ascii_alphanumeric() || "._-}".contains(c))
        })
    }

    #[test]
    fn hold() {
        let texts = texts();
        assert!(texts.len() > 80, "the repository was not found");
        tidy(&texts.iter().flat_map(complaints).collect::<Vec<_>>());
    }

    #[test]
    fn can_fail() {
        let of = |text: &str| {
            complaints(&Text {
                path: "a".to_owned(),
                text: text.to_owned(),
            })
            .len()
        };
        for place in PLACES {
            assert_eq!(of(&format!("see {place}main")), 1, "{place}");
            assert_eq!(of(&format!("a\n\"{place}x\"\n")), 1, "{place}");
            assert_eq!(of(&format!("deploy{place}x")), 0, "{place}");
        }
    }
}

mod libraries {
    //! (j) Each library that we take has a line that says why.

    use super::*;

    fn complaints(manifest: &str, page: &str) -> Vec<String> {
        let table = manifest
            .lines()
            .skip_while(|line| line.trim() != "[workspace.dependencies]");
        let table: Vec<&str> = table
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .collect();
        let manifest = format!("[dependencies]\n{}", table.join("\n"));
        let named: BTreeSet<&str> = page
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(" | ").next())
            .flat_map(|names| names.split(", "))
            .collect();
        let ours = |name: &String| name.starts_with("jeton-");
        let taken = floors::dependencies(&manifest)
            .into_iter()
            .filter(|name| !ours(name));
        let unnamed = taken.filter(|name| !named.contains(name.as_str()));
        unnamed
            .map(|name| format!("docs/dependencies.md says nothing of {name}: why is it here?"))
            .collect()
    }

    #[test]
    fn hold() {
        let texts = texts();
        let of = |path: &str| {
            texts
                .iter()
                .find(|t| t.path == path)
                .expect("the file")
                .text
                .as_str()
        };
        let found = complaints(of("Cargo.toml"), of("docs/dependencies.md"));
        tidy(&found);
        assert!(
            complaints(of("Cargo.toml"), "").len() > 30,
            "the dependencies were not found"
        );
    }

    #[test]
    fn can_fail() {
        let manifest = "[workspace.dependencies]\njeton-core = { path = \"a\" }\nsha2 = \"1\"\n\n[profile.dev]\nx = 1\n";
        assert_eq!(
            complaints(manifest, "| name | why |\n| sha3 | why |\n").len(),
            1
        );
        assert!(complaints(manifest, "| sha2 | why |\n").is_empty());
    }
}

#[test]
fn the_root_is_the_repository() {
    assert!(root().join("Cargo.lock").is_file());
}
