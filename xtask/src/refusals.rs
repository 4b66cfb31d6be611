//! Reads the table of refusals out of its source, so that pages and table can be compared without building jeton.

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The stable code.
    pub(crate) code: String,
    /// Whose fault it is.
    pub(crate) fault: String,
    /// The sentence for people.
    pub(crate) sentence: String,
}

/// The rows of `refusals! { … }`: `Name "code" Fault "sentence";` on one line each.
pub(crate) fn rows(source: &str) -> Vec<Row> {
    let table = source
        .lines()
        .skip_while(|line| line.trim() != "refusals! {")
        .skip(1);
    table
        .take_while(|line| line.trim() != "}")
        .filter_map(row)
        .collect()
}

fn row(line: &str) -> Option<Row> {
    let mut parts = line.trim().strip_suffix(';')?.splitn(5, '"');
    let (_name, code) = (parts.next()?, parts.next()?);
    let (fault, sentence) = (parts.next()?.trim(), parts.next()?);
    Some(Row {
        code: code.to_owned(),
        fault: fault.to_owned(),
        sentence: sentence.to_owned(),
    })
}

/// How many rows the table has by the count of its lines: a row that cannot be read must not go unseen.
#[cfg(test)]
pub(crate) fn lines(source: &str) -> usize {
    let table = source
        .lines()
        .skip_while(|line| line.trim() != "refusals! {")
        .skip(1);
    let rows = table.take_while(|line| line.trim() != "}").map(str::trim);
    rows.filter(|line| !line.is_empty() && !line.starts_with("//"))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_what_is_not_a_row_is_counted() {
        let source =
            "refusals! {\n    TooMany \"too_many\" Caller \"a maximum\";\n    Broken;\n}\n";
        let row = |code: &str| Row {
            code: code.to_owned(),
            fault: "Caller".to_owned(),
            sentence: "a maximum".to_owned(),
        };
        assert_eq!(rows(source), [row("too_many")]);
        assert_eq!(lines(source), 2);
    }
}
