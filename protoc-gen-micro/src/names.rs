//! Names: from `.proto` to Rust, exactly as prost-build forms them, and to Go, as Go Micro's
//! registry shows them.

use heck::{ToShoutySnakeCase, ToSnakeCase, ToUpperCamelCase};
use proc_macro2::{Ident, Span};

/// A field, method or module name: `userID` becomes `user_id`, `type` becomes `r#type`.
pub fn snake(name: &str) -> String {
    sanitize(&name.to_snake_case())
}

/// A type or variant name: `FOO_BAR` becomes `FooBar`, `self` becomes `Self_`.
pub fn camel(name: &str) -> String {
    sanitize(&name.to_upper_camel_case())
}

/// The name of a constant: `GreeterV2` becomes `GREETER_V2`.
pub fn shouty(name: &str) -> String {
    name.to_shouty_snake_case()
}

/// An enum's variant: `STATUS_OK` of `Status` becomes `Ok`.
pub fn variant(enum_name: &str, value: &str) -> String {
    let name = camel(value);
    let rest = name.strip_prefix(&camel(enum_name)).unwrap_or(&name);
    // `Foobar` does not begin with the word `Foo`.
    if rest.starts_with(char::is_uppercase) {
        sanitize(rest)
    } else {
        sanitize(&name)
    }
}

/// An identifier, raw ones included.
pub fn ident(name: &str) -> Ident {
    match name.strip_prefix("r#") {
        Some(raw) => Ident::new_raw(raw, Span::call_site()),
        None => Ident::new(name, Span::call_site()),
    }
}

/// A name below its package as protoc-gen-go spells it: `say_it` becomes `SayIt`, `Outer.Inner`
/// `Outer_Inner`.
pub fn go(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars().peekable();
    // Whether a name begins here, and whether a letter here begins a word.
    let (mut first, mut up) = (true, true);
    while let Some(c) = chars.next() {
        let next_is_lower = chars.peek().is_some_and(char::is_ascii_lowercase);
        let begins = std::mem::take(&mut first);
        match c {
            '.' if next_is_lower => up = true,
            '.' => {
                out.push('_');
                (first, up) = (true, true);
            }
            // A leading underscore cannot be exported in Go.
            '_' if begins => out.push('X'),
            '_' if next_is_lower => up = true,
            '0'..='9' => {
                out.push(c);
                up = true;
            }
            _ => {
                out.push(if up { c.to_ascii_uppercase() } else { c });
                up = false;
            }
        }
    }
    out
}

/// Escapes keywords as prost-build does.
fn sanitize(name: &str) -> String {
    const RAW: [&str; 47] = [
        "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do",
        "dyn", "else", "enum", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let",
        "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return",
        "static", "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use",
        "virtual", "where", "while", "yield",
    ];
    match name {
        "_" | "super" | "self" | "Self" | "extern" | "crate" => format!("{name}_"),
        _ if RAW.contains(&name) => format!("r#{name}"),
        _ if name.starts_with(char::is_numeric) => format!("_{name}"),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keywords_are_escaped() {
        assert_eq!(snake("type"), "r#type");
        assert_eq!(snake("gen"), "r#gen");
        assert_eq!(snake("self"), "self_");
        assert_eq!(camel("self"), "Self_");
        assert_eq!(snake("0x"), "_0x");
        assert_eq!(ident("r#type").to_string(), "r#type");
    }

    #[test]
    fn variants_lose_the_name_of_their_enum() {
        assert_eq!(variant("Status", "STATUS_OK"), "Ok");
        assert_eq!(variant("Foo", "Foobar"), "Foobar");
        assert_eq!(variant("Foo", "FOO_1"), "Foo1");
        assert_eq!(variant("Foo", "FOO_SELF"), "Self_");
    }

    #[test]
    fn go_names_are_exported() {
        assert_eq!(go("say_it"), "SayIt");
        assert_eq!(go("_hidden"), "XHidden");
        assert_eq!(go("Foo_Bar"), "Foo_Bar");
        assert_eq!(go("v1beta"), "V1Beta");
        assert_eq!(go("Outer.Inner"), "Outer_Inner");
        assert_eq!(go("Outer.inner"), "OuterInner");
        assert_eq!(go("HTTPRule"), "HTTPRule");
    }
}
