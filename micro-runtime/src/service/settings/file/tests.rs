#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::super::{Parsed, Settings, Source, Stop};

const NO_ARGS: [&str; 1] = ["greeter"];

/// A file of this name with this text; it is gone with the folder.
fn file(name: &str, text: &str) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn read(name: &str, text: &str) -> Result<Parsed, Stop> {
    let (_folder, path) = file(name, text);
    Settings::parse(NO_ARGS, [("MICRO_CONFIG", path)])
}

/// What a person is told of a wrong file, without the folder.
fn refused(name: &str, text: &str) -> String {
    let stop = read(name, text).unwrap_err();
    assert_eq!(stop.code, 2);
    let text = stop.to_string();
    let at = text
        .find(name)
        .unwrap_or_else(|| panic!("no file in {text}"));
    text[at..].to_owned()
}

const JSON: &str = r#"{
    "server_name": "greeter",
    "server-version": "1.2.0",
    "register_ttl": 90,
    "registry_address": ["a:1", "b:2"],
    "tls_insecure": true,
    "server_id": null,
    "selector": "",
    "server": {
        "address": ":8080",
        "metadata": { "region": "eu", "motto": "a, b = c" }
    },
    "client": { "request_timeout": "1.5s", "pool": { "size": 7 } }
}"#;

fn is_read(parsed: &Parsed) {
    let settings = &parsed.settings;
    assert_eq!(settings.server_name.as_deref(), Some("greeter"));
    assert_eq!(settings.server_version.as_deref(), Some("1.2.0"));
    assert_eq!(settings.register_ttl, Some(Duration::from_secs(90)));
    let addresses = settings.registry_address.as_deref().unwrap();
    assert_eq!(addresses, ["a:1", "b:2"]);
    assert_eq!(settings.tls_insecure, Some(true));
    assert_eq!(settings.server_address.as_deref(), Some(":8080"));
    let metadata = settings.server_metadata.as_ref().unwrap();
    assert_eq!(metadata.get("motto").unwrap(), "a, b = c");
    assert_eq!(metadata.get("region").unwrap(), "eu");
    assert_eq!(
        settings.client_request_timeout,
        Some(Duration::from_millis(1500))
    );
    assert_eq!(settings.client_pool_size, Some(7));
    // What is empty is not set.
    assert_eq!(settings.server_id, None);
    assert!(settings.selector.is_none());
    assert!(settings.server.is_none());
}

#[test]
fn a_file_in_json_has_the_names_of_flags_as_keys() {
    is_read(&read("micro.json", JSON).unwrap());
    let none = read("micro.json", "\u{feff}{}").unwrap();
    assert_eq!(none.settings.server_name, None);
}

#[test]
fn a_wrong_file_is_told_with_its_line() {
    for (text, told) in [
        (
            "{\n\n\"server_adress\": \":1\"}",
            "micro.json:3: there is no setting server_adress; did you mean server_address?",
        ),
        (
            "{\"server\": {\n\"adress\": \":1\"}}",
            "micro.json:2: there is no setting server_adress; did you mean server_address?",
        ),
        (
            "{\"unheard\": {\"of\": 1}}",
            "micro.json:1: there is no setting unheard",
        ),
        (
            "{\n\"client_retries\": \"many\"}",
            "micro.json:2: client_retries takes a whole number, not \"many\"",
        ),
        (
            "{\n\"client_retries\": [1]}",
            "micro.json:2: client_retries takes one value",
        ),
        (
            "{\n\"client_retries\": {}}",
            "micro.json:2: client_retries takes no table",
        ),
        (
            "{\n\"registry_address\": [\n\"a\",\n[]]}",
            "micro.json:4: registry_address takes a list of plain values",
        ),
        (
            "{\n\"server_metadata\": {\n\"a\": []}}",
            "micro.json:3: a takes one value",
        ),
        (
            "{\n\"config\": \"other.json\"}",
            "micro.json:2: a settings file names no other",
        ),
        (
            "{\"server_id\": 1,\n\"server\": {\"id\": 2}}",
            "micro.json:2: server_id is set in line 1 already",
        ),
        (
            "{\"server_id\": 1,\n\"server_id\": 1}",
            "micro.json:2: server_id is set in line 1 already",
        ),
        ("{\n\"server_id\": }", "micro.json:2: expected value"),
        (
            "{\n\"server_id\": \"x\"",
            "micro.json:2: EOF while parsing an object",
        ),
        (
            "[]",
            "micro.json:1: invalid type: sequence, expected an object whose keys are names of settings",
        ),
        ("", "micro.json:1: EOF while parsing a value"),
    ] {
        assert_eq!(refused("micro.json", text), told);
    }
    assert!(refused("micro.yaml", "").contains("micro.yaml"));
    let gone = Settings::parse(NO_ARGS, [("MICRO_CONFIG", "/there/is/no.json")]);
    let text = gone.unwrap_err().text;
    assert!(
        text.contains("/there/is/no.json") && text.contains("MICRO_CONFIG"),
        "{text}"
    );
    // What the name of another kind of file was in Go Micro.
    let other = Settings::parse(NO_ARGS, [("MICRO_CONFIG", "consul")]);
    assert!(other.unwrap_err().text.contains(".json"));
}

#[test]
fn the_environment_goes_before_a_file_and_a_file_before_code() {
    let (_folder, path) = file(
        "micro.json",
        r#"{"server_name": "file", "server_id": "file"}"#,
    );
    let path = path.to_str().unwrap();
    let env = [("MICRO_SERVER_ID", "env"), ("MICRO_CONFIG", path)];
    let parsed = Settings::parse(NO_ARGS, env).unwrap();
    assert_eq!(parsed.settings.server_id.as_deref(), Some("env"));
    assert_eq!(parsed.settings.server_name.as_deref(), Some("file"));
    let source = Source::Config {
        path: path.into(),
        line: 1,
    };
    assert_eq!(parsed.source("server_name"), Some(&source));
    let code = BTreeMap::from([("server_name", "code".to_owned())]);
    let text = parsed.explanation(&code);
    assert!(text.contains(&format!("file {path}:1")), "{text}");
    assert!(!text.contains("code"), "{text}");
}

#[cfg(feature = "cli")]
mod toml {
    use super::*;

    const TOML: &str = r#"
server_name = "greeter"
server-version = "1.2.0"
register_ttl = 90
registry_address = ["a:1", "b:2"]
tls_insecure = true
selector = ""

[server]
address = ":8080"
metadata = { region = "eu", motto = "a, b = c" }

[client]
request_timeout = "1.5s"
pool.size = 7
"#;

    #[test]
    fn a_file_in_toml_says_the_same() {
        is_read(&read("micro.toml", TOML).unwrap());
    }

    #[test]
    fn a_wrong_one_is_told_with_its_line() {
        for (text, told) in [
            (
                "\n\nserver_adress = 1",
                "micro.toml:3: there is no setting server_adress; did you mean server_address?",
            ),
            (
                "[server]\nadress = 1",
                "micro.toml:2: there is no setting server_adress; did you mean server_address?",
            ),
            (
                "\nclient_retries = \"many\"",
                "micro.toml:2: client_retries takes a whole number, not \"many\"",
            ),
            (
                "server_id = 1979-05-27",
                "micro.toml:1: server_id takes no date",
            ),
            (
                "server_id = 1\n[server]\nid = 2",
                "micro.toml:3: server_id is set in line 1 already",
            ),
        ] {
            assert_eq!(refused("micro.toml", text), told);
        }
        assert!(refused("micro.toml", "a = 1\na = 2").starts_with("micro.toml:2: "));
        assert!(refused("micro.toml", "a = 1\n\nb = ").starts_with("micro.toml:3: "));
    }

    #[test]
    fn a_flag_goes_before_all() {
        let (_folder, path) = file("micro.toml", "server_name = \"file\"\nserver_id = \"file\"");
        let path = path.to_str().unwrap();
        let env = [
            ("MICRO_SERVER_NAME", "env"),
            ("MICRO_CONFIG", "/not/read.toml"),
        ];
        let args = ["greeter", "--config", path, "--server_id=flag"];
        let parsed = Settings::parse(args, env).unwrap();
        assert_eq!(parsed.settings.server_name.as_deref(), Some("env"));
        assert_eq!(parsed.settings.server_id.as_deref(), Some("flag"));
        assert_eq!(parsed.source("config"), Some(&Source::Flag));
    }
}
