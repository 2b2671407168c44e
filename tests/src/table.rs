//! The table of what was called how, by whom: printed by the live test, kept in
//! `target/interop-table.md`, and shown in the README.

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

const BEGIN: &str = "<!-- interop table: written by tests/run -->";
const END: &str = "<!-- end of the interop table -->";

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

/// Where the live test leaves the table.
pub fn path() -> PathBuf {
    workspace().join("target/interop-table.md")
}

/// Leaves the table for others to read.
///
/// # Errors
/// Where the file cannot be written.
pub fn write(table: &str) -> std::io::Result<()> {
    fs::create_dir_all(workspace().join("target"))?;
    fs::write(path(), table)
}

/// The table that a text such as the README shows between its two marks, if it has them.
pub fn shown_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(BEGIN)?;
    let (table, _) = rest.split_once(END)?;
    Some(table.trim())
}

/// Compares the table that `text` shows with the one that was made; a text without marks shows none.
///
/// # Errors
/// Where they differ, with what to do about it.
pub fn check(text: &str, made: &str) -> Result<(), String> {
    match shown_in(text) {
        Some(shown) if shown != made.trim() => Err(format!(
            "the interop table in the text is not the one that was just made: put {} between the lines\n{BEGIN}\n{END}",
            path().display()
        )),
        _ => Ok(()),
    }
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
        let text = format!("# Title\n{BEGIN}\n{table}{END}\nmore");
        assert_eq!(check(&text, &table), Ok(()));
        assert!(check(&text.replace("no |", "ok |"), &table).is_err());
        assert_eq!(check("# Title", &table), Ok(()));
    }
}
