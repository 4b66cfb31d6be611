//! Tables for people: values as they are written on the command line, nothing that a terminal would obey.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;
use std::fmt::Write as _;

/// One column of a list, or one line about a thing.
pub(super) struct Column {
    head: &'static str,
    show: Show,
}

enum Show {
    At(&'static str),
    By(fn(&Value) -> String),
}

/// What stands at a JSON pointer.
pub(super) const fn at(head: &'static str, pointer: &'static str) -> Column {
    Column {
        head,
        show: Show::At(pointer),
    }
}

/// What a function makes of the whole.
pub(super) const fn by(head: &'static str, show: fn(&Value) -> String) -> Column {
    Column {
        head,
        show: Show::By(show),
    }
}

impl Column {
    fn cell(&self, item: &Value) -> String {
        match self.show {
            Show::At(pointer) => item.pointer(pointer).map(show).unwrap_or_default(),
            Show::By(make) => plain(&make(item)),
        }
    }
}

/// Text without anything that a terminal obeys: escapes, and marks that turn the direction of writing.
pub(super) fn plain(text: &str) -> String {
    let tame = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if turns || (c.is_control() && c != '\n') {
            c.escape_default().collect::<String>()
        } else {
            c.to_string()
        }
    };
    text.chars().map(tame).collect()
}

/// A value in words.
pub(super) fn show(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => plain(text),
        Value::Array(items) => {
            let between = if items.iter().any(Value::is_object) {
                "\n"
            } else {
                " "
            };
            items.iter().map(show).collect::<Vec<_>>().join(between)
        }
        Value::Object(_) => object(value),
    }
}

fn object(value: &Value) -> String {
    let list = |name: &str| {
        let items = value.get(name).and_then(Value::as_array);
        let items = items
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .map(plain);
        items.collect::<Vec<_>>()
    };
    if let (Some(api), Some(_)) = (value.get("api"), value.get("scopes")) {
        let mut text = format!("{}={}", show(api), list("scopes").join(","));
        if !list("resources").is_empty() {
            _ = write!(text, "@{}", list("resources").join(";"));
        }
        return text;
    }
    if let (Some(count), Some(window)) = (value.get("count"), value.get("window_s")) {
        return format!("{count}/{window}s");
    }
    let conditions = ["networks", "methods", "paths", "not_before"];
    let members: Vec<(&String, &Value)> = value.as_object().into_iter().flatten().collect();
    if members
        .iter()
        .all(|(name, _)| conditions.contains(&name.as_str()))
    {
        let part =
            |(name, of): &(&String, &Value)| format!("{}: {}", name.replace('_', " "), show(of));
        return members.iter().map(part).collect::<Vec<_>>().join("\n");
    }
    plain(&value.to_string())
}

/// Grants in a line of a list: of many scopes the first two, and how many more.
pub(super) fn brief(grants: Option<&Value>) -> String {
    let mut grants = grants.cloned().unwrap_or_default();
    for grant in grants.as_array_mut().into_iter().flatten() {
        let scopes = grant.get_mut("scopes").and_then(Value::as_array_mut);
        if let Some(scopes) = scopes.filter(|s| s.len() > 3) {
            let more = format!("+{}", scopes.len() - 2);
            scopes.truncate(2);
            scopes.push(more.into());
        }
    }
    show(&grants)
}

/// What a permit allows.
pub(super) fn rights(item: &Value) -> String {
    let text = item.pointer("/permit/grants").map(show).unwrap_or_default();
    if text.is_empty() {
        "none".to_owned()
    } else {
        text
    }
}

/// What may be handed on.
pub(super) fn give(value: &Value) -> String {
    let Some(give) = value
        .pointer("/give")
        .or_else(|| value.pointer("/permit/give"))
    else {
        return String::new();
    };
    let mut parts = Vec::new();
    if give.get("everything").and_then(Value::as_bool) == Some(true) {
        parts.push("everything".to_owned());
    }
    parts.extend(
        give.get("grants")
            .map(show)
            .filter(|grants| !grants.is_empty()),
    );
    parts.extend(
        give.get("conditions")
            .map(show)
            .filter(|text| !text.is_empty()),
    );
    if let Some(most) = give.get("lifetime_max_s").and_then(Value::as_u64) {
        parts.push(format!("for at most {}", super::units::span_text(most)));
    }
    parts.join("\n")
}

fn empty() -> Table {
    let mut table = Table::new();
    // Nothing is wrapped: an id that is broken over two lines cannot be copied.
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// A list, one line for each thing.
pub(super) fn list(columns: &[Column], items: &[Value]) -> String {
    let mut table = empty();
    table.set_header(columns.iter().map(|c| c.head.to_uppercase()));
    for item in items {
        table.add_row(columns.iter().map(|c| c.cell(item)));
    }
    trimmed(&table)
}

/// A thing, one line for each of its properties that says something.
pub(super) fn thing(columns: &[Column], item: &Value) -> String {
    let mut table = empty();
    for column in columns {
        let text = column.cell(item);
        if !text.is_empty() {
            table.add_row([column.head.to_owned(), text]);
        }
    }
    trimmed(&table)
}

/// The table's text without the margin that every line has, and without spaces at the ends.
fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table.lines().collect();
    let margin = |line: &String| line.len() - line.trim_start_matches(' ').len();
    let common = lines.iter().map(margin).min().unwrap_or(0);
    let cut = |line: &String| line.get(common..).unwrap_or_default().trim_end().to_owned();
    lines.iter().map(cut).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_shown_as_they_are_written() {
        let grant =
            json!([{"api": "documents", "scopes": ["a", "b"], "resources": ["x/*", "y/**"]}]);
        assert_eq!(show(&grant), "documents=a,b@x/*;y/**");
        assert_eq!(show(&json!({"count": 100, "window_s": 60})), "100/60s");
        assert_eq!(
            show(&json!({"networks": ["10.0.0.0/8"], "methods": ["GET"]})),
            "methods: GET\nnetworks: 10.0.0.0/8"
        );
        assert_eq!(show(&json!({})), "");
        let permit = json!({"give": {"everything": true, "lifetime_max_s": 86400}});
        assert_eq!(give(&permit), "everything\nfor at most 1d");
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        assert_eq!(plain("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
    }

    #[test]
    fn tables_line_up_and_leave_out_what_is_empty() {
        let columns = [at("id", "/id"), at("name", "/name")];
        let items = [
            json!({"id": "usr_1", "name": "Ada"}),
            json!({"id": "usr_22"}),
        ];
        assert_eq!(list(&columns, &items), "ID      NAME\nusr_1   Ada\nusr_22");
        assert_eq!(thing(&columns, &items[1]), "id  usr_22");
    }
}
