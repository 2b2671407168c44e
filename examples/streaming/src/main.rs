//! cargo run -p example-streaming
//!
//! All three kinds of streams, between a service and a client of it in one process.

use micro_runtime::{Context, Error, Receiver, Result, Sender, Service};

micro_runtime::include_protos!();
use crate::examples::counter::{Counter, CounterClient, CounterServer, Number};

struct Counting;

impl Counter for Counting {
    async fn count(&self, _cx: &Context, to: Number, mut out: Sender<Number>) -> Result<()> {
        if to.n > 1_000 {
            return Err(Error::bad_request(
                "counter.count",
                "that would take too long",
            ));
        }
        for n in 1..=to.n {
            // Waits while the caller is slower than we are.
            out.send(Number { n }).await?;
        }
        Ok(())
    }

    async fn add(&self, _cx: &Context, mut input: Receiver<Number>) -> Result<Number> {
        let mut sum = 0;
        while let Some(number) = input.message().await? {
            sum += number.n;
        }
        Ok(Number { n: sum })
    }

    async fn running_total(
        &self,
        _cx: &Context,
        mut input: Receiver<Number>,
        mut out: Sender<Number>,
    ) -> Result<()> {
        let mut sum = 0;
        while let Some(number) = input.message().await? {
            sum += number.n;
            out.send(Number { n: sum }).await?;
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let service = Service::new("examples.counter")
        .init()?
        .handle(CounterServer::new(Counting))
        .start()
        .await?;
    let counter = CounterClient::new("examples.counter", service.client());

    let mut numbers = counter.count(Number { n: 3 }).await?;
    while let Some(number) = numbers.message().await? {
        println!("count: {}", number.n);
    }

    let mut upload = counter.add().await?;
    for n in [1, 2, 3] {
        upload.send(Number { n }).await?;
    }
    println!("add: {}", upload.finish().await?.n);

    let (mut out, mut totals) = counter.running_total().await?;
    for n in [10, 20] {
        out.send(Number { n }).await?;
        println!(
            "running total: {:?}",
            totals.message().await?.map(|total| total.n)
        );
    }
    out.finish().await?;
    println!("running total: {:?}", totals.message().await?);

    // The handler's error comes with the opening or with the first message, whichever it meets.
    let too_many = async { counter.count(Number { n: 1_001 }).await?.message().await };
    println!(
        "too many: {}",
        too_many.await.expect_err("the handler refuses it")
    );
    service.stop().await
}
