//! The text of `.proto` files, as far as we look at it ourselves.

/// Where the first statement begins, behind blanks and comments.
pub(crate) fn first_statement(source: &str) -> usize {
    let mut rest = source;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let end = if rest.starts_with("//") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|at| at + 2)
        } else {
            None
        };
        match end {
            Some(end) => rest = &rest[end..],
            None => return source.len() - rest.len(),
        }
    }
}

/// The text with a star on each blank line of a block comment. Line numbers stay.
///
/// protox drops these lines otherwise, and with them a comment's paragraphs.
pub(crate) fn with_starred_comments(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '/' if rest.starts_with("/*") => {
                let end = rest[2..].find("*/").map_or(rest.len(), |at| at + 4);
                star(&rest[..end], &mut out);
                rest = &rest[end..];
                continue;
            }
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => string(rest, first),
            _ => first.len_utf8(),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out
}

fn star(comment: &str, out: &mut String) {
    for (index, line) in comment.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(if line.trim().is_empty() { "*" } else { line });
    }
}

/// How long the string is that `rest` begins with.
fn string(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, c)| {
        let literal = std::mem::take(&mut escaped);
        escaped = *c == '\\' && !literal;
        // A string ends with its line, and is then wrong.
        (*c == quote && !literal) || *c == '\n'
    });
    end.map_or(rest.len(), |(at, c)| at + c.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_statement_is_behind_blanks_and_comments() {
        for source in ["edition = 1", "\n // a\n/* b\n*/ // edition\n\tedition = 1"] {
            assert!(source[first_statement(source)..].starts_with("edition = 1"));
        }
        assert_eq!(first_statement("// only"), 0);
    }

    #[test]
    fn blank_lines_of_block_comments_alone_get_a_star() {
        assert_eq!(
            with_starred_comments("/* a\n\n  \n b\n*/\n\nx = \"/*\\\"\n\n*/\"; // /*\n\n"),
            "/* a\n*\n*\n b\n*/\n\nx = \"/*\\\"\n\n*/\"; // /*\n\n"
        );
    }
}
