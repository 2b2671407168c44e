//! The form of a message that text codecs walk.

use proc_macro2::TokenStream;
use prost_reflect::MessageDescriptor;
use quote::quote;

use crate::model::Model;

/// The `Form` of `message`, for the module of its package.
pub fn message(model: &Model, message: &MessageDescriptor) -> TokenStream {
    let path = model.message(message).path;
    quote!(impl ::micro_runtime::codegen::Form for #path {})
}
