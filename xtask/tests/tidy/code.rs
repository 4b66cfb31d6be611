//! Rust source as lines of code: comments gone, the insides of texts gone, the tests at the end known.

/// What is left of one line.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// From 1.
    pub(crate) line: usize,
    pub(crate) code: String,
}

/// A source file.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) pieces: Vec<Piece>,
}

impl Source {
    pub(crate) fn read(path: &str, text: &str) -> Self {
        let code = strip(text);
        let lines = code.lines().enumerate();
        let pieces = lines
            .map(|(at, code)| Piece {
                line: at + 1,
                code: code.to_owned(),
            })
            .collect();
        Self {
            path: path.to_owned(),
            pieces,
        }
    }

    /// The lines before `#[cfg(test)] mod … {`. Code after that module makes it count like any other: tests stand last.
    pub(crate) fn without_tests(&self) -> &[Piece] {
        self.pieces
            .get(..self.lines_without_tests())
            .unwrap_or_default()
    }

    pub(crate) fn lines_without_tests(&self) -> usize {
        let first = self.pieces.windows(2).position(is_test_module);
        let last = first.filter(|at| self.pieces.get(*at..).is_some_and(nothing_but_tests));
        last.unwrap_or(self.pieces.len())
    }
}

fn is_test_module(pair: &[Piece]) -> bool {
    let [head, body, ..] = pair else { return false };
    let body = body.code.trim();
    let body = body.strip_prefix("pub(crate) ").unwrap_or(body);
    head.code.trim() == "#[cfg(test)]" && body.starts_with("mod ") && body.contains('{')
}

fn nothing_but_tests(pieces: &[Piece]) -> bool {
    let blank = pieces
        .iter()
        .take_while(|piece| piece.code.trim().is_empty())
        .count();
    let Some(pieces) = pieces.get(blank..).filter(|rest| !rest.is_empty()) else {
        return true;
    };
    // A module ends where a line begins with its brace, or where it began.
    let one_line = pieces
        .get(1)
        .is_some_and(|body| body.code.trim_end().ends_with('}'));
    let end = if one_line {
        Some(1)
    } else {
        pieces.iter().position(|p| p.code.starts_with('}'))
    };
    let after = end
        .and_then(|end| pieces.get(end + 1..))
        .unwrap_or_default();
    is_test_module(pieces) && nothing_but_tests(after)
}

/// Blanks comments and the insides of string literals; lines stay where they are.
fn strip(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = comment(rest).or_else(|| literal(rest, &out));
        let Some(length) = skipped else {
            out.push(c);
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
            continue;
        };
        let (gone, after) = rest.split_at_checked(length).unwrap_or((rest, ""));
        if !gone.starts_with('/') {
            out.push_str("\"\"");
        }
        out.extend(gone.chars().filter(|c| *c == '\n'));
        rest = after;
    }
    out
}

/// The length of a comment that begins here.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if !rest.starts_with("/*") {
        return None;
    }
    let (mut depth, mut at) = (0usize, 0usize);
    loop {
        let here = rest.get(at..).filter(|here| !here.is_empty());
        let Some(here) = here else {
            return Some(rest.len());
        };
        if here.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if here.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += here.chars().next().map_or(1, char::len_utf8);
        }
    }
}

/// The length of a text or a character that begins here; `before` tells `r"` from the end of a name, and a character
/// from a lifetime.
fn literal(rest: &str, before: &str) -> Option<usize> {
    let named = before
        .chars()
        .next_back()
        .is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = rest
        .strip_prefix("br")
        .or_else(|| rest.strip_prefix('r'))
        .filter(|_| !named);
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let body = raw.get(hashes..).and_then(|body| body.strip_prefix('"'));
        if let Some(body) = body {
            let close = format!("\"{}", "#".repeat(hashes));
            let end = body.find(&close).map_or(body.len(), |at| at + close.len());
            return Some(rest.len() - body.len() + end);
        }
    }
    let (quote, body) = match rest.chars().next()? {
        '"' => ('"', rest.get(1..)?),
        '\'' => ('\'', rest.get(1..)?),
        _ => return None,
    };
    if quote == '\'' {
        let mut chars = body.chars();
        let escaped = chars.next()? == '\\';
        if !escaped && chars.next() != Some('\'') {
            return None;
        }
    }
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(1 + at + 1),
            _ => {}
        }
    }
    Some(rest.len())
}

#[test]
fn comments_and_texts_are_gone_and_code_and_lines_stay() {
    let code = |text: &str| {
        Source::read("a.rs", text)
            .pieces
            .into_iter()
            .map(|p| p.code)
            .collect::<Vec<_>>()
    };
    assert_eq!(code("a // b\nc"), ["a ", "c"]);
    assert_eq!(code("a /* b /* c */\nd */ e"), ["a ", " e"]);
    assert_eq!(code("f(\"// no \\\" comment\", g)"), ["f(\"\", g)"]);
    assert_eq!(code("f(r#\"a \"b\" // c\"#, g)"), ["f(\"\", g)"]);
    assert_eq!(code("f('\"', '\\'', b'x') // d"), ["f(\"\", \"\", b\"\") "]);
    assert_eq!(
        code("fn f<'a>(x: &'a str) -> &'static str { x }"),
        ["fn f<'a>(x: &'a str) -> &'static str { x }"]
    );
    assert_eq!(code("\"a\nb\" c"), ["\"\"", " c"]);
    assert_eq!(
        code("let number = br\"x\"; for_(\"y\")"),
        ["let number = \"\"; for_(\"\")"]
    );
}

#[test]
fn tests_at_the_end_are_known() {
    let source = Source::read(
        "a.rs",
        "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g() {}\n}\n",
    );
    assert_eq!(source.lines_without_tests(), 2);
    let elsewhere = Source::read(
        "a.rs",
        "#[cfg(test)]\nmod tests;\nfn f() {}\n#[cfg(test)]\nfn g() {}\n",
    );
    assert_eq!(elsewhere.lines_without_tests(), 5);
    let two = "#[cfg(test)]\nmod a {\n    fn f() {}\n}\n#[cfg(test)]\nmod b { fn g() {} }\n";
    assert_eq!(Source::read("a.rs", two).lines_without_tests(), 0);
    let hidden = Source::read("a.rs", "#[cfg(test)]\nmod a {\n}\nfn after() {}\n");
    assert_eq!(hidden.lines_without_tests(), 4);
}
