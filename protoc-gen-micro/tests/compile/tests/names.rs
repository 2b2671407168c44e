//! Names that Rust, its prelude or generated code use themselves.
#![deny(warnings)]
#![allow(clippy::unwrap_used, reason = "a test fails so")]

use micro_compile_tests::names::names::{self, Methods, MethodsClient, Ok as Reply};
use micro_runtime::{Context, Receiver, Result, Sender};

/// Answers each unary method.
macro_rules! unary {
    ($($name:ident)*) => {
        $(async fn $name(&self, _: &Context, request: Reply) -> Result<Reply> {
            Ok(request)
        })*
    };
}

#[derive(Clone)]
struct All;

impl Methods for All {
    unary! {
        new_ self_ fmt into_ from drop call descriptor deref as_ref borrow r#type r#async unary
        lower_case http_get
    }

    async fn clone_(&self, _: &Context, _: Reply, mut out: Sender<Reply>) -> Result<()> {
        out.send(Reply {}).await
    }

    async fn local_(&self, _: &Context, mut input: Receiver<Reply>) -> Result<Reply> {
        Ok(input.message().await?.unwrap_or_default())
    }

    async fn from_target_(
        &self,
        _: &Context,
        mut input: Receiver<Reply>,
        mut out: Sender<Reply>,
    ) -> Result<()> {
        while let Some(message) = input.message().await? {
            out.send(message).await?;
        }
        Ok(())
    }
}

#[tokio::test]
async fn methods_are_called_whatever_their_names() {
    let methods = MethodsClient::local(All).clone();
    methods.new_(Reply {}).await.unwrap();
    methods.self_(Reply {}).await.unwrap();
    methods.fmt(Reply {}).await.unwrap();
    methods.into_(Reply {}).await.unwrap();
    methods.drop(Reply {}).await.unwrap();
    methods.unary(Reply {}).await.unwrap();
    methods.r#type(Reply {}).await.unwrap();
    let mut down = methods.clone_(Reply {}).await.unwrap();
    assert!(down.message().await.unwrap().is_some());
    methods.local_().await.unwrap().finish().await.unwrap();
    let (mut out, _input) = methods.from_target_().await.unwrap();
    out.send(Reply {}).await.unwrap();
}

#[tokio::test]
async fn services_step_aside_for_messages() {
    struct One;
    impl names::OptionService for One {
        async fn get(&self, _: &Context, option: names::Option) -> Result<names::Some> {
            Ok(names::Some {
                option: Some(Box::new(option)),
            })
        }
    }
    impl names::SelfService for One {
        async fn self_(&self, _: &Context, request: names::Self_) -> Result<names::Self_> {
            Ok(request)
        }
    }
    let client = names::OptionServiceClient::local(One);
    let option = names::Option {
        some: Some("x".into()),
        none: None,
    };
    let reply = client.get(option.clone()).await.unwrap();
    assert_eq!(reply.option, Some(Box::new(option)));
    let client = names::SelfServiceClient::local(One);
    client.self_(names::Self_::default()).await.unwrap();
}

#[test]
fn a_renamed_service_keeps_its_name_on_the_wire() {
    assert_eq!(names::OPTION_SERVICE_DESCRIPTOR.full_name, "names.option");
    assert_eq!(names::OPTION_SERVICE_DESCRIPTOR.name, "Option");
    let method = &names::OPTION_SERVICE_METHODS[0];
    assert_eq!(method.endpoint, "Option.Get");
    assert_eq!(method.path, "/names.option/Get");
}
