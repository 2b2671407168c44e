//! The example prints what it says, and so do the README and the guide.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use example_testing::printed_by;

/// The text with `0` for each number but those in names: times and ports are never the same twice.
fn timeless(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text.trim();
    while let Some(at) = rest.find(|one: char| one.is_ascii_digit()) {
        let in_name = rest[..at].ends_with(['-', '_']);
        let (before, number) = rest.split_at(at);
        let length = number
            .find(|one: char| !one.is_ascii_digit() && one != '.')
            .unwrap_or(number.len());
        shown.push_str(before);
        shown.push_str(if in_name { &number[..length] } else { "0" });
        rest = number[length..]
            .trim_start_matches("µ")
            .trim_start_matches('m');
    }
    shown + rest
}

/// The parts of a text that are shown as console output below `$ cargo run -q -p example-why`.
fn shown(text: &str) -> Vec<&str> {
    text.split("```console\n$ cargo run -q -p example-why\n")
        .skip(1)
        .map(|part| part.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_readme_and_the_guide_show_what_it_prints() {
    let printed = timeless(&printed_by(env!("CARGO_BIN_EXE_example-why")));
    for (page, text) in [
        ("README.md", include_str!("../../../README.md")),
        ("docs/WHY.md", include_str!("../../../docs/WHY.md")),
    ] {
        let shown = shown(text);
        assert!(!shown.is_empty(), "{page} shows it");
        for part in shown {
            // The README shows parts of it.
            for part in part.split("[…]\n") {
                let part = timeless(part);
                assert!(
                    printed.contains(&part),
                    "{page}: {part}\n--- is not in ---\n{printed}"
                );
            }
        }
    }
}
