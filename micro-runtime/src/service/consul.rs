//! Consul's own variables, as Consul's programs and Go Micro read them.

use std::fs;

use super::ID;
use super::plugins::Setup;
use crate::error::{Error, Result};
use crate::registry::Consul;
use crate::registry::consul::Options;
#[cfg(feature = "tls")]
use crate::transport::tls::{ClientTls, Identity};

/// The registry `consul` that a person has named.
pub(super) fn registry(setup: &Setup) -> Result<Consul> {
    Consul::with(options(setup)?, &setup.tasks)
}

fn options(setup: &Setup) -> Result<Options> {
    let get = |name| setup.variables.get(name);
    let mut options = Options::new();
    let addresses = addresses(setup)?;
    #[cfg(feature = "tls")]
    if addresses
        .iter()
        .any(|address| address.starts_with("https://"))
    {
        options = options.tls(trust(setup)?);
    }
    options = addresses.into_iter().fold(options, Options::address);
    if let Some(token) = get("CONSUL_HTTP_TOKEN") {
        options = options.token(token);
    }
    // As in Consul's programs the file goes before the variable.
    if let Some(path) = get("CONSUL_HTTP_TOKEN_FILE") {
        let token = fs::read_to_string(path).map_err(|error| {
            wrong(format!(
                "cannot read {path}, which CONSUL_HTTP_TOKEN_FILE names: {error}"
            ))
        })?;
        if !token.trim().is_empty() {
            options = options.token(token.trim());
        }
    }
    if let Some(auth) = get("CONSUL_HTTP_AUTH") {
        let (user, password) = auth.split_once(':').unwrap_or((auth, ""));
        options = options.auth(user, password);
    }
    if let Some(namespace) = get("CONSUL_NAMESPACE") {
        options = options.namespace(namespace);
    }
    Ok(options)
}

/// The agents, each with `http://` or `https://` before it.
fn addresses(setup: &Setup) -> Result<Vec<String>> {
    let secure = switch(setup, "CONSUL_HTTP_SSL")?.unwrap_or(false);
    let variable = setup.variables.get("CONSUL_HTTP_ADDR");
    let named: Vec<&str> = match &*setup.addresses {
        [] => vec![variable.unwrap_or(DEFAULT)],
        named => named.iter().map(String::as_str).collect(),
    };
    let with_scheme = |address: &str| match (address.contains("://"), secure) {
        (true, _) => address.to_owned(),
        (false, true) => format!("https://{address}"),
        (false, false) => format!("http://{address}"),
    };
    Ok(named.into_iter().map(with_scheme).collect())
}

/// Whom TLS trusts and what it shows.
#[cfg(feature = "tls")]
fn trust(setup: &Setup) -> Result<ClientTls> {
    let get = |name| setup.variables.get(name);
    let tls = match get("CONSUL_CACERT") {
        _ if switch(setup, "CONSUL_HTTP_SSL_VERIFY")? == Some(false) => ClientTls::new().insecure(),
        Some(path) => ClientTls::new().ca_file(path)?,
        None => {
            return Err(wrong(
                "TLS to Consul needs to know whom to trust: name a CA (CONSUL_CACERT)".to_owned(),
            ));
        }
    };
    match (get("CONSUL_CLIENT_CERT"), get("CONSUL_CLIENT_KEY")) {
        (Some(certificate), Some(key)) => Ok(tls.identity(Identity::from_files(certificate, key)?)),
        (None, None) => Ok(tls),
        _ => Err(wrong(
            "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY belong together: give both".to_owned(),
        )),
    }
}

/// What Go's `strconv.ParseBool` reads.
fn switch(setup: &Setup, name: &str) -> Result<Option<bool>> {
    match setup.variables.get(name) {
        None => Ok(None),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
        Some(other) => Err(wrong(format!("{name} takes true or false, not {other:?}"))),
    }
}

fn wrong(text: String) -> Error {
    Error::bad_request(ID, text)
}

/// Where Consul's programs look for it.
const DEFAULT: &str = "127.0.0.1:8500";
