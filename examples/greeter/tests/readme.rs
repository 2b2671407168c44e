//! The README's program is the example's, word for word.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

/// The first fenced block after `from` that is marked `language`.
fn block<'a>(text: &'a str, language: &str, from: &str) -> &'a str {
    let after = &text[text.find(from).unwrap()..];
    let start = after.find(&format!("```{language}\n")).unwrap() + language.len() + 4;
    let code = &after[start..];
    &code[..code.find("```").unwrap()]
}

/// Without comments and white space: formatting is not what is compared.
fn essence(code: &str) -> String {
    let code: Vec<_> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code: String = code.concat().split_whitespace().collect();
    code.replace(",}", "}").replace(",)", ")")
}

#[test]
fn the_readme_shows_the_program_that_runs() {
    let readme = include_str!("../../../README.md");
    let service = include_str!("../src/bin/greeter-service.rs");
    assert_eq!(essence(block(readme, "rust", "# Micro")), essence(service));
    assert!(readme.contains("```console\n$ cargo run -q -p example-greeter\n"));
    assert!(readme.contains("$ cargo test\n"));
}

#[test]
fn the_readme_shows_a_caller_that_runs() {
    let readme = include_str!("../../../README.md");
    let caller =
        essence(&readme[readme.find("// A caller.").unwrap()..readme.find("## Try it").unwrap()]);
    let client = essence(include_str!("../src/bin/greeter-client.rs"));
    let shown = caller.trim_end_matches('`');
    for line in shown.split_inclusive(';') {
        assert!(client.contains(line), "{line} is not in the client");
    }
}
