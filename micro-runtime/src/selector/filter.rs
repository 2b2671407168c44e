//! Which nodes a call may go to at all.

use std::fmt;
use std::sync::Arc;

use crate::registry::NodeEntry;

/// Lets nodes pass or not. Made by one of the functions below, or of a function of one's own.
///
/// ```
/// use micro_runtime::registry::NodeEntry;
/// use micro_runtime::selector::Filter;
///
/// let stable = Filter::version("1.0.0");
/// let near = Filter::label("region", "eu");
/// let own = Filter::from(|node: &NodeEntry| node.address().starts_with("10."));
/// ```
#[derive(Clone)]
pub struct Filter(Kind);

#[derive(Clone)]
enum Kind {
    Version(Arc<str>),
    Label(Arc<str>, Arc<str>),
    Endpoint(Arc<str>),
    Own(Arc<dyn Fn(&NodeEntry) -> bool + Send + Sync>),
}

impl Filter {
    /// Nodes of one version.
    pub fn version(version: impl Into<Arc<str>>) -> Self {
        Self(Kind::Version(version.into()))
    }

    /// Nodes whose metadata has `value` under `key`.
    pub fn label(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self(Kind::Label(key.into(), value.into()))
    }

    /// Nodes of a version that has an endpoint of this name, `Say.Hello`.
    pub fn endpoint(name: impl Into<Arc<str>>) -> Self {
        Self(Kind::Endpoint(name.into()))
    }

    /// Whether `node` passes.
    pub fn passes(&self, node: &NodeEntry) -> bool {
        match &self.0 {
            Kind::Version(version) => node.version() == &**version,
            Kind::Label(key, value) => node.metadata(key) == Some(value),
            Kind::Endpoint(name) => {
                let mut endpoints = node.service.endpoints.iter();
                endpoints.any(|endpoint| *endpoint.name == **name)
            }
            Kind::Own(passes) => passes(node),
        }
    }
}

impl<F: Fn(&NodeEntry) -> bool + Send + Sync + 'static> From<F> for Filter {
    fn from(passes: F) -> Self {
        Self(Kind::Own(Arc::new(passes)))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Version(version) => write!(f, "version={version}"),
            Kind::Label(key, value) => write!(f, "{key}={value}"),
            Kind::Endpoint(name) => write!(f, "endpoint={name}"),
            Kind::Own(_) => f.write_str("own"),
        }
    }
}
