//! tmp
#![allow(missing_docs, clippy::all)]
use micro_runtime::broker::*;
use micro_runtime::registry::*;
use micro_runtime::tasks::Tasks;
use std::sync::Arc;
#[tokio::main]
async fn main() -> micro_runtime::Result<()> {
    let args: Vec<String> = std::env::args().collect();
    let tasks = Tasks::new();
    let registry: Arc<dyn Registry> = Arc::new(Consul::new([args[1].clone()], &tasks)?);
    let broker = Http::new(registry, &tasks);
    if args[2] == "sub" {
        let mut s = broker
            .subscribe(
                &args[3],
                SubscribeOptions::queue(args.get(4).cloned().unwrap_or_default()),
            )
            .await?;
        println!("SUB {:?}", broker.address());
        let n: usize = args.get(5).map_or(1, |n| n.parse().unwrap());
        for _ in 0..n {
            let d = s.next().await.unwrap();
            println!(
                "GOT {} {:?} {:?}",
                d.topic, d.message.header, d.message.body
            );
            d.ack();
        }
        broker.disconnect().await?;
    } else {
        for i in 0..args.get(4).map_or(1, |n| n.parse().unwrap()) {
            let began = tokio::time::Instant::now();
            let m = Message::new(format!("{{\"name\":\"rust {i}\"}}"))
                .with("Content-Type", "application/json")
                .with("Foo", "bar")
                .with("Micro-ID", tasks.uuid());
            println!(
                "PUB {:?} {:?}",
                broker.publish(&args[3], m).await,
                began.elapsed()
            );
        }
    }
    Ok(())
}
