//! What this project is made of: licences, size and language of its dependencies.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use micro_tests::peers::workspace;
use serde_json::Value;

/// Licences that a program under Apache-2.0 may be made of.
const ALLOWED: [&str; 10] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "MIT",
    "MIT-0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Zlib",
    "0BSD",
];

/// The most crates that `micro-runtime` may bring by default.
const MOST: usize = 80;

/// What `cargo metadata` says of the project in `folder`.
fn metadata(folder: &Path, flags: &[&str]) -> Value {
    let run = |more: &[&str]| {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1"])
            .args(flags)
            .args(more)
            .current_dir(folder)
            .output()
            .unwrap();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    };
    // Only a machine that has never fetched what other systems need has to ask the network.
    let said = run(&["--offline"]).or_else(|_| run(&[]));
    let said = said.unwrap_or_else(|error| panic!("cargo metadata: {error}"));
    serde_json::from_slice(&said).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether an SPDX expression leaves a choice that is allowed throughout. `/` is an old way to say OR.
fn is_allowed(expression: &str) -> bool {
    let expression = expression.replace('/', " OR ");
    let tokens = expression.replace('(', " ( ").replace(')', " ) ");
    let mut tokens = tokens.split_whitespace().peekable();
    let allowed = any_of(&mut tokens);
    allowed && tokens.next().is_none()
}

type Tokens<'a> = std::iter::Peekable<std::str::SplitWhitespace<'a>>;

fn any_of(tokens: &mut Tokens<'_>) -> bool {
    let mut allowed = all_of(tokens);
    while tokens.next_if_eq(&"OR").is_some() {
        allowed |= all_of(tokens);
    }
    allowed
}

fn all_of(tokens: &mut Tokens<'_>) -> bool {
    let mut allowed = one(tokens);
    while tokens.next_if_eq(&"AND").is_some() {
        allowed &= one(tokens);
    }
    allowed
}

fn one(tokens: &mut Tokens<'_>) -> bool {
    if tokens.next_if_eq(&"(").is_some() {
        let allowed = any_of(tokens);
        return allowed && tokens.next() == Some(")");
    }
    let mut licence = tokens.next().unwrap_or_default().to_owned();
    if tokens.next_if_eq(&"WITH").is_some() {
        licence = format!("{licence} WITH {}", tokens.next().unwrap_or_default());
    }
    ALLOWED.contains(&&*licence)
}

#[test]
fn licence_expressions_are_understood() {
    for allowed in [
        "MIT",
        "MIT OR GPL-3.0",
        "MIT/Apache-2.0",
        "(MIT OR Apache-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception OR GPL-2.0",
    ] {
        assert!(is_allowed(allowed), "{allowed}");
    }
    for refused in ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT", "MIT)", "MPL-2.0"] {
        assert!(!is_allowed(refused), "{refused}");
    }
}

#[test]
fn every_dependency_has_a_licence_that_fits() {
    let metadata = metadata(workspace(), &["--locked", "--all-features"]);
    let refused: Vec<_> = items(&metadata["packages"])
        .filter(|package| !is_allowed(text(package, "license")))
        .map(|package| format!("{}: {}", text(package, "name"), package["license"]))
        .collect();
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

/// The manifests of this repository, also those outside the workspace.
fn manifests(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != ".git" {
            manifests(&path, into);
        } else if name == "Cargo.toml" {
            into.push(path);
        }
    }
}

#[test]
fn our_own_crates_are_under_apache_2() {
    let mut files = Vec::new();
    manifests(workspace(), &mut files);
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let manifest = std::fs::read_to_string(&file).unwrap();
        // The workspace's own manifest says it for its members.
        let says = ["license = \"Apache-2.0\"", "license.workspace = true"]
            .iter()
            .any(|line| manifest.lines().any(|known| known == *line));
        assert!(says, "{} names no licence, or another", file.display());
    }
    let licence = std::fs::read_to_string(workspace().join("LICENSE")).unwrap();
    assert!(licence.contains("Apache License") && licence.contains("Version 2.0, January 2004"));
}

/// The crates that `micro-runtime` brings on Linux by default, with itself: id to package.
fn default_tree(metadata: &Value) -> BTreeMap<&str, &Value> {
    let packages: BTreeMap<&str, &Value> = items(&metadata["packages"])
        .map(|package| (text(package, "id"), package))
        .collect();
    let nodes: BTreeMap<&str, &Value> = items(&metadata["resolve"]["nodes"])
        .map(|node| (text(node, "id"), node))
        .collect();
    let root = *packages
        .iter()
        .find(|(_, package)| text(package, "name") == "micro-runtime")
        .expect("it is in the workspace")
        .0;
    let mut found = BTreeSet::from([root]);
    let mut left = vec![root];
    while let Some(id) = left.pop() {
        for dependency in items(&nodes[id]["deps"]) {
            // What builds the crate runs on the user's machine as well.
            let of_builds = items(&dependency["dep_kinds"]).any(|kind| text(kind, "kind") != "dev");
            if of_builds && found.insert(text(dependency, "pkg")) {
                left.push(text(dependency, "pkg"));
            }
        }
    }
    found.into_iter().map(|id| (id, packages[id])).collect()
}

/// `cargo metadata` of a user's own project that depends on `micro-runtime` alone: in our workspace
/// the features of all members add up.
fn metadata_of_a_user() -> Value {
    let folder = tempfile::TempDir::new().unwrap();
    let manifest = format!(
        "[package]\nname = \"user\"\nedition = \"2024\"\n[dependencies]\nmicro-runtime = {{ path = {:?} }}\n",
        workspace().join("micro-runtime")
    );
    std::fs::write(folder.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::create_dir(folder.path().join("src")).unwrap();
    std::fs::write(folder.path().join("src/lib.rs"), "").unwrap();
    // The versions of our lock file; what the user's project does not need of it is dropped.
    std::fs::copy(
        workspace().join("Cargo.lock"),
        folder.path().join("Cargo.lock"),
    )
    .unwrap();
    metadata(
        folder.path(),
        &["--filter-platform=x86_64-unknown-linux-gnu"],
    )
}

#[test]
fn the_default_tree_is_small_and_builds_no_c() {
    let metadata = metadata_of_a_user();
    let tree = default_tree(&metadata);
    let names: Vec<_> = tree.values().map(|package| text(package, "name")).collect();
    println!("{} crates: {}", names.len(), names.join(" "));
    assert!(
        names.contains(&"tokio") && names.contains(&"prost"),
        "the tree is not read rightly"
    );
    assert!(
        names.len() <= MOST,
        "{} crates, more than {MOST}: {}",
        names.len(),
        names.join(" ")
    );
    for package in tree.values() {
        let name = text(package, "name");
        let builds_c = ["cc", "cmake", "pkg-config", "bindgen", "vcpkg"].contains(&name);
        assert!(!builds_c, "{name} is in the default tree");
        assert_eq!(
            package["links"],
            Value::Null,
            "{name} links to a library that is not Rust"
        );
    }
}
