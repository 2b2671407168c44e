//! What is served, as descriptors: which file declares a name, and what it needs.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use prost::Message;
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};

use crate::method::ServiceDescriptor;

/// The files of some services with all that they import, as compiled: custom options included.
#[derive(Debug, Default)]
pub(super) struct Descriptors {
    files: Vec<File>,
    by_name: BTreeMap<String, usize>,
    /// By full name: messages, fields, enums and their values, services, methods, extensions.
    symbols: BTreeMap<String, usize>,
    /// By the type that is extended, and the number.
    extensions: BTreeMap<String, BTreeMap<i32, usize>>,
}

#[derive(Debug)]
struct File {
    bytes: Bytes,
    imports: Vec<String>,
}

/// A set whose files stay as they are.
#[derive(Clone, PartialEq, Message)]
struct Set {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

impl Descriptors {
    /// The descriptors of `services`. What cannot be read is left out: of two files with one name,
    /// the second too.
    pub(super) fn of<'a>(services: impl IntoIterator<Item = &'a ServiceDescriptor>) -> Self {
        let mut all = Self::default();
        let mut seen = BTreeSet::new();
        for service in services {
            let set = service.file_descriptor_set;
            if !seen.insert(set) {
                continue;
            }
            let files = Set::decode(Bytes::from_static(set)).unwrap_or_default();
            for bytes in files.files {
                all.add(bytes);
            }
        }
        all
    }

    fn add(&mut self, bytes: Bytes) {
        let Ok(file) = FileDescriptorProto::decode(bytes.clone()) else {
            return;
        };
        let index = self.files.len();
        let name = file.name().to_owned();
        if self.by_name.contains_key(&name) {
            return;
        }
        self.by_name.insert(name, index);
        let package = file.package().to_owned();
        for message in &file.message_type {
            self.add_message(&package, message, index);
        }
        for kind in &file.enum_type {
            self.add_enum(&package, kind, index);
        }
        for service in &file.service {
            let full = within(&package, service.name());
            for method in &service.method {
                self.add_symbol(within(&full, method.name()), index);
            }
            self.add_symbol(full, index);
        }
        self.add_extensions(&package, &file.extension, index);
        self.files.push(File {
            bytes,
            imports: file.dependency,
        });
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto, index: usize) {
        let full = within(scope, message.name());
        for field in &message.field {
            self.add_symbol(within(&full, field.name()), index);
        }
        for oneof in &message.oneof_decl {
            self.add_symbol(within(&full, oneof.name()), index);
        }
        for nested in &message.nested_type {
            self.add_message(&full, nested, index);
        }
        for kind in &message.enum_type {
            self.add_enum(&full, kind, index);
        }
        self.add_extensions(&full, &message.extension, index);
        self.add_symbol(full, index);
    }

    fn add_enum(&mut self, scope: &str, kind: &EnumDescriptorProto, index: usize) {
        // Values stand beside their enum and not in it, as in C++.
        for value in &kind.value {
            self.add_symbol(within(scope, value.name()), index);
        }
        self.add_symbol(within(scope, kind.name()), index);
    }

    fn add_extensions(&mut self, scope: &str, extensions: &[FieldDescriptorProto], index: usize) {
        for extension in extensions {
            self.add_symbol(within(scope, extension.name()), index);
            let extended = plain(extension.extendee()).to_owned();
            let numbers = self.extensions.entry(extended).or_default();
            numbers.entry(extension.number()).or_insert(index);
        }
    }

    fn add_symbol(&mut self, full_name: String, index: usize) {
        self.symbols.entry(full_name).or_insert(index);
    }

    /// The file of this name.
    pub(super) fn file(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The file that declares `symbol`.
    pub(super) fn declaring(&self, symbol: &str) -> Option<usize> {
        self.symbols.get(plain(symbol)).copied()
    }

    /// The file that declares the extension of `extended` with this number.
    pub(super) fn extending(&self, extended: &str, number: i32) -> Option<usize> {
        self.extensions.get(plain(extended))?.get(&number).copied()
    }

    /// The numbers of the extensions of `extended`; `None` where there is no such type.
    pub(super) fn numbers(&self, extended: &str) -> Option<Vec<i32>> {
        match self.extensions.get(plain(extended)) {
            Some(numbers) => Some(numbers.keys().copied().collect()),
            None => self.declaring(extended).map(|_| Vec::new()),
        }
    }

    /// The file and then what it imports, whatever way, but for those that were `sent`; notes them
    /// there. The file itself comes in any case.
    pub(super) fn with_imports(&self, file: usize, sent: &mut BTreeSet<usize>) -> Vec<Bytes> {
        sent.insert(file);
        let mut all = Vec::new();
        let mut next = vec![file];
        while let Some(index) = next.pop() {
            let Some(file) = self.files.get(index) else {
                continue;
            };
            all.push(file.bytes.clone());
            let imports = file.imports.iter().filter_map(|name| self.file(name));
            next.extend(imports.filter(|import| sent.insert(*import)));
        }
        all
    }
}

fn within(scope: &str, name: &str) -> String {
    match scope {
        "" => name.to_owned(),
        scope => format!("{scope}.{name}"),
    }
}

/// Descriptors write full names with a dot before them.
fn plain(name: &str) -> &str {
    name.strip_prefix('.').unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use prost_types::FileDescriptorSet;

    use super::*;

    fn message(name: &str) -> DescriptorProto {
        DescriptorProto {
            name: Some(name.into()),
            ..DescriptorProto::default()
        }
    }

    fn file(name: &str, imports: &[&str]) -> FileDescriptorProto {
        FileDescriptorProto {
            name: Some(name.into()),
            package: Some("p".into()),
            dependency: imports.iter().map(|&name| name.into()).collect(),
            ..FileDescriptorProto::default()
        }
    }

    fn extension(name: &str, extended: &str, number: i32) -> FieldDescriptorProto {
        FieldDescriptorProto {
            name: Some(name.into()),
            extendee: Some(extended.into()),
            number: Some(number),
            ..FieldDescriptorProto::default()
        }
    }

    fn service(files: Vec<FileDescriptorProto>) -> &'static ServiceDescriptor {
        let set = FileDescriptorSet { file: files }.encode_to_vec();
        let set = Box::leak(set.into_boxed_slice());
        Box::leak(Box::new(ServiceDescriptor::new("S", "p.S", &[], &[], set)))
    }

    #[test]
    fn extensions_are_found_wherever_they_are_declared() {
        let mut base = file("base.proto", &[]);
        base.message_type.push(message("Base"));
        let mut more = file("more.proto", &["base.proto"]);
        more.extension.push(extension("outer", ".p.Base", 100));
        let mut holder = message("Holder");
        holder.extension.push(extension("inner", ".p.Base", 7));
        more.message_type.push(holder);
        let all = Descriptors::of([service(vec![base, more])]);
        assert_eq!(all.numbers("p.Base"), Some(vec![7, 100]));
        assert_eq!(all.numbers(".p.Holder"), Some(vec![]));
        assert_eq!(all.numbers("p.Nope"), None);
        for number in [7, 100] {
            assert_eq!(all.extending("p.Base", number), all.file("more.proto"));
        }
        assert_eq!(all.extending("p.Base", 8), None);
        assert_eq!(all.declaring("p.Holder.inner"), all.file("more.proto"));
        assert_eq!(all.declaring("p.outer"), all.file("more.proto"));
    }

    #[test]
    fn a_file_comes_with_what_it_imports_and_each_import_once() {
        // A circle, which no compiler makes, ends all the same.
        let a = file("a", &["b", "c"]);
        let b = file("b", &["c", "absent"]);
        let c = file("c", &["a"]);
        let all = Descriptors::of([service(vec![a, b]), service(vec![c.clone(), c])]);
        let mut sent = BTreeSet::new();
        let mut ask = |name| all.with_imports(all.file(name).unwrap(), &mut sent).len();
        assert_eq!(ask("c"), 3);
        assert_eq!(ask("c"), 1);
        assert_eq!(ask("a"), 1);
    }

    #[test]
    fn what_is_no_descriptor_is_left_out() {
        let broken = ServiceDescriptor::new("S", "p.S", &[], &[], b"\x0a\x02\xff\xff");
        let all = Descriptors::of([Box::leak(Box::new(broken)) as &_, service(vec![])]);
        assert_eq!(all.file(""), None);
    }
}
