//! The name of this machine.

use super::dns::Name;

/// The machine's name as a DNS name. It only ties a node's address to its place, so that any other
/// does where the system tells none.
pub(super) fn name() -> Name {
    let files = ["/proc/sys/kernel/hostname", "/etc/hostname"];
    files
        .iter()
        .filter_map(|file| std::fs::read_to_string(file).ok())
        .find_map(|name| Name::parse(name.trim()).ok())
        .or_else(|| Name::parse("micro").ok())
        .unwrap_or_default()
}
