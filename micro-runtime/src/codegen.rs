//! The one door for generated code. Not for hand-written code: it may change with any version.

use std::future::Future;
use std::sync::Arc;

pub use std::future::Future as StdFuture;

pub use ::bytes;
pub use ::prost;
pub use ::prost_types;

pub use crate::call::{BoxFuture, Dispatch, Payload, Receiver, Reply, Request, Sender};
pub use crate::client::{Bidi, Call, Client, ClientStream, ServerStream, Target, Unary, Upload};
pub use crate::codec::form::{
    Enum, Enumeration, Field, Fields, Form, Meaning, Oneof, Shape, oneof, oneof_mut,
};
pub use crate::codec::merge_proto;
pub use crate::context::Context;
pub use crate::error::{Error, Result};
pub use crate::event::Event;
pub use crate::metadata::Text;
pub use crate::method::{
    EndpointDescriptor, Idempotency, Kind, Method, ServiceDescriptor, ValueDescriptor,
};
pub use crate::server::Local;

use crate::call::Body;
use crate::codec;
use crate::error::id;

#[doc(inline)]
pub use crate::{
    __client as client, __endpoint as endpoint, __event as event, __method as method,
    __payload as payload, __server as server,
};

/// What a [`Dispatch`] answers with.
pub type Served = BoxFuture<Result<Reply>>;

/// Generated code names this constant's module by version, so that it does not compile against a
/// runtime of another version. The name has the first two numbers of this crate's version.
pub mod generated_for_micro_runtime_0_1 {
    /// Named by generated code.
    pub const CHECK: () = ();
}

/// Makes a generated message a [`Payload`]: `payload!(Request, form)`, or without the form that
/// text codecs walk `payload!(Request)`.
#[doc(hidden)]
#[macro_export]
macro_rules! __payload {
    ($message:ty) => {
        $crate::__payload!(@impl $message, _message => ::core::option::Option::None);
    };
    ($message:ty, form) => {
        $crate::__payload!(@impl $message, message => ::core::option::Option::Some(message));
    };
    (@impl $message:ty, $this:ident => $form:expr) => {
        #[allow(deprecated)]
        impl $crate::codegen::Payload for $message {
            fn proto_len(&self) -> usize {
                $crate::codegen::prost::Message::encoded_len(self)
            }

            fn encode_proto(&self, out: &mut $crate::codegen::bytes::BytesMut) {
                $crate::codegen::prost::Message::encode_raw(self, out);
            }

            fn merge_proto(
                &mut self,
                body: $crate::codegen::bytes::Bytes,
            ) -> $crate::codegen::Result<()> {
                $crate::codegen::merge_proto(self, body)
            }

            fn form(&self) -> ::core::option::Option<&dyn $crate::codegen::Form> {
                let $this = self;
                $form
            }

            fn form_mut(&mut self) -> ::core::option::Option<&mut dyn $crate::codegen::Form> {
                let $this = self;
                $form
            }
        }
    };
}

/// Makes a generated message an event, which goes by one topic: `event!(Greeted, "greeter.greeted")`.
#[doc(hidden)]
#[macro_export]
macro_rules! __event {
    ($message:ty, $topic:literal) => {
        #[allow(dead_code, deprecated)]
        impl $message {
            /// The topic that it is published and subscribed to by.
            pub const TOPIC: &'static str = $topic;
        }

        #[allow(deprecated)]
        impl $crate::codegen::Event for $message {
            const TOPIC: &'static str = $topic;
        }
    };
}

/// A method of a service: package, Go Micro's endpoint, gRPC's path, kind, idempotency, index.
#[doc(hidden)]
#[macro_export]
macro_rules! __method {
    ($package:literal, $endpoint:literal, $path:literal, $kind:ident, $idempotency:ident, $index:literal) => {
        $crate::codegen::Method::new(
            $package,
            $endpoint,
            $path,
            $crate::codegen::Kind::$kind,
            $crate::codegen::Idempotency::$idempotency,
            $index,
        )
    };
}

/// An endpoint: its name, the trees of request and reply, each node `("name", "type", fields…)`,
/// and the metadata `["key" = "value", …]`.
#[doc(hidden)]
#[macro_export]
macro_rules! __endpoint {
    ($name:literal, $request:tt, $response:tt, [$($key:literal = $value:literal),*]) => {
        $crate::codegen::EndpointDescriptor::new(
            $name,
            $crate::__endpoint!(@value $request),
            $crate::__endpoint!(@value $response),
            &[$(($key, $value)),*],
        )
    };
    (@value ($name:literal, $kind:literal $(, $field:tt)*)) => {
        $crate::codegen::ValueDescriptor::new(
            $name,
            $kind,
            &[$($crate::__endpoint!(@value $field)),*],
        )
    };
}

/// What every generated server has: `Clone` and `Debug` whatever the service has, and makers.
#[doc(hidden)]
#[macro_export]
macro_rules! __server {
    ($server:ident, $service:ident) => {
        impl<T> ::core::clone::Clone for $server<T> {
            fn clone(&self) -> Self {
                Self(::std::sync::Arc::clone(&self.0))
            }
        }

        impl<T> ::core::fmt::Debug for $server<T> {
            fn fmt(&self, f: &mut ::core::fmt::Formatter<'_>) -> ::core::fmt::Result {
                f.write_str(::core::stringify!($server))
            }
        }

        #[allow(dead_code)]
        impl<T: $service> $server<T> {
            /// A server of `service`.
            pub fn new(service: T) -> Self {
                Self::from_arc(::std::sync::Arc::new(service))
            }

            /// A server of a service that others hold too.
            pub fn from_arc(service: ::std::sync::Arc<T>) -> Self {
                Self(service)
            }
        }
    };
}

/// What every generated client has: makers. `local` needs the server.
#[doc(hidden)]
#[macro_export]
macro_rules! __client {
    ($client:ident, $descriptor:ident) => {
        #[allow(dead_code, deprecated)]
        impl $client {
            /// Calls the service that is registered as `name`.
            pub fn new(
                name: impl ::core::convert::Into<$crate::codegen::Text>,
                client: &$crate::codegen::Client,
            ) -> Self {
                Self(client.typed_target(name, &$descriptor))
            }

            /// Calls what `target` leads to.
            pub fn from_target(target: $crate::codegen::Target) -> Self {
                Self(target)
            }
        }
    };
    ($client:ident, $descriptor:ident, $service:ident, $server:ident) => {
        $crate::__client!($client, $descriptor);

        #[allow(dead_code, deprecated)]
        impl $client {
            /// Calls `service` in this process, through the codec.
            pub fn local(service: impl $service) -> Self {
                Self($crate::codegen::local($server::new(service)))
            }
        }
    };
}

/// Serves a unary method: decodes, runs the handler with its context as the current one, encodes.
pub fn unary<Q, R, F, H>(request: Request, handler: F) -> BoxFuture<Result<Reply>>
where
    Q: Payload + Default,
    R: Payload,
    F: FnOnce(Context, Q) -> H + Send + 'static,
    H: Future<Output = Result<R>> + Send,
{
    Box::pin(async move {
        let Request {
            cx, codec, body, ..
        } = request;
        let message = codec::decode::<Q>(&*codec, body.into_bytes())?;
        let answer = cx.clone().scope(handler(cx.clone(), message)).await?;
        reply(&cx, Body::One(encode_reply(&*codec, &answer)?))
    })
}

/// Serves a method whose replies stream: the handler starts after the first message.
pub fn server_stream<Q, R, F, H>(request: Request, handler: F) -> BoxFuture<Result<Reply>>
where
    Q: Payload + Default,
    R: Payload,
    F: FnOnce(Context, Q, Sender<R>) -> H + Send + 'static,
    H: Future<Output = Result<()>> + Send,
{
    Box::pin(async move {
        let Request {
            cx, codec, body, ..
        } = request;
        let raw = stream(body)?;
        let mut input = Receiver::<Q>::new(raw.receive, codec.clone());
        let message = input
            .message()
            .await?
            .ok_or_else(|| Error::bad_request(id::SERVER, "the stream ended before its request"))?;
        cx.clone()
            .scope(handler(cx.clone(), message, Sender::new(raw.send, codec)))
            .await?;
        reply(&cx, Body::Empty)
    })
}

/// Serves a method whose requests stream.
pub fn client_stream<Q, R, F, H>(request: Request, handler: F) -> BoxFuture<Result<Reply>>
where
    Q: Payload + Default,
    R: Payload,
    F: FnOnce(Context, Receiver<Q>) -> H + Send + 'static,
    H: Future<Output = Result<R>> + Send,
{
    Box::pin(async move {
        let Request {
            cx, codec, body, ..
        } = request;
        let raw = stream(body)?;
        let answer = cx
            .clone()
            .scope(handler(
                cx.clone(),
                Receiver::new(raw.receive, codec.clone()),
            ))
            .await?;
        Sender::new(raw.send, codec).send(answer).await?;
        reply(&cx, Body::Empty)
    })
}

/// Serves a method both of whose sides stream.
pub fn bidi<Q, R, F, H>(request: Request, handler: F) -> BoxFuture<Result<Reply>>
where
    Q: Payload + Default,
    R: Payload,
    F: FnOnce(Context, Receiver<Q>, Sender<R>) -> H + Send + 'static,
    H: Future<Output = Result<()>> + Send,
{
    Box::pin(async move {
        let Request {
            cx, codec, body, ..
        } = request;
        let raw = stream(body)?;
        let (input, out) = (
            Receiver::new(raw.receive, codec.clone()),
            Sender::new(raw.send, codec),
        );
        cx.clone().scope(handler(cx.clone(), input, out)).await?;
        reply(&cx, Body::Empty)
    })
}

/// Answers an index that the service does not have.
pub fn no_such_method(
    descriptor: &'static ServiceDescriptor,
    index: u16,
) -> BoxFuture<Result<Reply>> {
    Box::pin(async move {
        Err(Error::not_implemented(
            id::SERVER,
            format!("{} has no method number {index}", descriptor.full_name),
        ))
    })
}

/// Puts a local service behind a client.
pub fn local(service: impl Dispatch) -> Target {
    let name = service.descriptor().full_name;
    Target::new(name, Arc::new(Local::new(service)))
}

fn stream(body: Body) -> Result<crate::call::RawStream> {
    match body {
        Body::Stream(raw) => Ok(raw),
        Body::Empty | Body::One(_) => Err(Error::bad_request(
            id::SERVER,
            "the method streams, and the request does not",
        )),
    }
}

fn encode_reply(codec: &dyn codec::Codec, message: &dyn Payload) -> Result<bytes::Bytes> {
    codec::encode(codec, message).map_err(|error| {
        Error::plain(format!("Unable to encode body: {}", error.detail())).with_source(error)
    })
}

fn reply(cx: &Context, message: Body) -> Result<Reply> {
    let parts = cx.take_reply_parts();
    let mut reply = Reply::new(message);
    reply.metadata = parts.metadata;
    reply.trailers = parts.trailers;
    Ok(reply)
}
