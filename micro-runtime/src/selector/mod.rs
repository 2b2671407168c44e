//! Which node a call goes to.

/// How nodes are chosen for one call.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SelectOptions {
    /// All must let a node pass.
    pub filters: Vec<Filter>,
    /// How one of those left is chosen; the client's where `None`.
    pub strategy: Option<Strategy>,
}

/// Lets nodes pass or not.
#[derive(Clone, Debug)]
pub struct Filter;

/// Chooses one node.
#[derive(Clone, Debug)]
pub struct Strategy;
