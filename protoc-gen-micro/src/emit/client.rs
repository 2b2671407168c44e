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
        descriptor_const,
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
    let local = with_server.then(|| quote!(, #name, #server));
    let methods = service.methods.iter().map(|one| method(service, one));
    quote! {
        #docs
        #deprecated
        #[derive(Clone, Debug)]
        pub struct #client(::micro_runtime::codegen::Target);

        ::micro_runtime::codegen::client!(#client, #descriptor_const #local);

        impl #client {
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
