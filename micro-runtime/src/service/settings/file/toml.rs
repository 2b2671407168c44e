//! TOML, with the lines that values stand in.

use toml::de::{DeTable, DeValue};

use super::{Item, Node, Wrong, line_of};

/// The keys of the document that `text` is.
pub(super) fn parse(text: &str) -> Result<Vec<Item>, Wrong> {
    let document = DeTable::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        (line_of(text, at), error.message().to_owned())
    })?;
    Ok(items(text, document.get_ref()))
}

fn items(text: &str, table: &DeTable<'_>) -> Vec<Item> {
    let item = |(key, value): (
        &toml::Spanned<std::borrow::Cow<'_, str>>,
        &toml::Spanned<DeValue<'_>>,
    )| Item {
        key: key.get_ref().clone().into_owned(),
        line: line_of(text, key.span().start),
        node: node(text, value.get_ref()),
    };
    let mut items: Vec<_> = table.iter().map(item).collect();
    // The table is ordered by its keys; what is told first is what stands first.
    items.sort_by_key(|item| item.line);
    items
}

fn node(text: &str, value: &DeValue<'_>) -> Node {
    match value {
        DeValue::String(value) => Node::One(value.clone().into_owned()),
        DeValue::Integer(value) => match i64::from_str_radix(value.as_str(), value.radix()) {
            Ok(number) => Node::One(number.to_string()),
            Err(_) => Node::Other("number of that size"),
        },
        DeValue::Float(value) => Node::One(value.as_str().to_owned()),
        DeValue::Boolean(value) => Node::One(value.to_string()),
        DeValue::Datetime(_) => Node::Other("date"),
        DeValue::Array(values) => {
            let item = |value: &toml::Spanned<DeValue<'_>>| Item {
                key: String::new(),
                line: line_of(text, value.span().start),
                node: node(text, value.get_ref()),
            };
            Node::Many(values.iter().map(item).collect())
        }
        DeValue::Table(table) => Node::Table(items(text, table)),
    }
}
