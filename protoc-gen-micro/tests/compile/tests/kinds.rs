//! Generated clients and servers, called in process.
#![deny(warnings)]
#![allow(clippy::unwrap_used, reason = "a test fails so")]

use std::sync::Arc;

use micro_compile_tests::kinds::{Answer, Kinds, KindsClient, KindsServer, Question};
use micro_compile_tests::ring;
use micro_runtime::{Context, Receiver, Result, Sender};

struct Echo;

impl Kinds for Echo {
    async fn one(&self, _cx: &Context, request: Question) -> Result<Answer> {
        Ok(Answer { text: request.text })
    }

    async fn down(&self, _cx: &Context, request: Question, mut out: Sender<Answer>) -> Result<()> {
        for text in request.text.split(' ') {
            out.send(Answer { text: text.into() }).await?;
        }
        Ok(())
    }

    async fn up(&self, _cx: &Context, mut input: Receiver<Question>) -> Result<Answer> {
        let mut text = String::new();
        while let Some(question) = input.message().await? {
            text.push_str(&question.text);
        }
        Ok(Answer { text })
    }

    async fn both(
        &self,
        _cx: &Context,
        mut input: Receiver<Question>,
        mut out: Sender<Answer>,
    ) -> Result<()> {
        while let Some(Question { text }) = input.message().await? {
            out.send(Answer { text }).await?;
        }
        Ok(())
    }
}

fn question(text: &str) -> Question {
    Question { text: text.into() }
}

#[tokio::test]
async fn all_four_kinds_work() {
    let kinds = KindsClient::local(Echo);
    assert_eq!(kinds.one(question("a")).await.unwrap().text, "a");

    let mut down = kinds.down(question("a b")).await.unwrap();
    assert_eq!(down.message().await.unwrap().unwrap().text, "a");
    assert_eq!(down.message().await.unwrap().unwrap().text, "b");
    assert!(down.message().await.unwrap().is_none());

    let mut up = kinds.up().await.unwrap();
    up.send(question("a")).await.unwrap();
    up.send(question("b")).await.unwrap();
    assert_eq!(up.finish().await.unwrap().text, "ab");

    let (mut out, mut input) = kinds.both().await.unwrap();
    out.send(question("a")).await.unwrap();
    assert_eq!(input.message().await.unwrap().unwrap().text, "a");
    out.finish().await.unwrap();
    assert!(input.message().await.unwrap().is_none());
}

#[test]
fn a_server_is_cloned_and_shown_whatever_the_service_can() {
    let service = Arc::new(Echo);
    let server = KindsServer::from_arc(Arc::clone(&service));
    assert_eq!(format!("{:?}", server.clone()), "KindsServer");
    drop(server);
    assert_eq!(Arc::strong_count(&service), 1);
}

#[tokio::test]
async fn packages_that_import_each_other_find_each_other() {
    struct Lefts;
    impl ring::left::Lefts for Lefts {
        async fn turn(&self, _: &Context, left: ring::left::Left) -> Result<ring::right::Base> {
            Ok(left.base.unwrap_or_default())
        }
    }
    let base = ring::right::Base { name: "b".into() };
    let left = ring::left::Left {
        base: Some(base.clone()),
        kind: ring::right::base::Kind::Some.into(),
        common: Some(ring::Common { id: 1 }),
    };
    let right = ring::right::Right { left: Some(left) };
    let client = ring::left::LeftsClient::local(Lefts);
    let reply = client.turn(right.left.unwrap()).await.unwrap();
    assert_eq!(reply, base);
}

#[tokio::test]
async fn well_known_types_are_requests_and_replies() {
    use micro_compile_tests::shapes::{Shape, Shapes, ShapesClient};
    use micro_runtime::codegen::prost_types::{Struct, Timestamp};

    struct Known;
    impl Shapes for Known {
        async fn echo(&self, _: &Context, shape: Shape) -> Result<Shape> {
            Ok(shape)
        }
        async fn nothing(&self, _: &Context, (): ()) -> Result<()> {
            Ok(())
        }
        async fn wrapped(&self, _: &Context, text: String) -> Result<i64> {
            Ok(i64::try_from(text.len()).unwrap())
        }
        async fn known(&self, _: &Context, _: Timestamp) -> Result<Struct> {
            Ok(Struct::default())
        }
    }
    let shapes = ShapesClient::local(Known);
    let call = shapes.wrapped("four".into());
    assert_eq!(call.content_type("application/json").await.unwrap(), 4);
    shapes.nothing(()).await.unwrap();
    let shape = Shape {
        maybe_int: Some(0),
        ..Shape::default()
    };
    let reply = shapes.echo(shape.clone()).await.unwrap();
    assert_eq!(reply, shape);
}
