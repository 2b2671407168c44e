//! Messages that say by which topic they go: the option `micro.event`.

use proc_macro2::TokenStream;
use prost_reflect::{MessageDescriptor, Value};
use quote::quote;

use crate::error::{Error, Result};
use crate::model::Model;
use crate::source;

/// What makes `message` an event, where it is one.
///
/// # Errors
/// Where the option names no topic.
pub(crate) fn event(model: &Model, message: &MessageDescriptor) -> Result<Option<TokenStream>> {
    let Some(topic) = topic(message) else {
        return Ok(None);
    };
    if topic.trim().is_empty() {
        let place = source::place(&message.parent_file(), message.path());
        let name = message.name();
        let words = format!(
            "{name} is an event without a topic: write `option (micro.event).topic = \"…\";`"
        );
        return Err(Error::at(place, words));
    }
    let path = model.message(message).path;
    Ok(Some(quote! {
        ::micro_runtime::codegen::event!(#path, #topic);
    }))
}

/// Read through descriptors: prost's types have lost the option.
fn topic(message: &MessageDescriptor) -> Option<String> {
    let pool = message.parent_pool();
    let extension = pool.get_extension_by_name("micro.event")?;
    let options = message.options();
    if !options.has_extension(&extension) {
        return None;
    }
    let event = options.get_extension(&extension);
    let topic = event.as_message()?.get_field_by_name("topic");
    let topic = topic.as_deref().and_then(Value::as_str);
    Some(topic.unwrap_or_default().to_owned())
}
