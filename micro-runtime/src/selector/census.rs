//! What the filters make of each node, for who asks why a call did not go to it.

use std::sync::Arc;

use super::subset::{List, Spare};
use super::{Filter, SelectOptions};
use crate::error::why::Zone;
use crate::registry::{NodeEntry, Nodes};

/// Tells about the first `depth` of `nodes` one by one: the filter that leaves it out, if one does.
/// `passes` answers whether the call could have gone there; the number of those that could comes
/// back. Of the others it is taken that filters alone decide.
///
/// Filters are asked only about nodes that they leave out, and of those no more than `depth`.
pub(crate) fn census(
    nodes: &Nodes,
    call: &SelectOptions,
    client: &SelectOptions,
    depth: usize,
    mut passes: impl FnMut(&Arc<NodeEntry>, Option<&Filter>) -> bool,
) -> usize {
    let list = List::of(nodes, &client.filters, &call.filters);
    let list = list.listed().list;
    let own = || call.filters.iter().filter(|filter| filter.is_own());
    // Both are ordered alike, so that one walk finds who is missing.
    let mut next = list.iter().peekable();
    let mut left = list.len();
    for entry in nodes.list.iter().take(depth) {
        match next.next_if(|passed| Arc::ptr_eq(passed, entry)) {
            Some(_) => {
                let filter = own().find(|filter| !filter.passes(entry));
                left -= usize::from(!passes(entry, filter));
            }
            None => {
                let filters = || client.filters.iter().chain(&call.filters);
                let alone = filters().find(|filter| !filter.passes(entry));
                // What no filter leaves out by itself does not pass one that looks at all nodes.
                let filter = alone.or_else(|| filters().find(|filter| !filter.looks_at_one()));
                left += usize::from(passes(entry, filter));
            }
        }
    }
    left
}

/// On which side of a canary `chosen` is, and how it stands to the zone that calls are kept in, as far
/// as they are in force. Which side a call was for nobody has kept: the node tells it.
pub(crate) fn side(
    nodes: &Nodes,
    call: &SelectOptions,
    client: &SelectOptions,
    chosen: &NodeEntry,
    now: u64,
) -> (Option<bool>, Option<Zone>) {
    let canary = call.canary.as_deref().or(client.canary.as_deref());
    let locality = call.locality.as_deref().or(client.locality.as_deref());
    if canary.is_none() && locality.is_none() {
        return (None, None);
    }
    let list = List::of(nodes, &client.filters, &call.filters);
    let spare = Spare::new();
    let mut part = list.listed();
    let canary = canary.map(|canary| {
        let (inside, side) = canary.side(part, &spare, chosen);
        part = side;
        inside
    });
    let zone = locality.map(|locality| locality.side(part, chosen, now));
    (canary, zone)
}
