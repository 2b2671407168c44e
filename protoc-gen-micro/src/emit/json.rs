//! The form of messages, enums and oneofs that text codecs walk.

use std::collections::BTreeSet;

use proc_macro2::{Literal, TokenStream};
use prost_reflect::{EnumDescriptor, MessageDescriptor, Syntax};
use quote::quote;

use crate::model::{Cardinality, Field, Message, Model, Oneof, Type};
use crate::names;

/// The `Fields` of `message` and its oneofs, for the module of its package.
pub fn message(model: &Model, message: &MessageDescriptor) -> TokenStream {
    let rust = model.message(message);
    let fields = declared(&rust);
    let go = GoNames::of(&rust, &fields);
    let (name, path) = (message.full_name(), &rust.path);
    let rows = fields.iter().map(|field| row(field, &go));
    let oneof_names = &go.oneofs;
    let (mut get, mut get_mut) = (Vec::new(), Vec::new());
    for (index, field) in fields.iter().enumerate() {
        if field.oneof.is_none() {
            let ident = &field.field.ident;
            let index = Literal::usize_unsuffixed(index);
            get.push(quote!(#index => ::core::option::Option::Some(&self.#ident),));
            get_mut.push(quote!(#index => ::core::option::Option::Some(&mut self.#ident),));
        }
    }
    for (number, oneof) in rust.oneofs.iter().enumerate() {
        let (ident, members) = (&oneof.ident, indexes(&fields, number));
        let members = quote!(#(#members)|*);
        get.push(quote!(#members => ::micro_runtime::codegen::oneof(&self.#ident, index),));
        get_mut.push(
            quote!(#members => ::micro_runtime::codegen::oneof_mut(&mut self.#ident, index),),
        );
    }
    let oneofs = (rust.oneofs.iter().enumerate())
        .map(|(number, oneof)| oneof_impl(oneof, &indexes(&fields, number)));
    quote! {
        impl ::micro_runtime::codegen::Fields for #path {
            fn shape(&self) -> &'static ::micro_runtime::codegen::Shape {
                static SHAPE: ::micro_runtime::codegen::Shape =
                    ::micro_runtime::codegen::Shape::new(#name, &[#(#rows),*], &[#(#oneof_names),*]);
                &SHAPE
            }

            fn field(
                &self,
                index: usize,
            ) -> ::core::option::Option<&dyn ::micro_runtime::codegen::Form> {
                match index {
                    #(#get)*
                    _ => ::core::option::Option::None,
                }
            }

            fn field_mut(
                &mut self,
                index: usize,
            ) -> ::core::option::Option<&mut dyn ::micro_runtime::codegen::Form> {
                match index {
                    #(#get_mut)*
                    _ => ::core::option::Option::None,
                }
            }
        }
        #(#oneofs)*
    }
}

/// The names and numbers of an enum, for the module of its package.
pub fn enumeration(model: &Model, descriptor: &EnumDescriptor) -> TokenStream {
    let name = descriptor.full_name();
    let path = model.type_path(descriptor.package_name(), name);
    let closed = (descriptor.parent_file().syntax() == Syntax::Proto2).then(|| quote!(.closed()));
    // prost has one variant for all names of a number.
    let mut numbers = BTreeSet::new();
    let aliases = declared_values(descriptor)
        .into_iter()
        .filter_map(|(name, number)| {
            (!numbers.insert(number))
                .then(|| quote!(#name => ::core::option::Option::Some(#number),))
        });
    let aliases: Vec<_> = aliases.collect();
    let known = quote!(Self::from_str_name(name).map(|value| value as i32));
    let number_of = if aliases.is_empty() {
        known
    } else {
        quote!(match name { #(#aliases)* name => #known, })
    };
    quote! {
        impl ::micro_runtime::codegen::Enumeration for #path {
            const ENUM: ::micro_runtime::codegen::Enum = ::micro_runtime::codegen::Enum::new(
                #name,
                |number| {
                    let value = <Self as ::core::convert::TryFrom<i32>>::try_from(number).ok();
                    value.map(|value| value.as_str_name())
                },
                |name| #number_of,
            )#closed;
        }
    }
}

/// A field with its place among all fields of the message.
struct Declared<'a> {
    field: &'a Field,
    /// The number of its oneof.
    oneof: Option<usize>,
}

/// All fields, those in oneofs too, as the `.proto` has them: so Go orders its JSON.
fn declared(message: &Message) -> Vec<Declared<'_>> {
    let alone = message
        .fields
        .iter()
        .map(|field| Declared { field, oneof: None });
    let members = message
        .oneofs
        .iter()
        .enumerate()
        .flat_map(|(number, oneof)| {
            (oneof.variants.iter()).map(move |field| Declared {
                field,
                oneof: Some(number),
            })
        });
    let mut all: Vec<_> = alone.chain(members).collect();
    all.sort_by_key(|declared| declared.field.descriptor.path().last().copied());
    all
}

fn declared_values(descriptor: &EnumDescriptor) -> Vec<(String, i32)> {
    let values = &descriptor.enum_descriptor_proto().value;
    let pair =
        |value: &prost_types::EnumValueDescriptorProto| (value.name().to_owned(), value.number());
    values.iter().map(pair).collect()
}

fn indexes(fields: &[Declared<'_>], oneof: usize) -> Vec<Literal> {
    let members = fields.iter().enumerate();
    (members.filter(|(_, field)| field.oneof == Some(oneof)))
        .map(|(index, _)| Literal::usize_unsuffixed(index))
        .collect()
}

/// A field's line in the shape.
fn row(declared: &Declared<'_>, go: &GoNames) -> TokenStream {
    let field = declared.field;
    let (name, json) = (field.descriptor.name(), field.descriptor.json_name());
    let meaning = meaning(&field.ty).map(|meaning| quote!(.meaning(#meaning)));
    let explicit = is_explicit(declared).then(|| quote!(.explicit()));
    let member = declared.oneof.map(|oneof| {
        let (oneof, go_name) = (Literal::usize_unsuffixed(oneof), go.field(name));
        quote!(.member(#oneof, #go_name))
    });
    quote!(::micro_runtime::codegen::Field::new(#name, #json)#meaning #explicit #member)
}

/// Whether the field is a scalar that knows whether it is set. (A message always does.)
fn is_explicit(declared: &Declared<'_>) -> bool {
    let field = declared.field;
    let singular = matches!(
        field.cardinality,
        Cardinality::Plain | Cardinality::Optional
    );
    let scalar = !matches!(field.ty, Type::Message(..)) || is_wrapper(&field.ty);
    declared.oneof.is_none() && singular && scalar && field.descriptor.supports_presence()
}

fn is_wrapper(ty: &Type) -> bool {
    let Type::Message(descriptor, _) = ty else {
        return false;
    };
    let name = descriptor.full_name().strip_prefix("google.protobuf.");
    matches!(
        name,
        Some(
            "BoolValue"
                | "BytesValue"
                | "DoubleValue"
                | "FloatValue"
                | "Int32Value"
                | "Int64Value"
                | "StringValue"
                | "UInt32Value"
                | "UInt64Value"
        )
    )
}

/// What the Rust type does not tell.
fn meaning(ty: &Type) -> Option<TokenStream> {
    let meaning = match ty {
        Type::Enum(descriptor, _) if descriptor.full_name() == "google.protobuf.NullValue" => {
            quote!(Null)
        }
        Type::Enum(_, path) => {
            quote!(Enum(&<#path as ::micro_runtime::codegen::Enumeration>::ENUM))
        }
        Type::Message(descriptor, _) if descriptor.full_name() == "google.protobuf.Value" => {
            quote!(Value)
        }
        ty if is_wrapper(ty) => quote!(Wrapper),
        _ => return None,
    };
    Some(quote!(::micro_runtime::codegen::Meaning::#meaning))
}

fn oneof_impl(oneof: &Oneof, indexes: &[Literal]) -> TokenStream {
    let path = &oneof.path;
    let variants: Vec<_> = oneof
        .variants
        .iter()
        .map(|variant| &variant.ident)
        .collect();
    quote! {
        impl ::micro_runtime::codegen::Oneof for #path {
            fn make(index: usize) -> ::core::option::Option<Self> {
                ::core::option::Option::Some(match index {
                    #(#indexes => Self::#variants(::core::default::Default::default()),)*
                    _ => return ::core::option::Option::None,
                })
            }

            fn member(&self) -> (usize, &dyn ::micro_runtime::codegen::Form) {
                match self {
                    #(Self::#variants(value) => (#indexes, value),)*
                }
            }

            fn member_mut(&mut self) -> &mut dyn ::micro_runtime::codegen::Form {
                match self {
                    #(Self::#variants(value) => value,)*
                }
            }
        }
    }
}

/// The names that protoc-gen-go gives the fields and oneofs of a message.
struct GoNames {
    fields: Vec<(String, String)>,
    /// In the order of the message's oneofs.
    oneofs: Vec<String>,
}

impl GoNames {
    fn of(rust: &Message, fields: &[Declared<'_>]) -> Self {
        // Methods of the Go type: a field of such a name gets an underscore, and so does one whose
        // getter would have it. protoc-gen-go counts no getter of a oneof.
        let mut used: BTreeSet<String> = [
            "Reset",
            "String",
            "ProtoMessage",
            "Marshal",
            "Unmarshal",
            "ExtensionRangeArray",
            "ExtensionMap",
            "Descriptor",
        ]
        .map(str::to_owned)
        .into();
        let mut unique = |mut name: String, has_getter: bool| {
            while used.contains(&name) || (has_getter && used.contains(&format!("Get{name}"))) {
                name.push('_');
            }
            used.insert(name.clone());
            if has_getter {
                used.insert(format!("Get{name}"));
            } else {
                used.remove(&format!("Get{name}"));
            }
            name
        };
        let mut names = Self {
            fields: Vec::new(),
            oneofs: vec![String::new(); rust.oneofs.len()],
        };
        let mut seen = BTreeSet::new();
        for declared in fields {
            let descriptor = &declared.field.descriptor;
            let name = unique(names::go(descriptor.name()), true);
            names.fields.push((descriptor.name().to_owned(), name));
            // Proto3's `optional` is a oneof to protoc-gen-go too.
            let Some(oneof) = descriptor.containing_oneof() else {
                continue;
            };
            if seen.insert(oneof.name().to_owned()) {
                let name = unique(names::go(oneof.name()), false);
                if let Some(place) = declared
                    .oneof
                    .and_then(|number| names.oneofs.get_mut(number))
                {
                    *place = name;
                }
            }
        }
        names
    }

    fn field(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map_or("", |(_, go)| go)
    }
}
