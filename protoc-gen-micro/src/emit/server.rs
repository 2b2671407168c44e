//! The trait of a service's handlers, and the server that dispatches to them.

use proc_macro2::{Literal, TokenStream};
use quote::quote;

use super::descriptors::kind;
use super::{deprecated, doc};
use crate::service::{Method, Service};

pub(super) fn items(service: &Service) -> TokenStream {
    let handlers = handlers(service);
    let server = server(service);
    quote!(#handlers #server)
}

fn handlers(service: &Service) -> TokenStream {
    let name = &service.name;
    let mut docs = vec![format!(
        "The handlers of service `{}`.",
        service.descriptor.full_name()
    )];
    if !service.docs.is_empty() {
        docs.push(String::new());
        docs.extend_from_slice(&service.docs);
    }
    let docs = doc(&docs);
    let methods = service.methods.iter().map(handler);
    quote! {
        #docs
        pub trait #name: ::core::marker::Send + ::core::marker::Sync + 'static {
            #(#methods)*
        }
    }
}

fn handler(method: &Method) -> TokenStream {
    let Method {
        ident,
        request,
        response,
        descriptor,
        ..
    } = method;
    let docs = doc(&method.docs);
    let deprecated = deprecated(method.deprecated);
    let input = if descriptor.is_client_streaming() {
        quote!(input: ::micro_runtime::codegen::Receiver<#request>)
    } else {
        quote!(request: #request)
    };
    let (out, answer) = if descriptor.is_server_streaming() {
        (
            quote!(, out: ::micro_runtime::codegen::Sender<#response>),
            quote!(()),
        )
    } else {
        (quote!(), quote!(#response))
    };
    quote! {
        #docs
        #deprecated
        fn #ident(
            &self,
            cx: &::micro_runtime::codegen::Context,
            #input
            #out
        ) -> impl ::core::future::Future<Output = ::micro_runtime::codegen::Result<#answer>>
            + ::core::marker::Send;
    }
}

fn server(service: &Service) -> TokenStream {
    let Service {
        name,
        server,
        descriptor_const,
        ..
    } = service;
    let docs = doc(&[format!("Serves a [`{name}`].")]);
    let arms = service.methods.iter().map(|method| arm(service, method));
    let owned = (!service.methods.is_empty())
        .then(|| quote!(let service = ::std::sync::Arc::clone(&self.0);));
    let request = if service.methods.is_empty() {
        quote!(_)
    } else {
        quote!(request)
    };
    quote! {
        #docs
        pub struct #server<T>(::std::sync::Arc<T>);

        ::micro_runtime::codegen::server!(#server, #name);

        impl<T: #name> ::micro_runtime::codegen::Dispatch for #server<T> {
            fn descriptor(&self) -> &'static ::micro_runtime::codegen::ServiceDescriptor {
                &#descriptor_const
            }

            fn call(
                &self,
                index: u16,
                #request: ::micro_runtime::codegen::Request,
            ) -> ::micro_runtime::codegen::Served {
                #owned
                match index {
                    #(#arms)*
                    _ => ::micro_runtime::codegen::no_such_method(&#descriptor_const, index),
                }
            }
        }
    }
}

fn arm(service: &Service, method: &Method) -> TokenStream {
    let name = &service.name;
    let Method { index, ident, .. } = method;
    let index = Literal::u16_unsuffixed(*index);
    let function = kind(method).function;
    let input = if method.descriptor.is_client_streaming() {
        quote!(input)
    } else {
        quote!(request)
    };
    let out = method
        .descriptor
        .is_server_streaming()
        .then(|| quote!(, out));
    // By the trait's name: a method called `clone` or `into` is the service's, not the `Arc`'s.
    quote! {
        #index => ::micro_runtime::codegen::#function(request, move |cx, #input #out| async move {
            <T as #name>::#ident(&service, &cx, #input #out).await
        }),
    }
}
