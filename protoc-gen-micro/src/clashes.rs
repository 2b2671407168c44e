//! Names that differ in a `.proto` and are one in Rust, found before rustc finds them.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FileDescriptor, MessageDescriptor};

use crate::error::{Error, Place, Result};
use crate::model::Model;
use crate::names;
use crate::source::place;

/// # Errors
/// Where two things of one module, message or enum would have one name.
pub(crate) fn check(model: &Model, files: &[FileDescriptor]) -> Result<()> {
    let mut modules = BTreeMap::new();
    for file in files {
        packages(file, &mut modules)?;
    }
    if !model.options().messages {
        return Ok(());
    }
    let mut types: BTreeMap<String, Scope> = BTreeMap::new();
    for file in files {
        let scope = types
            .entry(file.package_name().to_owned())
            .or_insert_with(|| Scope::new("type", file.package_name()));
        for message in file.messages() {
            if !model.is_extern(message.full_name()) {
                scope.add(names::camel(message.name()), message.full_name(), || {
                    place(file, message.path())
                })?;
                nested(&message, &modules)?;
            }
        }
        for ty in file.enums() {
            if !model.is_extern(ty.full_name()) {
                scope.add(names::camel(ty.name()), ty.full_name(), || {
                    place(file, ty.path())
                })?;
                values(&ty)?;
            }
        }
    }
    Ok(())
}

/// Names of one kind, with the things that have them.
struct Scope {
    kind: &'static str,
    of: String,
    names: BTreeMap<String, String>,
}

impl Scope {
    fn new(kind: &'static str, of: &str) -> Self {
        Self {
            kind,
            of: of.to_owned(),
            names: BTreeMap::new(),
        }
    }

    fn add(&mut self, rust: String, proto: &str, place: impl Fn() -> Place) -> Result<()> {
        let Some(other) = self.names.get(&rust) else {
            self.names.insert(rust, proto.to_owned());
            return Ok(());
        };
        let of = match &*self.of {
            "" => String::new(),
            of => format!(" of `{of}`"),
        };
        let message = format!(
            "`{proto}` and `{other}` would both be the {} `{rust}`{of}: rename one",
            self.kind
        );
        Err(Error::at(place(), message))
    }
}

/// Packages that differ in case alone.
fn packages(file: &FileDescriptor, modules: &mut BTreeMap<String, String>) -> Result<()> {
    let mut path = String::new();
    let mut package = String::new();
    for part in file
        .package_name()
        .split('.')
        .filter(|part| !part.is_empty())
    {
        for (path, part) in [
            (&mut path, names::snake(part)),
            (&mut package, part.to_owned()),
        ] {
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&part);
        }
        let known = modules
            .entry(path.clone())
            .or_insert_with(|| package.clone());
        if *known != package {
            // Path 2 is the package's.
            let message = format!(
                "packages `{package}` and `{known}` would both be the module `{path}`: rename one"
            );
            return Err(Error::at(place(file, &[2]), message));
        }
    }
    Ok(())
}

/// What stands in a message: fields, oneofs, nested types; and its module, which a package may have.
fn nested(message: &MessageDescriptor, modules: &BTreeMap<String, String>) -> Result<()> {
    let file = message.parent_file();
    let has_module = message.child_enums().len() > 0
        || message.child_messages().any(|child| !child.is_map_entry())
        || message.oneofs().any(|oneof| !oneof.is_synthetic());
    if has_module {
        let parts: Vec<_> = message.full_name().split('.').map(names::snake).collect();
        if let Some(package) = modules.get(&parts.join(".")) {
            let error = format!(
                "the nested types of message `{}` would be in a module that package `{package}` is: rename one",
                message.full_name()
            );
            return Err(Error::at(place(&file, message.path()), error));
        }
    }
    let mut fields = Scope::new("field", message.full_name());
    for field in message.fields() {
        let oneof = field.containing_oneof();
        if oneof.is_none_or(|oneof| oneof.is_synthetic()) {
            let rust = names::snake(field.name());
            fields.add(rust, field.name(), || place(&file, field.path()))?;
        }
    }
    let mut types = Scope::new("type", message.full_name());
    for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
        let rust = names::snake(oneof.name());
        fields.add(rust, oneof.name(), || place(&file, oneof.path()))?;
        let mut variants = Scope::new("variant", oneof.full_name());
        for field in oneof.fields() {
            let rust = names::camel(field.name());
            variants.add(rust, field.name(), || place(&file, field.path()))?;
        }
    }
    for child in message
        .child_messages()
        .filter(|child| !child.is_map_entry())
    {
        let rust = names::camel(child.name());
        types.add(rust, child.full_name(), || place(&file, child.path()))?;
        nested(&child, modules)?;
    }
    for ty in message.child_enums() {
        let rust = names::camel(ty.name());
        types.add(rust, ty.full_name(), || place(&file, ty.path()))?;
        values(&ty)?;
    }
    Ok(())
}

fn values(ty: &EnumDescriptor) -> Result<()> {
    let file = ty.parent_file();
    let mut variants = Scope::new("variant", ty.full_name());
    let mut numbers = std::collections::BTreeSet::new();
    for value in ty.values() {
        // The further names of an alias have no variant.
        if numbers.insert(value.number()) {
            let rust = names::variant(ty.name(), value.name());
            variants.add(rust, value.name(), || place(&file, value.path()))?;
        }
    }
    Ok(())
}
