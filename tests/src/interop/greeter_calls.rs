//! The calls of the greeter's client: those of the Go peer.

use std::sync::{Arc, Mutex, PoisonError};

use micro_runtime::Result;
use micro_runtime::method::{Kind, Method};

use super::args::Call;
use super::client::{Caller, Failure};
use super::server::wrong;
use crate::go::json;
use crate::proto::debug::{DebugClient, HealthRequest, StatsRequest};
use crate::proto::greeter::{
    CountRequest, EchoRequest, FailRequest, GreeterClient, HelloRequest, HelloResponse,
    SleepRequest, SumRequest,
};

/// Makes the calls and gives how many failed, of how many.
pub(super) async fn run(caller: &Caller) -> Result<(u64, u64)> {
    let call = caller.args.call.unwrap_or(Call::Hello);
    if matches!(call, Call::Make | Call::Check | Call::List) {
        return Err(wrong("this call is of the kitchen: --service kitchen"));
    }
    if call == Call::Publish && caller.args.topic.is_none() {
        return Err(wrong("--call publish needs --topic"));
    }
    let left_open = LeftOpen::default();
    let kept = left_open.clone();
    let one = move |caller: Caller| {
        let kept = kept.clone();
        async move { one(caller, call, kept).await }
    };
    let failed = caller.load("", one).await;
    drop(left_open);
    Ok((failed, caller.args.calls()))
}

/// Streams that `--silent_close` leaves open until the program ends.
type LeftOpen = Arc<Mutex<Vec<Box<dyn Send>>>>;

async fn one(caller: Caller, call: Call, left_open: LeftOpen) -> Result<(), Failure> {
    let args = caller.args.clone();
    let greeter = GreeterClient::new(args.name().to_owned(), &caller.client);
    let number = leading_number(&args.arg);
    let show = |message: &dyn micro_runtime::call::Payload| {
        caller.say(format_args!("OK {}", json(message)));
    };
    match call {
        Call::Hello => {
            let name = args.arg.clone();
            show(&caller.with(greeter.hello(HelloRequest { name })).await?);
        }
        Call::Fail => {
            let (kind, detail) = (args.arg.clone(), args.arg2.clone());
            match caller
                .with(greeter.fail(FailRequest { kind, detail }))
                .await
            {
                Ok(reply) => show(&reply),
                Err(error) => {
                    caller.say(format_args!("PARSED {}", error.to_json()));
                    return Err(error.into());
                }
            }
        }
        Call::Sleep => show(
            &caller
                .with(greeter.sleep(SleepRequest { ms: number }))
                .await?,
        ),
        Call::Echo => {
            let key = args.arg.clone();
            show(&caller.with(greeter.echo(EchoRequest { key })).await?);
        }
        Call::Raw => {
            let name = args.arg2.clone();
            let method = Method::dynamic(args.arg.clone(), Kind::Unary);
            let target = caller.client.target(args.name().to_owned());
            let call = target.unary::<HelloRequest, HelloResponse>(method, HelloRequest { name });
            show(&caller.with(call).await?);
        }
        Call::Health => {
            let debug = DebugClient::new(args.name().to_owned(), &caller.client);
            show(&caller.with(debug.health(HealthRequest::default())).await?);
        }
        Call::Stats => {
            let debug = DebugClient::new(args.name().to_owned(), &caller.client);
            show(&caller.with(debug.stats(StatsRequest::default())).await?);
        }
        Call::Count => {
            let request = CountRequest {
                to: number,
                fail: args.arg2 == "fail",
            };
            let mut numbers = caller.with(greeter.count(request)).await?;
            while let Some(message) = numbers.message().await? {
                show(&message);
            }
            caller.say("EOF");
            keep(args.silent_close, &left_open, numbers);
        }
        Call::Sum => {
            let (mut send, mut receive) = caller.with(greeter.sum()).await?;
            for n in 1..=number {
                let fail = args.arg2 == "fail" && n == number;
                send.send(SumRequest { n, fail }).await?;
                match receive.message().await? {
                    Some(message) => show(&message),
                    None => return Err(ended_early().into()),
                }
            }
            if args.silent_close {
                keep(true, &left_open, (send, receive));
            } else {
                send.finish().await?;
            }
        }
        Call::Collect => {
            let mut upload = caller.with(greeter.collect()).await?;
            for n in 1..=number {
                upload.send(SumRequest { n, fail: false }).await?;
            }
            show(&upload.finish().await?);
            caller.say("after: EOF");
        }
        Call::Publish => {
            let topic = args.topic.clone().unwrap_or_default();
            let name = match args.calls() {
                1 => args.arg.clone(),
                _ => format!("{}-{}", args.arg, caller.next()),
            };
            let mut event = caller
                .client
                .publisher(topic)
                .publish(HelloRequest { name });
            for (key, value) in &args.metadata {
                event = event.metadata(key.clone(), value.clone());
            }
            event.await?;
        }
        Call::Make | Call::Check | Call::List => {}
    }
    Ok(())
}

fn ended_early() -> micro_runtime::Error {
    micro_runtime::Error::internal("micro.interop", "the stream ended before its replies")
}

fn keep(silent: bool, left_open: &LeftOpen, stream: impl Send + 'static) {
    if silent {
        left_open
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Box::new(stream));
    }
}

/// The number that `text` begins with, as Go's `fmt.Sscan` reads it; else 0.
fn leading_number(text: &str) -> i64 {
    text.trim().parse().unwrap_or(0)
}
