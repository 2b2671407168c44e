//! Field masks as text: paths in camelCase, with commas between them.

use prost_types::FieldMask;

use super::fault::{Fault, Kind, Result, Short};

/// Writes `user.display_name` as `user.displayName`.
pub(super) fn write(mask: &FieldMask, out: &mut String) -> Result<()> {
    for (index, path) in mask.paths.iter().enumerate() {
        let camel = camel(path);
        // A reader must get the same path back.
        if !is_path(path) || snake(&camel) != *path {
            return Err(invalid("has no camelCase form", path));
        }
        if index > 0 {
            out.push(',');
        }
        out.push_str(&camel);
    }
    Ok(())
}

/// Reads what [`write`] writes.
pub(super) fn parse(text: &str) -> Result<FieldMask> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(FieldMask::default());
    }
    let paths = text.split(',').map(|path| {
        let snake = snake(path);
        if path.contains('_') || !is_path(&snake) {
            return Err(invalid("is no path", path));
        }
        Ok(snake)
    });
    Ok(FieldMask {
        paths: paths.collect::<Result<_>>()?,
    })
}

fn invalid(why: &str, path: &str) -> Fault {
    Fault::new(
        Kind::FieldMask,
        format!(
            "google.protobuf.FieldMask: {:?} {why}",
            Short(path).to_string()
        ),
    )
}

/// Whether this is names with dots between them.
fn is_path(path: &str) -> bool {
    path.split('.').all(|name| {
        let letters = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(letters)
    })
}

fn camel(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut after_underscore = false;
    for c in path.chars() {
        if c != '_' {
            out.push(if after_underscore {
                c.to_ascii_uppercase()
            } else {
                c
            });
        }
        after_underscore = c == '_';
    }
    out
}

fn snake(path: &str) -> String {
    let mut out = String::with_capacity(path.len() + 4);
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(paths: &[&str]) -> Result<String> {
        let paths = paths.iter().map(|path| (*path).to_owned()).collect();
        let mut out = String::new();
        write(&FieldMask { paths }, &mut out).map(|()| out)
    }

    #[test]
    fn paths_go_to_camel_case_and_back() {
        for (paths, text) in [
            (&[][..], ""),
            (&["a"], "a"),
            (
                &["user.display_name", "photo", "_a"],
                "user.displayName,photo,A",
            ),
        ] {
            assert_eq!(written(paths).unwrap(), text);
            assert_eq!(parse(text).unwrap().paths, paths);
        }
    }

    #[test]
    fn paths_that_would_not_come_back_are_refused() {
        for path in [
            "fooBar", "foo_3", "foo__bar", "foo_", "", "a..b", "a b", "3a",
        ] {
            assert_eq!(
                written(&[path]).unwrap_err().kind(),
                Kind::FieldMask,
                "{path}"
            );
        }
        for text in ["a_b", "a,,b", "a.", "a b", "3"] {
            assert_eq!(parse(text).unwrap_err().kind(), Kind::FieldMask, "{text}");
        }
    }
}
