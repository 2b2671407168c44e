//! Those who call: one thing after the other, whatever comes.

use std::future::IntoFuture;
use std::time::Duration;

use micro_runtime::registry::Memory;
use micro_runtime::tasks::Tasks;
use micro_runtime::{Error, Result, Service};
use micro_tests::proto::greeter::{
    CountRequest, FailRequest, GreeterClient, HelloRequest, SleepRequest, SumRequest,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// No call takes longer, whatever happens to it.
const PATIENCE: Duration = Duration::from_secs(30);

/// Numbers that look random and are the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What became of calls.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    pub answered: u64,
    pub failed: u64,
    pub given_up: u64,
}

impl Tally {
    pub fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.given_up += other.given_up;
    }
}

/// Somebody who calls one thing after the other.
pub struct Caller {
    pub protocol: &'static str,
    pub address: String,
    pub name: String,
    /// Whether its connections may be cut, so that any call may fail.
    pub cut: bool,
    pub tasks: Tasks,
    pub random: Random,
    pub number: u64,
}

impl Caller {
    pub fn greeter(&self) -> GreeterClient {
        let service = Service::new("caller")
            .registry(Memory::new())
            .tasks(self.tasks.clone())
            .client_protocols([self.protocol])
            .retries(0);
        GreeterClient::new("greeter", service.client())
    }

    pub async fn run(mut self, until: Instant) -> Tally {
        let mut greeter = self.greeter();
        let mut tally = Tally::default();
        while Instant::now() < until {
            self.number += 1;
            let kind = self.random.below(10);
            if kind == 9 {
                greeter = self.greeter();
            }
            let what = format!("{} {} of kind {kind}", self.name, self.number);
            let one = timeout(PATIENCE, self.one(&greeter, kind)).await;
            let one = one.unwrap_or_else(|_| panic!("{what} is never answered"));
            match one {
                Ok(true) => tally.answered += 1,
                Ok(false) => tally.given_up += 1,
                Err(_) if self.cut => tally.failed += 1,
                Err(error) => panic!("{what}: {error}"),
            }
        }
        tally
    }

    /// One call; false where it was given up.
    pub async fn one(&mut self, greeter: &GreeterClient, kind: u64) -> Result<bool> {
        let address = || self.address.clone();
        match kind {
            0 | 1 | 9 => {
                let name = format!("{} {}", self.name, self.number);
                let call = greeter.hello(HelloRequest { name: name.clone() });
                let reply = call.address(address()).await?;
                assert_eq!(reply.msg, format!("Hello {name}"), "another's answer");
            }
            2 => {
                let to = i64::try_from(self.random.below(200)).unwrap();
                let call = greeter.count(CountRequest { to, fail: false });
                let mut replies = call.address(self.address.clone()).await?;
                let mut came = 0;
                while let Some(reply) = replies.message().await? {
                    came += 1;
                    assert_eq!(reply.n, came);
                }
                assert_eq!(came, to);
            }
            // Browsers cannot stream both ways, and these are for them.
            3 if self.protocol != "grpc-web" => {
                let mut upload = greeter.collect().address(address()).await?;
                for n in 1..=20 {
                    upload.send(SumRequest { n, fail: false }).await?;
                }
                assert_eq!(upload.finish().await?.total, 210);
            }
            4 if !matches!(self.protocol, "grpc-web" | "connect") => {
                let (mut send, mut receive) = greeter.sum().address(address()).await?;
                for n in 1..=5 {
                    send.send(SumRequest { n, fail: false }).await?;
                    let total = receive.message().await?.map(|reply| reply.total);
                    assert_eq!(total, Some(n * (n + 1) / 2));
                }
                send.finish().await?;
                assert!(receive.message().await?.is_none());
            }
            5 => {
                // Given up, at once or a little later.
                let call = greeter.sleep(SleepRequest { ms: 20_000 });
                let call = call.address(address()).into_future();
                let some = Duration::from_millis(self.random.below(4));
                if timeout(some, call).await.is_err() {
                    return Ok(false);
                }
                return Err(Error::internal("mixed", "answered before its time"));
            }
            6 => {
                let call = greeter.sleep(SleepRequest { ms: 20_000 });
                let call = call.address(address()).timeout(Duration::from_millis(20));
                let error = call.await.expect_err("it cannot be in time");
                if error.code() != 408 {
                    return Err(error);
                }
            }
            7 => {
                // A stream that is let go in the middle.
                // The proxy takes what the server of HTTP/1.1 still has to say, and that only ends
                // with the stream.
                let to = if self.cut { 5_000 } else { 1_000_000 };
                let call = greeter.count(CountRequest { to, fail: false });
                let mut replies = call.address(address()).await?;
                for _ in 0..self.random.below(20) {
                    replies.message().await?;
                }
                return Ok(false);
            }
            _ => {
                let request = FailRequest {
                    detail: "as asked".to_owned(),
                    ..FailRequest::default()
                };
                let call = greeter.fail(request).address(address());
                let error = call.await.expect_err("it always fails");
                if error.code() != 409 {
                    return Err(error);
                }
                assert_eq!(error.detail(), "as asked");
            }
        }
        Ok(true)
    }
}

/// JSON by hand over HTTP/1.1, as curl sends it.
pub async fn json(address: String, until: Instant) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < until {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        for number in 0..20 {
            let body = format!("{{\"name\":\"json{number}\"}}");
            let request = format!(
                "POST /greeter.Greeter/Hello HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(request.as_bytes()).await.unwrap();
            let want = format!("{{\"msg\":\"Hello json{number}\"}}");
            let mut answer = Vec::new();
            let whole = async {
                while !answer.ends_with(want.as_bytes()) {
                    assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0);
                }
            };
            let whole = timeout(PATIENCE, whole).await;
            whole.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&answer)));
            assert!(answer.starts_with(b"HTTP/1.1 200 "));
            tally.answered += 1;
        }
    }
    tally
}
