//! Variables that are not ours, and that drivers read: Consul's own.

use std::collections::BTreeMap;
use std::fmt;

/// All that is passed on: what is not named here no driver sees.
///
/// The first ones are those of Consul's own programs, which Go Micro honours too.
pub(super) const NAMES: [&str; 10] = [
    "CONSUL_HTTP_ADDR",
    "CONSUL_HTTP_TOKEN",
    "CONSUL_HTTP_TOKEN_FILE",
    "CONSUL_HTTP_AUTH",
    "CONSUL_HTTP_SSL",
    "CONSUL_HTTP_SSL_VERIFY",
    "CONSUL_CACERT",
    "CONSUL_CLIENT_CERT",
    "CONSUL_CLIENT_KEY",
    "CONSUL_NAMESPACE",
];

/// Variables of drivers that are set, by name. They may hold secrets: values are not shown.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Variables(BTreeMap<&'static str, String>);

impl Variables {
    /// The value of a variable; what is set to nothing is not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.0.insert(name, value);
    }
}

impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
