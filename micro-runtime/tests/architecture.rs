//! The order of the rooms: a module uses those above it, never those below.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. Changing this table is changing the architecture: say so in ARCHITECTURE.md.
const ROOMS: [&str; 25] = [
    "metadata",
    "error",
    "method",
    "schema",
    "context",
    "tasks",
    "transport",
    "http1",
    "codec",
    "registry",
    "selector",
    "broker",
    "call",
    "wrapper",
    "router",
    "event",
    "protocol",
    "client",
    "server",
    "admin",
    "service",
    "codegen",
    "macros",
    "testing",
    "guides",
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// The rooms that a source names by `crate::…`, with line numbers. Tests may look anywhere.
fn imports(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            break;
        }
        if line.trim_start().starts_with("//") {
            continue;
        }
        for part in line.split("crate::").skip(1) {
            let room: String = part
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            found.push((number + 1, room));
        }
    }
    found
}

#[test]
fn modules_use_only_those_above_them() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    let rank = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).unwrap();
        let first = inside
            .components()
            .next()
            .unwrap()
            .as_os_str()
            .to_str()
            .unwrap();
        let room = first.trim_end_matches(".rs");
        if room == "lib" || file.ends_with("tests.rs") {
            continue;
        }
        let Some(own) = rank(room) else {
            wrong.push(format!("{room} has no place in the table"));
            continue;
        };
        for (line, used) in imports(&fs::read_to_string(&file).unwrap()) {
            // `crate::include_protos` and other macros have no rank.
            if rank(&used).is_some_and(|used| used > own) {
                wrong.push(format!(
                    "{}:{line}: {room} is above {used} and uses it",
                    inside.display()
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "arrows that point up:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn select_is_always_biased() {
    // `tokio::select!` without `biased` picks branches at random, which no seed replays.
    let mut files = Vec::new();
    sources(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut files,
    );
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for (number, line) in text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.contains("select! {"))
        {
            let next = text.lines().nth(number + 1).unwrap_or_default();
            assert!(
                next.trim() == "biased;",
                "{}:{}: {line}",
                file.display(),
                number + 1
            );
        }
    }
}
