//! The calling side.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use tokio_stream::StreamExt;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::metadata::{MetadataKey, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use crate::LARGEST;
use crate::flags::Flags;
use crate::proto::greeter_client::GreeterClient;
use crate::proto::{
    CountRequest, EchoRequest, FailRequest, HelloRequest, SleepRequest, SumRequest,
};

/// Makes the calls and gives the exit code.
pub async fn run(flags: &Flags) -> i32 {
    let (each, workers) = (flags.number("n", 1), flags.number("parallel", 1));
    let address = format!("http://{}", flags.text("address", ""));
    let endpoint = Endpoint::from_shared(address).expect("an address");
    let channel = match endpoint.connect().await {
        Ok(channel) => channel,
        Err(error) => {
            println!("ERR 14 {error}");
            return 1;
        }
    };
    let mut client = GreeterClient::new(channel)
        .max_decoding_message_size(LARGEST)
        .max_encoding_message_size(LARGEST)
        .accept_compressed(Gzip)
        .accept_compressed(Zstd);
    if flags.is_set("gzip") {
        client = client.send_compressed(Gzip);
    }
    if flags.is_set("zstd") {
        client = client.send_compressed(Zstd);
    }
    let failed = Arc::new(AtomicI64::new(0));
    let shows = each * workers <= 3;
    let worker = async |mut client: GreeterClient<Channel>| {
        for _ in 0..each {
            if let Err(status) = once(&mut client, flags, shows).await {
                failed.fetch_add(1, Ordering::Relaxed);
                println!("ERR {} {}", i32::from(status.code()), status.message());
                if !status.details().is_empty() {
                    println!("DETAILS {}", status.details().len());
                }
            }
        }
    };
    let workers: Vec<_> = (0..workers).map(|_| worker(client.clone())).collect();
    join(workers).await;
    match failed.load(Ordering::Relaxed) {
        0 => 0,
        failed => {
            println!("FAILED {failed}");
            1
        }
    }
}

/// Runs all side by side.
async fn join(all: Vec<impl Future<Output = ()>>) {
    let mut all: Vec<_> = all.into_iter().map(|one| Some(Box::pin(one))).collect();
    std::future::poll_fn(|task| {
        for one in &mut all {
            if let Some(running) = one
                && running.as_mut().poll(task).is_ready()
            {
                *one = None;
            }
        }
        match all.iter().all(Option::is_none) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
}

async fn once(
    client: &mut GreeterClient<Channel>,
    flags: &Flags,
    shows: bool,
) -> Result<(), Status> {
    let show = |value: Value| {
        if shows {
            println!("OK {value}");
        }
    };
    let (arg, arg2) = (flags.text("arg", "world"), flags.text("arg2", ""));
    let (arg, arg2) = (arg.to_owned(), arg2.to_owned());
    let number: i64 = arg.parse().unwrap_or(0);
    let fail = arg2 == "fail";
    match flags.text("call", "hello") {
        "hello" => {
            let reply = client
                .hello(asked(flags, HelloRequest { name: arg }))
                .await?;
            show(json!({ "msg": reply.into_inner().msg }));
        }
        "fail" => {
            let request = FailRequest {
                kind: arg,
                detail: arg2,
            };
            client.fail(asked(flags, request)).await?;
        }
        "sleep" => {
            let reply = client
                .sleep(asked(flags, SleepRequest { ms: number }))
                .await?;
            show(json!({ "msg": reply.into_inner().msg }));
        }
        "echo" => {
            let reply = client.echo(asked(flags, EchoRequest { key: arg })).await?;
            let reply = reply.into_inner();
            show(json!({ "metadata": reply.metadata, "deadline_ns": reply.deadline_ns }));
        }
        "count" => {
            let request = CountRequest { to: number, fail };
            let mut numbers = client.count(asked(flags, request)).await?.into_inner();
            while let Some(number) = numbers.message().await? {
                show(json!({ "n": number.n }));
            }
            ended(shows);
        }
        "sum" => {
            let requests = (1..=number).map(move |n| SumRequest {
                n,
                fail: fail && n == number,
            });
            let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
            let reply = client.sum(asked(flags, requests)).await?;
            let mut sums: Streaming<_> = reply.into_inner();
            while let Some(sum) = sums.next().await {
                show(json!({ "total": sum?.total }));
            }
            ended(shows);
        }
        "collect" => {
            let requests = (1..=number).map(|n| SumRequest { n, fail: false });
            let requests = tokio_stream::iter(requests.collect::<Vec<_>>());
            let reply = client.collect(asked(flags, requests)).await?;
            show(json!({ "total": reply.into_inner().total }));
        }
        other => panic!("unknown call {other}"),
    }
    Ok(())
}

fn ended(shows: bool) {
    if shows {
        println!("EOF");
    }
}

/// A request with the metadata and the timeout of the flags.
fn asked<T>(flags: &Flags, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(timeout) = flags.duration("timeout") {
        request.set_timeout(timeout);
    }
    for pair in flags.text("metadata", "").split(',') {
        let Some((key, value)) = pair.split_once('=') else {
            continue;
        };
        let key = key.to_lowercase();
        if key.ends_with("-bin") {
            let key = MetadataKey::from_bytes(key.as_bytes()).expect("a key");
            let value = MetadataValue::from_bytes(&bytes(value));
            request.metadata_mut().insert_bin(key, value);
        } else {
            let key = MetadataKey::from_bytes(key.as_bytes()).expect("a key");
            let value = value.parse().expect("a value");
            request.metadata_mut().insert(key, value);
        }
    }
    request
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks_exact(2);
    let digits = digits.filter_map(|pair| std::str::from_utf8(pair).ok());
    digits
        .filter_map(|pair| u8::from_str_radix(pair, 16).ok())
        .collect()
}
