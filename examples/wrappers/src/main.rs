//! cargo run -p example-wrappers
//!
//! Wrappers around handlers and calls: who may call and with what, who called, and what happened.

use micro_runtime::wrapper::{Next, RequestId, Validate, Violations, from_fn};
use micro_runtime::{Context, Error, Reply, Request, Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Response, Say, SayClient, SayServer};

/// What the wrapper has found out about the caller, for handlers.
struct Caller(String);

/// Lets in only callers with a token, and says who they are.
async fn authenticate(mut request: Request, next: Next) -> Result<Reply> {
    let token = request
        .cx
        .metadata()
        .get("Authorization")
        .unwrap_or_default();
    let Some(name) = token.strip_prefix("Bearer ").map(str::to_owned) else {
        return Err(Error::unauthorized("greeter.auth", "a token is needed"));
    };
    request.cx = request.cx.with_extension(Caller(name));
    next.run(request).await
}

/// Prints what every call came to.
async fn log(request: Request, next: Next) -> Result<Reply> {
    let endpoint = request.method.endpoint.clone();
    let reply = next.run(request).await;
    match &reply {
        Ok(_) => println!("{endpoint}: ok"),
        Err(error) => println!("{endpoint}: {error}"),
    }
    reply
}

/// What is wrong with a request.
fn check(request: &crate::go::micro::srv::greeter::Request, wrong: &mut Violations) {
    if request.name.is_empty() {
        wrong.add("name", "must not be empty");
    }
}

struct Greeter;

impl Say for Greeter {
    async fn hello(
        &self,
        cx: &Context,
        request: crate::go::micro::srv::greeter::Request,
    ) -> Result<Response> {
        let caller = cx
            .extension::<Caller>()
            .map_or("nobody", |caller| &caller.0);
        Ok(Response {
            msg: format!("Hello {}, says {caller}", request.name),
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let service = Service::new("examples.wrappers")
        .wrap_handler(RequestId::new())
        .wrap_handler(from_fn(authenticate))
        .wrap_handler(Validate::new().check("Say.Hello", check))
        .wrap_call(from_fn(log))
        .init()?
        .handle(SayServer::new(Greeter))
        .start()
        .await?;
    let say = SayClient::new("examples.wrappers", service.client());
    let named = |name: &str| crate::go::micro::srv::greeter::Request { name: name.into() };

    let call = say
        .hello(named("John"))
        .token("Jane")
        .metadata("X-Request-Id", "r-17");
    let reply = call.full().await?;
    println!("{}", reply.message.msg);
    println!(
        "id {}",
        reply.metadata.get("X-Request-Id").unwrap_or_default()
    );
    let refused = say.hello(named("John")).await.expect_err("it has no token");
    println!("{}", refused.code());
    let refused = say
        .hello(named(""))
        .token("Jane")
        .await
        .expect_err("it has no name");
    println!("{}", refused.code());
    service.stop().await
}
