//! The shape of generated code, written by hand: what `protoc-gen-micro` must produce.
#![deny(warnings)]
#![allow(missing_docs, unreachable_pub)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod greeter {
    #[derive(Clone, PartialEq, ::micro_runtime::codegen::prost::Message)]
    #[prost(prost_path = "::micro_runtime::codegen::prost")]
    pub struct Request {
        #[prost(string, tag = "1")]
        pub name: ::micro_runtime::codegen::prost::alloc::string::String,
    }

    impl ::micro_runtime::codegen::Fields for Request {
        fn shape(&self) -> &'static ::micro_runtime::codegen::Shape {
            static SHAPE: ::micro_runtime::codegen::Shape = ::micro_runtime::codegen::Shape::new(
                "go.micro.srv.greeter.Request",
                &[::micro_runtime::codegen::Field::new("name", "name")],
                &[],
            );
            &SHAPE
        }
        fn field(
            &self,
            index: usize,
        ) -> ::core::option::Option<&dyn ::micro_runtime::codegen::Form> {
            ::core::option::Option::Some(match index {
                0 => &self.name,
                _ => return ::core::option::Option::None,
            })
        }
        fn field_mut(
            &mut self,
            index: usize,
        ) -> ::core::option::Option<&mut dyn ::micro_runtime::codegen::Form> {
            ::core::option::Option::Some(match index {
                0 => &mut self.name,
                _ => return ::core::option::Option::None,
            })
        }
    }

    impl ::micro_runtime::codegen::Payload for Request {
        fn proto_len(&self) -> usize {
            ::micro_runtime::codegen::prost::Message::encoded_len(self)
        }
        fn encode_proto(&self, out: &mut ::micro_runtime::codegen::bytes::BytesMut) {
            ::micro_runtime::codegen::prost::Message::encode_raw(self, out);
        }
        fn merge_proto(
            &mut self,
            body: ::micro_runtime::codegen::bytes::Bytes,
        ) -> ::micro_runtime::codegen::Result<()> {
            ::micro_runtime::codegen::merge_proto(self, body)
        }
        fn form(&self) -> ::core::option::Option<&dyn ::micro_runtime::codegen::Form> {
            ::core::option::Option::Some(self)
        }
        fn form_mut(&mut self) -> ::core::option::Option<&mut dyn ::micro_runtime::codegen::Form> {
            ::core::option::Option::Some(self)
        }
    }

    /// The methods of `Say`.
    pub static SAY_METHODS: [::micro_runtime::codegen::Method; 4] = [
        ::micro_runtime::codegen::Method::new(
            "go.micro.srv.greeter",
            "Say.Hello",
            "/go.micro.srv.greeter.Say/Hello",
            ::micro_runtime::codegen::Kind::Unary,
            ::micro_runtime::codegen::Idempotency::Unknown,
            0,
        ),
        ::micro_runtime::codegen::Method::new(
            "go.micro.srv.greeter",
            "Say.Count",
            "/go.micro.srv.greeter.Say/Count",
            ::micro_runtime::codegen::Kind::ServerStream,
            ::micro_runtime::codegen::Idempotency::Unknown,
            1,
        ),
        ::micro_runtime::codegen::Method::new(
            "go.micro.srv.greeter",
            "Say.Collect",
            "/go.micro.srv.greeter.Say/Collect",
            ::micro_runtime::codegen::Kind::ClientStream,
            ::micro_runtime::codegen::Idempotency::Unknown,
            2,
        ),
        ::micro_runtime::codegen::Method::new(
            "go.micro.srv.greeter",
            "Say.Sum",
            "/go.micro.srv.greeter.Say/Sum",
            ::micro_runtime::codegen::Kind::Bidi,
            ::micro_runtime::codegen::Idempotency::Unknown,
            3,
        ),
    ];

    /// What `Say` consists of.
    pub static SAY_DESCRIPTOR: ::micro_runtime::codegen::ServiceDescriptor =
        ::micro_runtime::codegen::ServiceDescriptor::new(
            "Say",
            "go.micro.srv.greeter.Say",
            &SAY_METHODS,
            &[],
            &[],
        );

    /// The handlers of service `Say`.
    pub trait Say: ::core::marker::Send + ::core::marker::Sync + 'static {
        fn hello(
            &self,
            cx: &::micro_runtime::codegen::Context,
            request: Request,
        ) -> impl ::core::future::Future<Output = ::micro_runtime::codegen::Result<Request>>
        + ::core::marker::Send;
        fn count(
            &self,
            cx: &::micro_runtime::codegen::Context,
            request: Request,
            out: ::micro_runtime::codegen::Sender<Request>,
        ) -> impl ::core::future::Future<Output = ::micro_runtime::codegen::Result<()>>
        + ::core::marker::Send;
        fn collect(
            &self,
            cx: &::micro_runtime::codegen::Context,
            input: ::micro_runtime::codegen::Receiver<Request>,
        ) -> impl ::core::future::Future<Output = ::micro_runtime::codegen::Result<Request>>
        + ::core::marker::Send;
        fn sum(
            &self,
            cx: &::micro_runtime::codegen::Context,
            input: ::micro_runtime::codegen::Receiver<Request>,
            out: ::micro_runtime::codegen::Sender<Request>,
        ) -> impl ::core::future::Future<Output = ::micro_runtime::codegen::Result<()>>
        + ::core::marker::Send;
    }

    /// Serves a [`Say`].
    #[derive(Debug)]
    pub struct SayServer<T>(::std::sync::Arc<T>);

    impl<T> ::core::clone::Clone for SayServer<T> {
        fn clone(&self) -> Self {
            Self(self.0.clone())
        }
    }

    impl<T: Say> SayServer<T> {
        pub fn new(service: T) -> Self {
            Self(::std::sync::Arc::new(service))
        }
    }

    impl<T: Say> ::micro_runtime::codegen::Dispatch for SayServer<T> {
        fn descriptor(&self) -> &'static ::micro_runtime::codegen::ServiceDescriptor {
            &SAY_DESCRIPTOR
        }
        fn call(
            &self,
            index: u16,
            request: ::micro_runtime::codegen::Request,
        ) -> ::micro_runtime::codegen::BoxFuture<
            ::micro_runtime::codegen::Result<::micro_runtime::codegen::Reply>,
        > {
            let service = self.0.clone();
            match index {
                0 => ::micro_runtime::codegen::unary(request, move |cx, request| async move {
                    service.hello(&cx, request).await
                }),
                1 => ::micro_runtime::codegen::server_stream(
                    request,
                    move |cx, request, out| async move { service.count(&cx, request, out).await },
                ),
                2 => {
                    ::micro_runtime::codegen::client_stream(request, move |cx, input| async move {
                        service.collect(&cx, input).await
                    })
                }
                3 => ::micro_runtime::codegen::bidi(request, move |cx, input, out| async move {
                    service.sum(&cx, input, out).await
                }),
                _ => ::micro_runtime::codegen::no_such_method(&SAY_DESCRIPTOR, index),
            }
        }
    }

    /// Calls a `Say`.
    #[derive(Clone, Debug)]
    pub struct SayClient(::micro_runtime::codegen::Target);

    impl SayClient {
        pub fn local(service: impl Say) -> Self {
            Self(::micro_runtime::codegen::local(SayServer::new(service)))
        }
        pub fn hello(
            &self,
            request: Request,
        ) -> ::micro_runtime::codegen::Call<::micro_runtime::codegen::Unary<Request, Request>>
        {
            self.0.unary(&SAY_METHODS[0], request)
        }
        pub fn count(
            &self,
            request: Request,
        ) -> ::micro_runtime::codegen::Call<::micro_runtime::codegen::ServerStream<Request, Request>>
        {
            self.0.server_stream(&SAY_METHODS[1], request)
        }
        pub fn collect(
            &self,
        ) -> ::micro_runtime::codegen::Call<::micro_runtime::codegen::ClientStream<Request, Request>>
        {
            self.0.client_stream(&SAY_METHODS[2])
        }
        pub fn sum(
            &self,
        ) -> ::micro_runtime::codegen::Call<::micro_runtime::codegen::Bidi<Request, Request>>
        {
            self.0.bidi(&SAY_METHODS[3])
        }
    }
}

use greeter::{Request, Say, SayClient};
use micro_runtime::{Context, Error, Receiver, Result, Sender};

struct Greeter;

impl Say for Greeter {
    async fn hello(&self, cx: &Context, request: Request) -> Result<Request> {
        if request.name == "panic" {
            panic!("on purpose");
        }
        let tenant = cx.metadata().get("tenant").unwrap_or("nobody");
        cx.reply_metadata().set("seen", "yes");
        Ok(Request {
            name: format!("Hello {} of {tenant}", request.name),
        })
    }

    async fn count(&self, _cx: &Context, request: Request, mut out: Sender<Request>) -> Result<()> {
        for c in request.name.chars() {
            out.send(Request {
                name: c.to_string(),
            })
            .await?;
        }
        Err(Error::conflict("say.count", "no more letters"))
    }

    async fn collect(&self, _cx: &Context, mut input: Receiver<Request>) -> Result<Request> {
        let mut name = String::new();
        while let Some(next) = input.message().await? {
            name.push_str(&next.name);
        }
        Ok(Request { name })
    }

    async fn sum(
        &self,
        _cx: &Context,
        mut input: Receiver<Request>,
        mut out: Sender<Request>,
    ) -> Result<()> {
        while let Some(next) = input.message().await? {
            out.send(next).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_local_service_answers_all_four_kinds() -> Result<()> {
    let say = SayClient::local(Greeter);
    let named = |name: &str| Request { name: name.into() };
    let reply = say
        .hello(named("John"))
        .metadata("Tenant", "blue")
        .full()
        .await?;
    assert_eq!(reply.message.name, "Hello John of blue");
    assert_eq!(reply.metadata.get("seen"), Some("yes"));

    let mut letters = say.count(named("abc")).await?;
    for letter in ["a", "b", "c"] {
        assert_eq!(letters.message().await?.unwrap().name, letter);
    }
    assert_eq!(letters.message().await.unwrap_err().code(), 409);

    let mut upload = say.collect().await?;
    upload.send(named("x")).await?;
    upload.send(named("y")).await?;
    assert_eq!(upload.finish().await?.name, "xy");

    let (mut out, mut input) = say.sum().await?;
    for word in ["one", "two"] {
        out.send(named(word)).await?;
        assert_eq!(input.message().await?.unwrap().name, word);
    }
    out.finish().await?;
    assert!(input.message().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_panic_is_answered() {
    let say = SayClient::local(Greeter);
    let error = say
        .hello(Request {
            name: "panic".into(),
        })
        .await
        .unwrap_err();
    assert_eq!(
        (error.id(), error.code(), error.detail()),
        ("go.micro.server", 500, "panic recovered: on purpose")
    );
}
