//! The fixed dishes that both sides of a kitchen test know by name: the same as in
//! `tests/peers/go/internal/recipes`.

mod difference;
mod field;
mod named;

pub use difference::difference;
pub use field::field_names;

use crate::proto::kitchen::Dish;

/// The named recipes, sorted.
pub fn names() -> Vec<String> {
    let mut names: Vec<_> = named::NAMED
        .iter()
        .map(|(name, _)| (*name).to_owned())
        .collect();
    names.sort();
    names
}

/// A new dish of the recipe, which is one of [`names`] or of [`field_names`].
pub fn make(name: &str) -> Option<Dish> {
    match named::NAMED.iter().find(|(known, _)| *known == name) {
        Some((_, make)) => Some(make()),
        None => field::make(name),
    }
}
