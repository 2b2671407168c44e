//! Comments of `.proto` files as doc comments that rustdoc reads without complaint: nothing in them
//! becomes a doctest, a link to an item that is not there, or HTML.

use prost_types::source_code_info::Location;

/// The lines of an item's doc comment, without the `///`.
pub(crate) fn lines(location: &Location) -> Vec<String> {
    let mut out = Vec::new();
    for comment in [&location.leading_comments, &location.trailing_comments] {
        let lines = comment.as_deref().map(render).unwrap_or_default();
        if !out.is_empty() && !lines.is_empty() {
            out.push(String::new());
        }
        out.extend(lines);
    }
    out
}

/// Where the text stands while its lines are read.
enum Block {
    Text {
        after_blank: bool,
    },
    /// Between fences: the fence that closes it.
    Fence(String),
    /// Lines set in by four, between fences of ours.
    Indented,
}

fn render(comment: &str) -> Vec<String> {
    let lines: Vec<String> = comment.lines().map(clean).collect();
    // protoc keeps the space after `//`, and of `///` also the third slash.
    let lines = without(lines, '/');
    let lines = without(lines, ' ');
    let lines = lines.iter().map(String::as_str);
    let mut out = Vec::new();
    let mut block = Block::Text { after_blank: true };
    let mut blanks = 0;
    for line in lines {
        let text = line.trim_start_matches(' ');
        let indent = line.len() - text.len();
        if let Block::Fence(fence) = &block {
            let closes = text
                .trim_end()
                .trim_start_matches(fence.as_bytes()[0] as char)
                .is_empty()
                && text.starts_with(fence.as_str());
            out.push(line.to_owned());
            if closes {
                block = Block::Text { after_blank: false };
            }
            continue;
        }
        if text.is_empty() {
            blanks += 1;
            if let Block::Text { after_blank } = &mut block {
                *after_blank = true;
            }
            continue;
        }
        if let Block::Indented = block
            && indent < 4
        {
            out.push("```".to_owned());
            block = Block::Text { after_blank: true };
        }
        if !out.is_empty() {
            out.extend((0..blanks).map(|_| String::new()));
        }
        blanks = 0;
        block = match block {
            Block::Text { after_blank: true } if indent >= 4 && list_marker(text) == 0 => {
                out.push("```text".to_owned());
                out.push(line[4..].to_owned());
                Block::Indented
            }
            Block::Indented => {
                out.push(line[4..].to_owned());
                Block::Indented
            }
            _ => match fence(text) {
                Some(fence) => {
                    out.push(format!("{}{fence}text", " ".repeat(indent.min(3))));
                    Block::Fence(fence)
                }
                None => {
                    out.push(format!("{}{}", " ".repeat(indent.min(3)), escape(text)));
                    Block::Text { after_blank: false }
                }
            },
        };
    }
    match block {
        Block::Text { .. } => {}
        Block::Fence(fence) => out.push(fence),
        Block::Indented => out.push("```".to_owned()),
    }
    out
}

/// Without a character that all lines begin with.
fn without(mut lines: Vec<String>, first: char) -> Vec<String> {
    let has = |line: &String| line.is_empty() || line.starts_with(first);
    if lines.iter().all(has) {
        for line in lines.iter_mut().filter(|line| !line.is_empty()) {
            line.remove(0);
        }
    }
    lines
}

/// Without what a doc comment cannot hold, tabs at the beginning widened.
fn clean(line: &str) -> String {
    let line = line.trim_end();
    let rest = line.trim_start_matches([' ', '\t']);
    let lead = line[..line.len() - rest.len()].replace('\t', "    ");
    let rest = rest.chars().filter(|c| {
        // Control characters, and those that turn the direction of text: rustc denies them.
        !c.is_control() && !matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    });
    lead.chars().chain(rest).collect()
}

/// The fence that `text` opens: three or more backticks or tildes.
fn fence(text: &str) -> Option<String> {
    let mark = text.chars().next().filter(|c| matches!(c, '`' | '~'))?;
    let length = text.chars().take_while(|c| *c == mark).count();
    let info = &text[length..];
    (length >= 3 && !(mark == '`' && info.contains('`'))).then(|| mark.to_string().repeat(length))
}

/// How long the list markers and quote signs are that `text` begins with.
fn list_marker(text: &str) -> usize {
    let mut length = 0;
    loop {
        let rest = &text[length..];
        let digits = rest.chars().take_while(char::is_ascii_digit).count();
        let mark = match rest[digits..].chars().next() {
            Some('-' | '*' | '+' | '>') if digits == 0 => 1,
            Some('.' | ')') if digits > 0 => digits + 1,
            _ => return length,
        };
        let spaces = rest[mark..].len() - rest[mark..].trim_start().len();
        if spaces == 0 {
            return length;
        }
        length += mark + spaces;
    }
}

/// Escapes what Markdown and rustdoc would take for links, HTML or code that is none.
fn escape(text: &str) -> String {
    let marker = list_marker(text);
    let mut out = String::with_capacity(text.len() + 8);
    // More than one space after a marker could make the rest of the line a code block.
    for word in text[..marker].split_whitespace() {
        out.push_str(word);
        out.push(' ');
    }
    let mut rest = &text[marker..];
    while let Some(c) = rest.chars().next() {
        let taken = match c {
            '\\' if rest[1..].starts_with(|c: char| c.is_ascii_punctuation()) => {
                out.push_str(&rest[..2]);
                2
            }
            '`' => code_span(rest, &mut out),
            '<' => match autolink(rest) {
                Some(length) => {
                    out.push_str(&rest[..length]);
                    length
                }
                None => {
                    out.push_str("\\<");
                    1
                }
            },
            '[' => match inline_link(rest) {
                Some((label, url, length)) => {
                    out.push_str(&format!("[{}](<{url}>)", escape_label(label)));
                    length
                }
                None => {
                    out.push_str("\\[");
                    1
                }
            },
            ']' => {
                out.push_str("\\]");
                1
            }
            'h' => match url(rest) {
                Some(length) => {
                    out.push_str(&format!("<{}>", &rest[..length]));
                    length
                }
                None => {
                    out.push(c);
                    1
                }
            },
            _ => {
                out.push(c);
                c.len_utf8()
            }
        };
        rest = &rest[taken..];
    }
    out
}

/// Copies a code span that ends on its line; else backticks are backticks.
fn code_span(rest: &str, out: &mut String) -> usize {
    let run = |text: &str| text.chars().take_while(|c| *c == '`').count();
    let length = run(rest);
    let mut at = length;
    while let Some(next) = rest[at..].find('`') {
        at += next;
        let end = run(&rest[at..]);
        if end == length {
            out.push_str(&rest[..at + end]);
            return at + end;
        }
        at += end;
    }
    for _ in 0..length {
        out.push_str("\\`");
    }
    length
}

/// How long the address is that `rest` begins with; marks that end a sentence are not of it.
fn url(rest: &str) -> Option<usize> {
    let host = rest
        .strip_prefix("https://")
        .or_else(|| rest.strip_prefix("http://"))?;
    let scheme = rest.len() - host.len();
    let end = host
        .find(|c: char| c.is_whitespace() || matches!(c, '<' | '>' | '`' | '"' | ']' | '[' | ')'))
        .unwrap_or(host.len());
    let host = host[..end].trim_end_matches(['.', ',', ';', ':', '!', '?', '\'', '*', '_']);
    (!host.is_empty()).then_some(scheme + host.len())
}

fn autolink(rest: &str) -> Option<usize> {
    let length = url(&rest[1..])?;
    rest[1 + length..].starts_with('>').then_some(length + 2)
}

/// A link to an address, `[label](https://…)`: label, address, length.
fn inline_link(rest: &str) -> Option<(&str, &str, usize)> {
    let (label, after) = rest[1..].split_once("](")?;
    let length = url(after)?;
    let fits = after[length..].starts_with(')') && !label.contains(['[', ']', '`', '\\', '<']);
    fits.then(|| (label, &after[..length], label.len() + length + 4))
}

fn escape_label(label: &str) -> String {
    label.replace("://", "\\://")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(comment: &str) -> Vec<String> {
        render(comment)
    }

    #[test]
    fn plain_text_stays_as_it_is() {
        assert_eq!(lines(" One.\n\n Two `[x]`.\n"), ["One.", "", "Two `[x]`."]);
        assert_eq!(lines("no space\n"), ["no space"]);
        assert_eq!(
            lines("/ Three slashes.\n/\n/ `x`"),
            ["Three slashes.", "", "`x`"]
        );
        assert!(lines(" \n\n").is_empty());
    }

    #[test]
    fn indented_code_becomes_text() {
        assert_eq!(
            lines(" Use:\n\n     let x = 1;\n\n       y()\n\n Then.\n"),
            [
                "Use:",
                "",
                "```text",
                "let x = 1;",
                "",
                "  y()",
                "```",
                "",
                "Then."
            ]
        );
        assert_eq!(
            lines("     first();\n\n after"),
            ["```text", "first();", "```", "", "after"]
        );
        // A paragraph goes on: no code.
        assert_eq!(lines(" a\n      b"), ["a", "   b"]);
        assert_eq!(lines(" -      code?"), ["- code?"]);
    }

    #[test]
    fn fenced_code_becomes_text_and_is_closed() {
        assert_eq!(
            lines(" ```\n fn main() { x[0] }\n ```\n a[1]"),
            ["```text", "fn main() { x[0] }", "```", "a\\[1\\]"]
        );
        assert_eq!(lines(" ~~~rust\n x"), ["~~~text", "x", "~~~"]);
    }

    #[test]
    fn brackets_html_and_addresses_are_made_safe() {
        assert_eq!(
            lines(" see [x] and [y][z]"),
            ["see \\[x\\] and \\[y\\]\\[z\\]"]
        );
        assert_eq!(lines(" \\[x\\]"), ["\\[x\\]"]);
        assert_eq!(lines(" Vec<String> `a` ` b"), ["Vec\\<String> `a` \\` b"]);
        assert_eq!(
            lines(" At https://a.b/c. Or <http://d> or [e](https://f)"),
            ["At <https://a.b/c>. Or <http://d> or [e](<https://f>)"]
        );
        assert_eq!(lines(" [a](b::c)"), ["\\[a\\](b::c)"]);
    }

    #[test]
    fn characters_that_rustc_denies_are_left_out() {
        assert_eq!(lines(" a\u{202e}b\u{7}\r\n c"), ["ab", "c"]);
        assert_eq!(lines(" \u{3000}\u{3000}wide"), ["\u{3000}\u{3000}wide"]);
    }
}
