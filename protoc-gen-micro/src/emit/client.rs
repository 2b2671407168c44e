//! The client of a service.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use super::descriptors::kind;
use super::{deprecated, doc};
use crate::service::{Method, Service};

/// The client; `local` needs the server to be generated too.
pub(super) fn items(service: &Service, with_server: bool) -> TokenStream {
    let Service {
        name,
        server,
        client,
        ..
    } = service;
    let mut docs = vec![format!(
        "Calls service `{}`. Cheap to clone.",
        service.descriptor.full_name()
    )];
    if !service.docs.is_empty() {
        docs.push(String::new());
        docs.extend_from_slice(&service.docs);
    }
    let docs = doc(&docs);
    let deprecated = deprecated(service.deprecated);
    let local = with_server.then(|| {
        quote! {
            /// Calls `service` in this process, through the codec.
            pub fn local(service: impl #name) -> Self {
                Self(::micro_runtime::codegen::local(#server::new(service)))
            }
        }
    });
    let methods = service.methods.iter().map(|one| method(service, one));
    quote! {
        #docs
        #deprecated
        #[derive(Clone, Debug)]
        pub struct #client(::micro_runtime::codegen::Target);

        impl #client {
            /// Calls the service that is registered as `name`.
            pub fn new(
                name: impl ::core::convert::Into<::micro_runtime::codegen::Text>,
                client: &::micro_runtime::codegen::Client,
            ) -> Self {
                Self(client.target(name))
            }

            /// Calls what `target` leads to.
            pub fn from_target(target: ::micro_runtime::codegen::Target) -> Self {
                Self(target)
            }

            #local

            #(#methods)*
        }
    }
}

fn method(service: &Service, method: &Method) -> TokenStream {
    let methods = &service.methods_const;
    let Method {
        index,
        ident,
        request,
        response,
        ..
    } = method;
    let docs = if method.docs.is_empty() {
        doc(&[format!("Calls `{}`.", method.endpoint)])
    } else {
        doc(&method.docs)
    };
    let deprecated = deprecated(method.deprecated);
    let index = Literal::u16_unsuffixed(*index);
    let kind = kind(method);
    let (ty, function) = (kind.ty, kind.function);
    let (parameter, argument) = if method.descriptor.is_client_streaming() {
        (quote!(), quote!())
    } else {
        (quote!(, request: #request), quote!(, request))
    };
    quote! {
        #docs
        #deprecated
        pub fn #ident(
            &self
            #parameter
        ) -> ::micro_runtime::codegen::Call<::micro_runtime::codegen::#ty<#request, #response>> {
            self.0.#function(&#methods[#index] #argument)
        }
    }
}
