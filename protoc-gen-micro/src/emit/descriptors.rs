//! The constants of a service: its methods and what it consists of.

use proc_macro2::{Literal, TokenStream};
use prost_types::method_options::IdempotencyLevel;
use quote::quote;

use super::{doc, endpoints};
use crate::service::{Method, Service};

/// Which kind of call a method is, as `micro_runtime::codegen` names it in types and functions.
pub(crate) struct Kind {
    pub(crate) ty: TokenStream,
    pub(crate) function: TokenStream,
}

pub(crate) fn kind(method: &Method) -> Kind {
    let client = method.descriptor.is_client_streaming();
    let server = method.descriptor.is_server_streaming();
    let (ty, function) = match (client, server) {
        (false, false) => (quote!(Unary), quote!(unary)),
        (false, true) => (quote!(ServerStream), quote!(server_stream)),
        (true, false) => (quote!(ClientStream), quote!(client_stream)),
        (true, true) => (quote!(Bidi), quote!(bidi)),
    };
    Kind { ty, function }
}

pub(super) fn items(service: &Service) -> TokenStream {
    let Service {
        name,
        methods_const,
        descriptor_const,
        go_name,
        ..
    } = service;
    let full_name = service.descriptor.full_name();
    let package = service.descriptor.package_name();
    let count = Literal::usize_unsuffixed(service.methods.len());
    let methods = service
        .methods
        .iter()
        .map(|method| method_const(method, package));
    let endpoints = service
        .methods
        .iter()
        .map(|method| endpoints::endpoint(&method.descriptor, &method.endpoint));
    let about_methods = doc(&[format!("The methods of service `{full_name}`.")]);
    let about = doc(&[format!(
        "What service `{full_name}` consists of: see `{name}`."
    )]);
    quote! {
        #about_methods
        pub static #methods_const: [::micro_runtime::codegen::Method; #count] = [#(#methods),*];

        #about
        pub static #descriptor_const: ::micro_runtime::codegen::ServiceDescriptor =
            ::micro_runtime::codegen::ServiceDescriptor::new(
                #go_name,
                #full_name,
                &#methods_const,
                &[#(#endpoints),*],
                FILE_DESCRIPTOR_SET,
            );
    }
}

fn method_const(method: &Method, package: &str) -> TokenStream {
    let Method {
        index,
        endpoint,
        path,
        ..
    } = method;
    let kind = kind(method).ty;
    let options = method.descriptor.method_descriptor_proto().options.as_ref();
    let idempotency = match options.map(|options| options.idempotency_level()) {
        None | Some(IdempotencyLevel::IdempotencyUnknown) => quote!(Unknown),
        Some(IdempotencyLevel::Idempotent) => quote!(Idempotent),
        Some(IdempotencyLevel::NoSideEffects) => quote!(NoSideEffects),
    };
    let index = Literal::u16_unsuffixed(*index);
    quote! {
        ::micro_runtime::codegen::method!(
            #package, #endpoint, #path, #kind, #idempotency, #index
        )
    }
}
