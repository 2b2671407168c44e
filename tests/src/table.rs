//! The table of what was called how, by whom: printed by the live test, kept in
//! `target/interop-table.md`, shown in `docs/INTEROP.md`, and in the README in short.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use crate::peers::workspace;

/// The content types, in the order of the columns.
pub const CONTENT_TYPES: [&str; 4] = [
    "application/protobuf",
    "application/json",
    "application/proto-rpc",
    "application/json-rpc",
];

/// The lines in a text that the table `name` stands between.
fn marks(name: &str) -> (String, String) {
    (
        format!("<!-- {name} table: written by tests/run -->"),
        format!("<!-- end of the {name} table -->"),
    )
}

/// One line: who calls whom, what, and what came of it in each content type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Caller and callee.
    pub direction: &'static str,
    /// What is called.
    pub call: String,
    /// A cell for each of [`CONTENT_TYPES`].
    pub cells: [String; 4],
}

/// The rows as Markdown.
pub fn markdown(rows: &[Row]) -> String {
    let short = CONTENT_TYPES.map(|name| name.trim_start_matches("application/"));
    let mut out = format!(
        "| who calls whom | call | {} |\n|---|---|---|---|---|---|\n",
        short.join(" | ")
    );
    let mut before = "";
    for Row {
        direction,
        call,
        cells,
    } in rows
    {
        // A direction is named once.
        let shown = if *direction == before { "" } else { direction };
        before = direction;
        let _ = writeln!(out, "| {shown} | {call} | {} |", cells.join(" | "));
    }
    out
}

/// The rows of each direction folded to three: calls, messages, load. The last word of a cell is
/// that of the worst call in it.
pub fn summary(rows: &[Row]) -> Vec<Row> {
    let mut short: Vec<Row> = Vec::new();
    for row in rows {
        let call = match &*row.call {
            call if call.ends_with("echo") => "116 messages that use all types, sent and sent back",
            call if call.starts_with("all types") => continue,
            call if call.starts_with(|c: char| c.is_ascii_digit()) => {
                "10,000 calls in turn, 64 × 1,000 at once"
            }
            _ => "calls, errors, deadlines, metadata, streams, Debug",
        };
        let cells = row.cells.clone().map(|cell| match cell.split_once(" (") {
            Some((result, _)) => result.to_owned(),
            None => cell,
        });
        match short
            .iter_mut()
            .find(|known| known.direction == row.direction && known.call == call)
        {
            None => short.push(Row {
                direction: row.direction,
                call: call.to_owned(),
                cells,
            }),
            Some(known) => {
                for (known, cell) in known.cells.iter_mut().zip(cells) {
                    if known == "ok" {
                        *known = cell;
                    }
                }
            }
        }
    }
    short
}

/// Where the live test leaves the table, whole or in short.
pub fn path(name: &str) -> PathBuf {
    workspace().join("target").join(name)
}

/// Leaves a table for others to read.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(name: &str, table: &str) -> std::io::Result<()> {
    fs::create_dir_all(workspace().join("target"))?;
    fs::write(path(name), table)
}

/// The table `name` that a text such as the README shows between its two marks, if it has them.
pub fn shown_in<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (begin, end) = marks(name);
    let (_, rest) = text.split_once(&begin)?;
    let (table, _) = rest.split_once(&end)?;
    Some(table.trim())
}

/// `text` with `made` between the marks of the table `name`.
pub fn put(text: &str, name: &str, made: &str) -> String {
    match shown_in(text, name) {
        Some(shown) if !shown.is_empty() => text.replacen(shown, made.trim(), 1),
        _ => {
            let (begin, _) = marks(name);
            text.replacen(&begin, &format!("{begin}\n{}", made.trim()), 1)
        }
    }
}

/// Compares the table `name` that `text` shows with the one that was made and left in the file `left`.
///
/// # Errors
/// Where they differ, or the text shows none, with what to do about it.
pub fn check(text: &str, name: &str, made: &str, left: &str) -> Result<(), String> {
    if shown_in(text, name) == Some(made.trim()) {
        return Ok(());
    }
    let (begin, end) = marks(name);
    Err(format!(
        "the {name} table in the text is not the one that was just made, {}: UPDATE_GOLDEN=1 puts it between the lines\n{begin}\n{end}",
        path(left).display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_must_show_the_table_that_was_made() {
        let row = |direction, call: &str| Row {
            direction,
            call: call.to_owned(),
            cells: ["ok", "ok", "ok", "no"].map(str::to_owned),
        };
        let table = markdown(&[
            row("a to b", "hello"),
            row("a to b", "echo"),
            row("b to a", "echo"),
        ]);
        assert_eq!(table.lines().count(), 5);
        assert!(table.contains("|  | echo | ok | ok | ok | no |"));
        let (begin, end) = marks("x");
        let text = format!("# Title\n{begin}\n{table}{end}\nmore");
        assert_eq!(check(&text, "x", &table, "x.md"), Ok(()));
        assert!(check(&text.replace("no |", "ok |"), "x", &table, "x.md").is_err());
        assert!(check("# Title", "x", &table, "x.md").is_err());
        let empty = format!("# Title\n{begin}\n{end}\nmore");
        for before in [&text.replace("no |", "ok |"), &empty] {
            assert_eq!(
                check(&put(before, "x", &table), "x", &table, "x.md"),
                Ok(())
            );
        }
    }

    #[test]
    fn the_summary_shows_the_worst_of_each_group() {
        let row = |call: &str, cell: &str| Row {
            direction: "a to b",
            call: call.to_owned(),
            cells: [cell, "ok", "–", "ok"].map(str::to_owned),
        };
        let rows = [
            row("hello", "ok"),
            row("deadlines", "**failed**"),
            row("metadata", "ok"),
            row("all types of messages, make", "1 of 116"),
            row("all types of messages, echo", "115 of 116 (1)"),
            row("10,000 calls in turn", "ok"),
        ];
        let short = summary(&rows);
        let cells: Vec<_> = short.iter().map(|row| &*row.cells[0]).collect();
        assert_eq!(cells, ["**failed**", "115 of 116", "ok"]);
    }
}
