//! Endpoints as Go Micro's server registers them: value trees with Go's names and types, and the
//! metadata that `google.api.http` brings.

use proc_macro2::TokenStream;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor, ReflectMessage,
    Value,
};
use quote::quote;

use crate::names;

/// Fields deeper than this are left out, as Go Micro does.
const DEPTH: usize = 3;

/// The endpoint of `method`, which is called `name`: `Say.Hello`.
pub(crate) fn endpoint(method: &MethodDescriptor, name: &str) -> TokenStream {
    let (request, response) = if method.is_client_streaming() || method.is_server_streaming() {
        // What Go finds in a stream handler's signature.
        (
            value("Context", "Context", &[]),
            value("Stream", "Stream", &[]),
        )
    } else {
        (root(&method.input()), root(&method.output()))
    };
    let metadata = metadata(method, name);
    let (keys, values): (Vec<_>, Vec<_>) = metadata.into_iter().unzip();
    quote! {
        ::micro_runtime::codegen::endpoint!(#name, #request, #response, [#(#keys = #values),*])
    }
}

fn root(message: &MessageDescriptor) -> TokenStream {
    let name = go_name(message.package_name(), message.full_name());
    value(&name, &name, &fields(message, 1))
}

fn value(name: &str, kind: &str, values: &[TokenStream]) -> TokenStream {
    quote!((#name, #kind #(, #values)*))
}

fn fields(message: &MessageDescriptor, depth: usize) -> Vec<TokenStream> {
    if depth == DEPTH {
        return Vec::new();
    }
    let mut fields: Vec<_> = message.fields().collect();
    fields.sort_by_key(|field| field.path().last().copied());
    let mut oneofs = Vec::new();
    let mut out = Vec::new();
    for field in fields {
        let oneof = field
            .containing_oneof()
            .filter(|oneof| !oneof.is_synthetic());
        match oneof {
            None => out.push(of_field(&field, depth)),
            Some(oneof) if oneofs.contains(&oneof) => {}
            Some(oneof) => {
                // A oneof is a field of an interface type, which has no JSON name.
                let message = go_name(message.package_name(), message.full_name());
                let name = format!("is{message}_{}", names::go(oneof.name()));
                out.push(value(&name, &name, &[]));
                oneofs.push(oneof);
            }
        }
    }
    out
}

fn of_field(field: &FieldDescriptor, depth: usize) -> TokenStream {
    let name = field.name();
    if field.is_map() {
        // An unnamed type of Go.
        return value(name, "", &[]);
    }
    let kind = go_type(field);
    if field.is_list() {
        // The element of `[][]byte` has no name.
        let element = if kind.starts_with('[') { "" } else { &kind };
        return value(name, &format!("[]{element}"), &[]);
    }
    match field.kind() {
        Kind::Message(message) => value(name, &kind, &fields(&message, depth + 1)),
        _ => value(name, &kind, &[]),
    }
}

fn go_type(field: &FieldDescriptor) -> String {
    let name = match field.kind() {
        Kind::Double => "float64",
        Kind::Float => "float32",
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => "int32",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => "int64",
        Kind::Uint32 | Kind::Fixed32 => "uint32",
        Kind::Uint64 | Kind::Fixed64 => "uint64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "[]uint8",
        Kind::Message(ty) => return go_name(ty.package_name(), ty.full_name()),
        Kind::Enum(ty) => return go_name(ty.package_name(), ty.full_name()),
    };
    name.to_owned()
}

fn go_name(package: &str, full_name: &str) -> String {
    let name = full_name
        .strip_prefix(package)
        .map_or(full_name, |rest| rest.trim_start_matches('.'));
    names::go(name)
}

/// `stream`, and the route that `google.api.http` gives, in the keys of Go Micro's `api.Encode`:
/// `endpoint`, `path`, `method`, `body`, `handler`.
///
/// With `additional_bindings`, `path` and `method` are lists joined by commas, each name once, as
/// Go's gateway reads them; it then takes any of the methods with any of the paths. The key
/// `bindings` says which belong together: `GET /v1/a|POST /v1/a *`, each a method, a path and
/// where the body goes.
fn metadata(method: &MethodDescriptor, name: &str) -> Vec<(&'static str, String)> {
    let mut out = Vec::new();
    let stream = method.is_client_streaming() || method.is_server_streaming();
    if stream {
        out.push(("stream", "true".to_owned()));
    }
    let bindings = bindings(method);
    let Some(first) = bindings.first() else {
        return out;
    };
    let list = |of: fn(&Binding) -> &String| {
        let mut names: Vec<&str> = Vec::new();
        for binding in &bindings {
            let name = of(binding).as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names.join(",")
    };
    out.push(("endpoint", name.to_owned()));
    out.push(("path", list(|binding| &binding.path)));
    out.push(("method", list(|binding| &binding.method)));
    if !first.body.is_empty() {
        out.push(("body", first.body.clone()));
    }
    out.push(("handler", "rpc".to_owned()));
    if bindings.len() > 1 {
        let all: Vec<String> = bindings.iter().map(Binding::to_string).collect();
        out.push(("bindings", all.join("|")));
    }
    out
}

struct Binding {
    method: String,
    path: String,
    body: String,
}

impl std::fmt::Display for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if !self.body.is_empty() {
            write!(f, " {}", self.body)?;
        }
        Ok(())
    }
}

/// The route of `google.api.http`, then its additional ones. Read through descriptors: prost's
/// types have lost the option.
fn bindings(method: &MethodDescriptor) -> Vec<Binding> {
    let pool = method.parent_pool();
    let Some(extension) = pool.get_extension_by_name("google.api.http") else {
        return Vec::new();
    };
    let options = method.options();
    let rule = options.get_extension(&extension);
    let Some(rule) = rule
        .as_message()
        .filter(|_| options.has_extension(&extension))
    else {
        return Vec::new();
    };
    let additional = rule.get_field_by_name("additional_bindings");
    let additional = additional.as_deref().and_then(Value::as_list);
    let additional = additional
        .into_iter()
        .flatten()
        .filter_map(Value::as_message);
    [rule]
        .into_iter()
        .chain(additional)
        .filter_map(binding)
        .collect()
}

fn binding(rule: &DynamicMessage) -> Option<Binding> {
    let text = |message: &DynamicMessage, name: &str| {
        let field = message.get_field_by_name(name);
        let text = field.as_deref().and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let pattern = rule
        .descriptor()
        .oneofs()
        .find(|oneof| oneof.name() == "pattern")?;
    let set = pattern.fields().find(|field| rule.has_field(field))?;
    let (method, path) = match rule.get_field(&set).as_message() {
        Some(custom) => (text(custom, "kind"), text(custom, "path")),
        None => (set.name().to_uppercase(), text(rule, set.name())),
    };
    Some(Binding {
        method,
        path,
        body: text(rule, "body"),
    })
}
