//! Messages and enums: prost-build writes them, with our doc comments.

use std::collections::{BTreeMap, BTreeSet};

use prost_build::{Config, Module};
use prost_reflect::{FileDescriptor, MessageDescriptor};
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorProto, SourceCodeInfo};

use crate::docs;
use crate::error::{Error, Result};
use crate::model::{Cardinality, Field, Model};

/// The messages and enums of the files in `generated`, by package.
pub(crate) fn generate(
    model: &Model,
    generated: &BTreeSet<String>,
) -> Result<BTreeMap<String, Vec<syn::Item>>> {
    let mut docs = Docs::default();
    let mut packages = BTreeMap::new();
    let mut requests = Vec::new();
    for (index, file) in model.pool().files().enumerate() {
        let module = if generated.contains(file.name()) {
            let module = Module::from_protobuf_package_name(file.package_name());
            packages.insert(module.clone(), file.package_name().to_owned());
            module
        } else {
            // prost-build must know the types of all files, and its output of these is left.
            Module::from_parts([format!(" {index}")])
        };
        requests.push((module, docs.mark(&file)));
    }
    let mut config = config(model);
    for path in with_ordered_maps(model, generated) {
        // prost-derive's own `Debug` of a `BTreeMap` names the crate `prost`, which is not there.
        config.skip_debug([&path]);
        config.type_attribute(path, "#[derive(Debug)]");
    }
    let written = config
        .generate(requests)
        .map_err(|error| Error::new(error.to_string()))?;
    let mut items = BTreeMap::new();
    for (module, text) in written {
        if let Some(package) = packages.remove(&module) {
            items.insert(package, parse(&docs.replace(&text))?);
        }
    }
    Ok(items)
}

fn config(model: &Model) -> Config {
    let options = model.options();
    let mut config = Config::new();
    config
        .format(false)
        .prost_path("::micro_runtime::codegen::prost")
        .prost_types_path("::micro_runtime::codegen::prost_types")
        // The model has them, so that an option may take the place of any.
        .compile_well_known_types()
        .bytes(&options.bytes)
        .btree_map(&options.btree_map);
    for (proto, rust) in model.externs() {
        config.extern_path(proto, rust);
    }
    for (path, attribute) in &options.type_attribute {
        config.type_attribute(path, attribute);
    }
    for (path, attribute) in &options.field_attribute {
        config.field_attribute(path, attribute);
    }
    config
}

/// The messages that hold a `BTreeMap`, without those nested in one that does: a path is about all
/// below it.
fn with_ordered_maps(model: &Model, generated: &BTreeSet<String>) -> BTreeSet<String> {
    let ordered = |message: &MessageDescriptor| {
        let is_ordered =
            |field: &Field| matches!(field.cardinality, Cardinality::Map { ordered: true, .. });
        model.message(message).fields.iter().any(is_ordered)
    };
    let files = model.pool().files();
    let mut open: Vec<MessageDescriptor> = files
        .filter(|file| generated.contains(file.name()))
        .flat_map(|file| file.messages().collect::<Vec<_>>())
        .collect();
    let mut found = BTreeSet::new();
    while let Some(message) = open.pop() {
        if ordered(&message) {
            found.insert(format!(".{}", message.full_name()));
        } else {
            open.extend(
                message
                    .child_messages()
                    .filter(|child| !child.is_map_entry()),
            );
        }
    }
    found
}

fn parse(text: &str) -> Result<Vec<syn::Item>> {
    let file = syn::parse_file(text).map_err(|error| {
        Error::new(format!(
            "the messages that prost-build wrote are not Rust: {error}"
        ))
    })?;
    Ok(file.items)
}

/// Doc comments while prost-build runs: it is given marks, one for each item, which we replace.
/// Its own way would make doctests of indented code.
#[derive(Default)]
struct Docs {
    items: Vec<Doc>,
}

struct Doc {
    lines: Vec<String>,
    deprecated: bool,
}

const MARK: &str = "/// micro-doc-";

impl Docs {
    /// The file with a mark as the comment of each item that prost-build asks about.
    fn mark(&mut self, file: &FileDescriptor) -> FileDescriptorProto {
        let mut file = file.file_descriptor_proto().clone();
        let known: BTreeMap<Vec<i32>, Location> = file
            .source_code_info
            .take()
            .map(|info| info.location)
            .unwrap_or_default()
            .into_iter()
            .map(|location| (location.path.clone(), location))
            .collect();
        let mut marks = Marks {
            docs: self,
            known: &known,
            // The module that allows their use is a package's: see `include`.
            types_can_be_deprecated: !file.package().is_empty(),
            out: Vec::new(),
        };
        for (index, message) in (0..).zip(&file.message_type) {
            marks.message(vec![4, index], message);
        }
        for (index, ty) in (0..).zip(&file.enum_type) {
            marks.enumeration(vec![5, index], ty);
        }
        let location = marks.out;
        file.source_code_info = Some(SourceCodeInfo { location });
        file
    }

    fn replace(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for line in text.lines() {
            let mark = line.trim_start().strip_prefix(MARK);
            let Some(doc) = mark.and_then(|number| self.items.get(number.parse::<usize>().ok()?))
            else {
                out.push_str(line);
                out.push('\n');
                continue;
            };
            for line in &doc.lines {
                out.push_str("/// ");
                out.push_str(line);
                out.push('\n');
            }
            if doc.deprecated {
                out.push_str("#[deprecated]\n");
            }
        }
        out
    }
}

struct Marks<'a> {
    docs: &'a mut Docs,
    known: &'a BTreeMap<Vec<i32>, Location>,
    types_can_be_deprecated: bool,
    out: Vec<Location>,
}

impl Marks<'_> {
    fn mark(&mut self, path: &[i32], deprecated: bool) {
        let lines = self.known.get(path).map(docs::lines).unwrap_or_default();
        let number = self.docs.items.len();
        self.docs.items.push(Doc { lines, deprecated });
        self.out.push(Location {
            path: path.to_vec(),
            leading_comments: Some(format!(" {}{number}", &MARK[4..])),
            ..Location::default()
        });
    }

    fn message(&mut self, path: Vec<i32>, message: &DescriptorProto) {
        let options = message.options.as_ref();
        let deprecated = options.is_some_and(|options| options.deprecated());
        self.mark(&path, deprecated && self.types_can_be_deprecated);
        let below = |kind: i32, index: i32| [&path[..], &[kind, index]].concat();
        for (index, field) in (0..).zip(&message.field) {
            // prost-build marks all deprecated fields but maps.
            let map = message.nested_type.iter().any(|nested| {
                nested
                    .options
                    .as_ref()
                    .is_some_and(|options| options.map_entry())
                    && field.type_name().rsplit('.').next() == Some(nested.name())
            });
            let options = field.options.as_ref();
            let deprecated = map && options.is_some_and(|options| options.deprecated());
            self.mark(&below(2, index), deprecated);
        }
        for (index, nested) in (0..).zip(&message.nested_type) {
            self.message(below(3, index), nested);
        }
        for (index, ty) in (0..).zip(&message.enum_type) {
            self.enumeration(below(4, index), ty);
        }
        for (index, _) in (0..).zip(&message.oneof_decl) {
            self.mark(&below(8, index), false);
        }
    }

    fn enumeration(&mut self, path: Vec<i32>, ty: &EnumDescriptorProto) {
        let options = ty.options.as_ref();
        let deprecated = options.is_some_and(|options| options.deprecated());
        self.mark(&path, deprecated && self.types_can_be_deprecated);
        for (index, _) in (0..).zip(&ty.value) {
            self.mark(&[&path[..], &[2, index]].concat(), false);
        }
    }
}
