//! Which nodes a call may go to at all.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use super::version;
use crate::registry::NodeEntry;

/// Lets nodes pass or not. Made by one of the functions below, or of a function of one's own.
///
/// Filters work one after the other, the client's before the call's: after a filter for a region
/// [`latest`](Filter::latest) is the latest version of that region. What they let pass is kept with
/// the snapshot of the nodes, so that a call only finds it; a function of one's own that a client has
/// is therefore asked once about each node as long as the node does not change. A function that is
/// given to a call is asked by that call, after all other filters.
///
/// What is kept is bounded: sixteen lists of filters a snapshot, and for each of them four filters of
/// canaries and zones, the first that calls come with. Calls with others look through the nodes
/// themselves, each of them anew.
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
    Latest,
    Label(Arc<str>, Arc<str>),
    Endpoint(Arc<str>),
    Own(Arc<dyn Fn(&NodeEntry) -> bool + Send + Sync>),
}

impl Filter {
    /// Nodes of exactly this version; of the [latest](Filter::latest) where it is empty.
    pub fn version(version: impl Into<Arc<str>>) -> Self {
        let version = version.into();
        if version.is_empty() {
            Self::latest()
        } else {
            Self(Kind::Version(version))
        }
    }

    /// Nodes of the latest version that there is, also where none of them can be reached just now.
    ///
    /// Versions are ordered by their numbers, so that `1.10` is later than `1.9` (Go Micro's own
    /// filter goes by letters); `1.2.0-rc.1` is before `1.2.0`, and `v1.2` is `1.2.0`. The version
    /// `latest`, which services have that name none, is later than any other, and no version is
    /// earlier than any other.
    pub fn latest() -> Self {
        Self(Kind::Latest)
    }

    /// Nodes whose metadata has `value` under `key`.
    pub fn label(key: impl Into<Arc<str>>, value: impl Into<Arc<str>>) -> Self {
        Self(Kind::Label(key.into(), value.into()))
    }

    /// Nodes of a version that has an endpoint of this name, `Say.Hello`.
    pub fn endpoint(name: impl Into<Arc<str>>) -> Self {
        Self(Kind::Endpoint(name.into()))
    }

    /// Leaves those nodes in `list` that pass.
    pub(super) fn apply(&self, list: &mut Vec<Arc<NodeEntry>>) {
        if let Kind::Latest = self.0 {
            let versions = list.iter().map(|node| node.version());
            let latest = versions.max_by(|one, other| version::compare(one, other));
            let Some(latest) = latest.map(str::to_owned) else {
                return;
            };
            list.retain(|node| version::compare(node.version(), &latest) == Ordering::Equal);
        } else {
            list.retain(|node| self.passes(node));
        }
    }

    /// Whether `node` passes, whatever other nodes there are.
    pub(super) fn passes(&self, node: &NodeEntry) -> bool {
        match &self.0 {
            Kind::Version(version) => node.version() == &**version,
            Kind::Latest => true,
            Kind::Label(key, value) => node.metadata(key) == Some(value),
            Kind::Endpoint(name) => {
                let mut endpoints = node.service.endpoints.iter();
                endpoints.any(|endpoint| *endpoint.name == **name)
            }
            Kind::Own(passes) => passes(node),
        }
    }

    /// Whether it looks at each node alone.
    pub(super) fn looks_at_one(&self) -> bool {
        !matches!(self.0, Kind::Latest)
    }

    pub(super) fn is_own(&self) -> bool {
        matches!(self.0, Kind::Own(_))
    }

    /// Whether both certainly let the same nodes pass.
    pub(super) fn is(&self, other: &Self) -> bool {
        /// Most filters of calls are clones of one, so that the words need not be looked at.
        fn same(one: &Arc<str>, other: &Arc<str>) -> bool {
            Arc::ptr_eq(one, other) || one == other
        }
        match (&self.0, &other.0) {
            (Kind::Version(one), Kind::Version(other))
            | (Kind::Endpoint(one), Kind::Endpoint(other)) => same(one, other),
            (Kind::Latest, Kind::Latest) => true,
            (Kind::Label(key, value), Kind::Label(other_key, other_value)) => {
                same(key, other_key) && same(value, other_value)
            }
            (Kind::Own(one), Kind::Own(other)) => Arc::ptr_eq(one, other),
            _ => false,
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
            Kind::Latest => f.write_str("latest version"),
            Kind::Label(key, value) => write!(f, "{key}={value}"),
            Kind::Endpoint(name) => write!(f, "endpoint={name}"),
            Kind::Own(_) => f.write_str("own"),
        }
    }
}
