//! Writes HTML. What is not written in this program can only come in escaped.

/// A page being written.
#[derive(Debug, Default)]
pub(super) struct Html(String);

/// The looks that a text can have: classes of the style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Plain,
    Number,
    Good,
    Bad,
    Mild,
    Soft,
}

impl Look {
    const fn class(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Number => "number",
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Mild => "mild",
            Self::Soft => "soft",
        }
    }
}

impl Html {
    /// Appends HTML as it is.
    pub(super) fn raw(&mut self, html: &'static str) {
        self.0.push_str(html);
    }

    /// Appends text, escaped: fit between tags and in a quoted attribute.
    pub(super) fn text(&mut self, text: &str) {
        for char in text.chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(char),
                // What turns text around or hides it is shown as what it is.
                _ if is_hidden(char) => self.0.push_str(&format!("\\u{{{:x}}}", u32::from(char))),
                _ => self.0.push(char),
            }
        }
    }

    /// `text` between the tags of `element`, which is a plain name, with a look.
    pub(super) fn element(&mut self, element: &'static str, look: Look, text: &str) {
        self.open(element, look);
        self.text(text);
        self.close(element);
    }

    pub(super) fn open(&mut self, element: &'static str, look: Look) {
        self.raw("<");
        self.raw(element);
        if look != Look::Plain {
            self.raw(" class=\"");
            self.raw(look.class());
            self.raw("\"");
        }
        self.raw(">");
    }

    pub(super) fn close(&mut self, element: &'static str) {
        self.raw("</");
        self.raw(element);
        self.raw(">");
    }

    /// Begins a table with these columns.
    pub(super) fn table(&mut self, columns: &[(&'static str, Look)]) {
        self.raw("<table>\n<tr>");
        for (column, look) in columns {
            self.element("th", *look, column);
        }
        self.raw("</tr>\n");
    }

    pub(super) fn row(&mut self, cells: &[(Look, &str)]) {
        self.raw("<tr>");
        for (look, cell) in cells {
            self.element("td", *look, cell);
        }
        self.raw("</tr>\n");
    }

    pub(super) fn end_table(&mut self) {
        self.raw("</table>\n");
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}

/// Control characters, and those that change the direction of others or have no width.
fn is_hidden(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_html() {
        let mut html = Html::default();
        html.text("</td><script>alert('x')</script>&\" \u{202e}\u{7}é");
        assert_eq!(
            html.finish(),
            "&lt;/td&gt;&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot; \\u{202e}\\u{7}é"
        );
    }
}
