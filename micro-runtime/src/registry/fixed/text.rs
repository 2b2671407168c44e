//! What people write down: pairs of name and address, lines, or JSON.

use std::collections::BTreeMap;

use crate::registry::{Node, Service};

/// Reads a whole file, JSON or lines; the fault says where it is.
pub(super) fn services(text: &str) -> Result<Vec<Service>, String> {
    // Some editors begin a file with it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.trim_start().bytes().next() {
        Some(b'[') => listed(text),
        Some(b'{') => named(text),
        _ => lines(text),
    }
}

/// Reads `greeter=10.0.0.1:8080`.
pub(super) fn pair(text: &str) -> Result<Service, String> {
    match text.split_once('=') {
        Some((name, address)) => one(name.trim(), address.trim()),
        None => Err(format!(
            "{text:?} is no address: give NAME=HOST:PORT, or file:PATH"
        )),
    }
}

/// The service with what its nodes can do without: an id, and what they speak.
pub(super) fn completed(mut service: Service) -> Service {
    for node in &mut service.nodes {
        if node.id.is_empty() {
            node.id = format!("{}-{}", service.name, node.address);
        }
        // As Go Micro's client does with an address by hand: without it the peer would be taken for
        // one from before there were protocols.
        if !node.metadata.contains_key("protocol") && !node.metadata.contains_key("protocols") {
            node.metadata.insert("protocol".into(), "mucp".into());
        }
    }
    service
}

/// Go Micro's JSON.
fn listed(text: &str) -> Result<Vec<Service>, String> {
    let services: Vec<Service> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    for (at, service) in services.iter().enumerate() {
        let at = at + 1;
        if service.name.is_empty() {
            return Err(format!("service {at} of the list has no name"));
        }
        if service.nodes.iter().any(|node| node.address.is_empty()) {
            let name = &service.name;
            return Err(format!(
                "a node of {name}, service {at} of the list, has no address"
            ));
        }
    }
    Ok(services.into_iter().map(completed).collect())
}

/// `{"greeter": ["10.0.0.1:8080"]}`.
fn named(text: &str) -> Result<Vec<Service>, String> {
    let names: BTreeMap<String, Vec<String>> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    names
        .iter()
        .flat_map(|(name, addresses)| addresses.iter().map(|address| one(name, address)))
        .collect()
}

fn lines(text: &str) -> Result<Vec<Service>, String> {
    let mut services = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let words: Vec<&str> = line
            .split_whitespace()
            .take_while(|word| !word.starts_with('#'))
            .collect();
        if !words.is_empty() {
            services.push(service(&words).map_err(|wrong| format!("line {}: {wrong}", at + 1))?);
        }
    }
    Ok(services)
}

/// `name address [version] [key=value…]`.
fn service(words: &[&str]) -> Result<Service, String> {
    let [name, address, rest @ ..] = words else {
        return Err("a name and an address are needed".to_owned());
    };
    let mut service = Service::new(*name, "");
    let mut node = Node::new("", *address);
    for (at, word) in rest.iter().enumerate() {
        match word.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                node.metadata.insert(key.to_owned(), value.to_owned());
            }
            None if at == 0 => (*word).clone_into(&mut service.version),
            _ => return Err(format!("{word:?} is not KEY=VALUE")),
        }
    }
    service.nodes.push(node);
    Ok(completed(service))
}

fn one(name: &str, address: &str) -> Result<Service, String> {
    if name.is_empty() || address.is_empty() {
        return Err(format!("{name:?} at {address:?}: one of them is missing"));
    }
    let mut service = Service::new(name, "");
    service.nodes.push(Node::new("", address));
    Ok(completed(service))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_services_with_all_they_need_or_a_fault(
            text in "[\\[{]?([a-z\": ,#=\\[\\]{}\n\t\u{0}é]|name|nodes|address){0,40}",
        ) {
            for service in services(&text).unwrap_or_default() {
                prop_assert!(!service.name.is_empty());
                for node in &service.nodes {
                    prop_assert!(!node.id.is_empty() && !node.address.is_empty());
                    prop_assert!(!node.metadata.is_empty());
                }
            }
        }
    }

    fn node(id: &str, address: &str, metadata: &[(&str, &str)]) -> Node {
        let mut node = Node::new(id, address);
        let pairs = metadata.iter();
        node.metadata = pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect();
        node
    }

    #[test]
    fn lines_are_name_address_version_and_metadata() {
        let text = "\u{feff}# all of them\n\n greeter 10.0.0.1:80 1.2 region=eu note=a=b # near\r\ngreeter\t10.0.0.2:80 protocols=braid,mucp\n";
        let found = services(text).expect("lines");
        assert_eq!(found.len(), 2);
        assert_eq!(
            (&*found[0].name, &*found[0].version),
            ("greeter", "1.2"),
            "version"
        );
        let metadata = [("note", "a=b"), ("protocol", "mucp"), ("region", "eu")];
        let first = node("greeter-10.0.0.1:80", "10.0.0.1:80", &metadata);
        assert_eq!(found[0].nodes, [first]);
        let second = node(
            "greeter-10.0.0.2:80",
            "10.0.0.2:80",
            &[("protocols", "braid,mucp")],
        );
        assert_eq!(found[1].with_nodes(vec![second]), found[1]);
    }

    #[test]
    fn faults_name_their_line() {
        let wrong = |text: &str| services(text).expect_err("a fault");
        assert_eq!(
            wrong("a b:1\n\nlonely\n"),
            "line 3: a name and an address are needed"
        );
        assert_eq!(
            wrong("a b:1 1 x=1 2"),
            r#"line 1: "2" is not KEY=VALUE"#,
            "a version comes first"
        );
        assert!(wrong("[\n{\"name\": 3}]").contains("line 2"));
        assert!(wrong("{\n\n\"a\": \"b\"}").contains("line 3"));
        assert!(wrong("[{}]").contains("service 1"));
        assert!(wrong(r#"[{"name":"a","nodes":[{"id":"x"}]}]"#).contains("no address"));
        assert!(wrong(r#"{"a":[""]}"#).contains("missing"));
    }

    #[test]
    fn both_forms_of_json_are_read() {
        let short = services(r#"{"a":["h:1","h:2"],"b":[]}"#).expect("short");
        let ids: Vec<_> = short.iter().map(|one| &*one.nodes[0].id).collect();
        assert_eq!(ids, ["a-h:1", "a-h:2"]);
        let long = r#"[{"name":"a","version":"1","nodes":[{"id":"x","address":"h:1","metadata":null}],"endpoints":null}]"#;
        let long = services(long).expect("long");
        assert_eq!(
            long[0].nodes,
            [node("x", "h:1", &[("protocol", "mucp")])],
            "what is told stays"
        );
        assert!(services("").expect("nothing").is_empty());
    }
}
