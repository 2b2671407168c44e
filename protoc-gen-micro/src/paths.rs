//! Paths in options: which messages and fields an option speaks of.
//!
//! `.pkg.Message.field` names one, `.pkg` all below it, `Message.field` all of that ending, `.` all.

/// The first of `paths` that best matches `full`, by prost-build's order: the whole, then endings
/// from the longest, then beginnings from the longest, then `.`.
pub(crate) fn best<'a>(paths: &'a [String], full: &str) -> Option<&'a String> {
    candidates(full).find_map(|candidate| paths.iter().find(|path| *path == candidate))
}

fn candidates(full: &str) -> impl Iterator<Item = &str> {
    let endings = std::iter::successors(Some(full), |path| {
        path.split_once('.')
            .map(|(_, rest)| rest)
            .filter(|rest| !rest.is_empty())
    });
    let beginnings = std::iter::successors(Some(full), |path| {
        path.rsplit_once('.')
            .map(|(rest, _)| rest)
            .filter(|rest| !rest.is_empty())
    });
    endings
        .chain(beginnings.skip(1))
        .chain(std::iter::once("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_go_from_the_whole_to_everything() {
        let all: Vec<_> = candidates(".a.b.C").collect();
        assert_eq!(all, [".a.b.C", "a.b.C", "b.C", "C", ".a.b", ".a", "."]);
    }

    #[test]
    fn the_best_match_wins_over_the_first() {
        let paths = [".".to_owned(), ".a".to_owned(), "C".to_owned()];
        assert_eq!(best(&paths, ".a.b.C").map(String::as_str), Some("C"));
        assert_eq!(best(&paths[..2], ".a.b.C").map(String::as_str), Some(".a"));
        assert_eq!(best(&[], ".a"), None);
    }
}
