//! cargo run -p example-schema
//!
//! Three versions of one service run side by side, as in a rollout. A caller that was built with the
//! first one calls those nodes that understand it, and says what keeps it from the third.

use std::collections::BTreeSet;

use micro_runtime::method::ServiceDescriptor;
use micro_runtime::schema::{Schema, compare};
use micro_runtime::selector::Strategy;
use micro_runtime::service::Running;
use micro_runtime::{Result, Service};

/// The service as it was built at three times.
macro_rules! version {
    ($version:ident, $name:literal) => {
        mod $version {
            include!(concat!(env!("OUT_DIR"), "/", $name, "/mod.rs"));
            pub(crate) use orders::*;

            use micro_runtime::{Context, Result};

            /// Says which version it is.
            pub(crate) struct Node;

            impl Orders for Node {
                async fn place(&self, _cx: &Context, _: Order) -> Result<Receipt> {
                    let node = $name.to_owned();
                    Ok(Receipt { node })
                }

                async fn track(&self, _cx: &Context, _: Receipt) -> Result<Status> {
                    let node = $name.to_owned();
                    Ok(Status { node })
                }
            }
        }
    };
}

version!(v1, "v1");
version!(v2, "v2");
version!(v3, "v3");

use v1::{Order, OrdersClient, Receipt};

const NAME: &str = "examples.orders";

async fn start(service: Service) -> Result<Running> {
    service.start().await
}

fn node(version: &str) -> Result<Service> {
    Service::new(NAME).id(version).version(version).init()
}

/// What a caller built with version 1 has to know of another one.
fn tell(name: &str, theirs: &ServiceDescriptor) -> Result<()> {
    let ours = Schema::read(v1::ORDERS_DESCRIPTOR.file_descriptor_set)?;
    let theirs = Schema::read(theirs.file_descriptor_set)?;
    for difference in compare(&ours, &theirs, "orders.Orders") {
        let (direction, severity) = (difference.direction, difference.severity);
        println!("{name}: {difference} ({direction}: {severity})");
    }
    Ok(())
}

/// Who answers 30 calls of each method.
async fn ask(orders: &OrdersClient) -> Result<()> {
    let (mut place, mut track) = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..30 {
        place.insert(orders.place(Order::default()).await?.node);
        track.insert(orders.track(Receipt::default()).await?.node);
    }
    println!("Place reaches {place:?}, Track reaches {track:?}");
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    tell("v2", &v2::ORDERS_DESCRIPTOR)?;
    tell("v3", &v3::ORDERS_DESCRIPTOR)?;

    let first = start(node("v1")?.handle(v1::OrdersServer::new(v1::Node))).await?;
    let second = start(node("v2")?.handle(v2::OrdersServer::new(v2::Node))).await?;
    let third = start(node("v3")?.handle(v3::OrdersServer::new(v3::Node))).await?;

    let caller = Service::new("examples.caller").selector(Strategy::RoundRobin);
    let caller = caller.init()?;
    let orders = OrdersClient::new(NAME, caller.client());

    // Nodes of other versions get calls when it is known what they look like.
    let mut known = BTreeSet::new();
    while known.len() < 3 {
        known.insert(orders.track(Receipt::default()).await?.node);
    }
    ask(&orders).await?;

    first.stop().await?;
    second.stop().await?;
    match orders.place(Order::default()).await {
        Ok(receipt) => println!("placed by {}", receipt.node),
        Err(error) => println!("{}", error.detail()),
    }
    println!(
        "tracked by {}",
        orders.track(Receipt::default()).await?.node
    );
    third.stop().await
}
