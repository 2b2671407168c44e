//! cargo run -p example-pubsub
//!
//! Events: published by one service, handled by another, and what becomes of those that fail.

use micro_runtime::broker::Message;
use micro_runtime::event::{DEAD_ERROR, Subscriber};
use micro_runtime::{Context, Error, Result, Service};
use tokio::sync::mpsc;

micro_runtime::include_protos!();
use crate::examples::pubsub::Greeted;

#[tokio::main]
async fn main() -> Result<()> {
    let (done, mut is_done) = mpsc::channel(1);
    let failed = done.clone();

    // Of all services that name the queue, one gets each event. A handler that fails is run twice
    // more; then the event goes to another topic.
    let mails = Subscriber::new(Greeted::TOPIC)
        .queue("mails")
        .retries(2)
        .dead_letter("examples.pubsub.dead");
    let service = Service::new("examples.pubsub")
        .init()?
        .subscribe_with(mails, move |cx: Context, event: Greeted| {
            let done = done.clone();
            async move {
                if event.name.is_empty() {
                    return Err(Error::bad_request("mails", "whom?"));
                }
                let tenant = cx.metadata().get("tenant").unwrap_or("nobody");
                println!("a mail to {} for {tenant}", event.name);
                let _ = done.send(()).await;
                Ok(())
            }
        })
        // Without a queue each gets all. This one takes header and body as they are.
        .subscribe("examples.pubsub.dead", "", move |_cx, letter: Message| {
            let failed = failed.clone();
            async move {
                let error = letter.header.get(DEAD_ERROR).unwrap_or_default();
                println!("no mail: {error}");
                let _ = failed.send(()).await;
                Ok(())
            }
        })
        .start()
        .await?;

    // Whoever publishes need not serve, nor know who has subscribed.
    let publisher = Service::new("examples.pubsub.publisher").init()?;
    let client = publisher.client();
    for name in ["John", ""] {
        let event = Greeted { name: name.into() };
        client.publish(event).metadata("tenant", "blue").await?;
        is_done.recv().await;
    }
    service.stop().await
}
