//! Services as the emitters need them: names that clash with nothing, and methods.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, TokenStream};
use prost_reflect::{FileDescriptor, MethodDescriptor, ServiceDescriptor};
use quote::format_ident;

use crate::docs;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::names;
use crate::source;

/// A service with the names of what is generated for it.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) descriptor: ServiceDescriptor,
    /// The trait's name; with `Service` behind it where another type has its own.
    pub(crate) name: Ident,
    pub(crate) server: Ident,
    pub(crate) client: Ident,
    /// The constant with its methods.
    pub(crate) methods_const: Ident,
    /// The constant with its descriptor.
    pub(crate) descriptor_const: Ident,
    /// As Go Micro calls it: `Say`.
    pub(crate) go_name: String,
    pub(crate) deprecated: bool,
    pub(crate) docs: Vec<String>,
    pub(crate) methods: Vec<Method>,
}

/// A method with its names and types.
#[derive(Debug)]
pub(crate) struct Method {
    pub(crate) descriptor: MethodDescriptor,
    pub(crate) index: u16,
    pub(crate) ident: Ident,
    /// Go Micro's endpoint: `Say.Hello`.
    pub(crate) endpoint: String,
    /// gRPC's path: `/go.micro.srv.greeter.Say/Hello`.
    pub(crate) path: String,
    pub(crate) request: TokenStream,
    pub(crate) response: TokenStream,
    pub(crate) deprecated: bool,
    pub(crate) docs: Vec<String>,
}

/// The services of one package's `files`. Says in `warnings` which had to take another name.
pub(crate) fn services(
    model: &Model,
    files: &[FileDescriptor],
    warnings: &mut Vec<String>,
) -> Result<Vec<Service>> {
    let mut taken = Taken::new(model, files);
    let mut services = Vec::new();
    for descriptor in files
        .iter()
        .flat_map(|file| file.services().collect::<Vec<_>>())
    {
        services.push(service(model, descriptor, &mut taken, warnings)?);
    }
    Ok(services)
}

/// The type names of a package's module, and what has them.
struct Taken(BTreeMap<String, String>);

impl Taken {
    fn new(model: &Model, files: &[FileDescriptor]) -> Self {
        let mut taken = BTreeMap::new();
        for file in files {
            let messages = file
                .messages()
                .map(|ty| ("message", ty.name().to_owned(), ty.full_name().to_owned()));
            let enums = file
                .enums()
                .map(|ty| ("enum", ty.name().to_owned(), ty.full_name().to_owned()));
            for (what, name, full_name) in messages.chain(enums) {
                if !model.is_extern(&full_name) {
                    taken.insert(names::camel(&name), format!("{what} `{full_name}`"));
                }
            }
        }
        Self(taken)
    }

    /// What has one of the names that `base` needs.
    fn owner(&self, base: &str) -> Option<&String> {
        all_names(base).iter().find_map(|name| self.0.get(name))
    }

    fn take(&mut self, base: &str, service: &ServiceDescriptor) {
        for name in all_names(base) {
            self.0
                .insert(name, format!("service `{}`", service.full_name()));
        }
    }
}

fn all_names(base: &str) -> [String; 3] {
    // A trailing underscore is a keyword's: `Self_` would make `Self_Server`.
    let stem = base.trim_end_matches('_');
    [
        base.to_owned(),
        format!("{stem}Server"),
        format!("{stem}Client"),
    ]
}

fn service(
    model: &Model,
    descriptor: ServiceDescriptor,
    taken: &mut Taken,
    warnings: &mut Vec<String>,
) -> Result<Service> {
    let mut base = names::camel(descriptor.name());
    if let Some(owner) = taken.owner(&base).cloned() {
        while taken.owner(&base).is_some() {
            base = format!("{}Service", base.trim_end_matches('_'));
        }
        let place = source::place(&descriptor.parent_file(), descriptor.path());
        let [name, server, client] = all_names(&base);
        warnings.push(format!(
            "{place}: service `{}` would have a name of {owner}, so its trait, server and client are called `{name}`, `{server}` and `{client}`",
            descriptor.full_name(),
        ));
    }
    taken.take(&base, &descriptor);
    let [name, server, client] = all_names(&base);
    let shouty = names::shouty(&base);
    let file = descriptor.parent_file();
    let go_name = names::go(descriptor.name());
    let methods = methods(model, &descriptor, &go_name)?;
    Ok(Service {
        name: names::ident(&name),
        server: names::ident(&server),
        client: names::ident(&client),
        methods_const: format_ident!("{shouty}_METHODS"),
        descriptor_const: format_ident!("{shouty}_DESCRIPTOR"),
        go_name,
        deprecated: descriptor
            .service_descriptor_proto()
            .options
            .as_ref()
            .is_some_and(|options| options.deprecated()),
        docs: doc_lines(&file, descriptor.path()),
        methods,
        descriptor,
    })
}

fn methods(model: &Model, service: &ServiceDescriptor, go_name: &str) -> Result<Vec<Method>> {
    let file = service.parent_file();
    let from = service.package_name();
    let mut seen = BTreeSet::new();
    let mut methods = Vec::new();
    for (index, descriptor) in (0..).zip(service.methods()) {
        let ident = method_name(descriptor.name());
        if !seen.insert(ident.clone()) {
            return Err(Error::at(
                source::place(&file, descriptor.path()),
                format!(
                    "method `{}` would be called `{ident}`, as another method of service `{}` is: rename one",
                    descriptor.name(),
                    service.name(),
                ),
            ));
        }
        methods.push(Method {
            index,
            ident: names::ident(&ident),
            endpoint: format!("{go_name}.{}", descriptor.name()),
            path: format!("/{}/{}", service.full_name(), descriptor.name()),
            request: model.type_path(from, descriptor.input().full_name()),
            response: model.type_path(from, descriptor.output().full_name()),
            deprecated: descriptor
                .method_descriptor_proto()
                .options
                .as_ref()
                .is_some_and(|options| options.deprecated()),
            docs: doc_lines(&file, descriptor.path()),
            descriptor,
        });
    }
    Ok(methods)
}

/// The Rust name of a method. Those that would hide what every client has, or be hidden by it, get
/// an underscore: by-value methods of the prelude are found before ours.
fn method_name(name: &str) -> String {
    let name = names::snake(name);
    match &*name {
        "new" | "local" | "from_target" | "clone" | "into" | "try_into" => format!("{name}_"),
        _ => name,
    }
}

fn doc_lines(file: &FileDescriptor, path: &[i32]) -> Vec<String> {
    source::location(file.file_descriptor_proto(), path)
        .map(docs::lines)
        .unwrap_or_default()
}
