//! cargo run -p example-why
//!
//! Why calls went where they went: two nodes, processes of their own, are called and killed, and a
//! service is called that is nowhere.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry};
use micro_runtime::selector::Strategy;
use micro_runtime::{Context, Error, Result, Service, registry};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayClient, SayServer};

struct Greeter;

impl Say for Greeter {
    async fn hello(&self, _cx: &Context, request: Request) -> Result<Response> {
        if request.name == "Slow" {
            std::future::pending::<()>().await;
        }
        Ok(Response {
            msg: format!("Hello {}", request.name),
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    if std::env::args().nth(1).as_deref() == Some("node") {
        return node().await;
    }
    let (mut nodes, registry) = start().await?;
    let service = Service::new("examples.why")
        .registry(registry)
        .client_protocols(["braid"])
        .selector(Strategy::RoundRobin);
    let say = SayClient::new("greeter", service.client());
    let hello = |name: &str| say.hello(Request { name: name.into() });

    println!("# Asked, and all is well");
    println!("{}", hello("John").explain().await.why);

    // The one that is next.
    nodes.kill(1)?;
    println!("\n# A node was killed");
    let explained = hello("John").explain().await;
    println!("{}", explained.why);
    println!("{}", explained.result?.msg);

    println!("\n# The other one dies while it works");
    let slow = hello("Slow");
    let killed = async {
        // The call is with its handler by then.
        tokio::time::sleep(Duration::from_millis(300)).await;
        nodes.kill(0)?;
        Ok::<_, Error>(())
    };
    let (failed, killed) = tokio::join!(slow, killed);
    killed?;
    if let Err(error) = failed {
        println!("{error:?}");
    }

    println!("\n# Nobody is there");
    let nobody = SayClient::new("nobody", service.client());
    if let Err(error) = nobody.hello(Request::default()).await {
        println!("{error:?}");
    }

    println!("\n# As data");
    println!("{}", hello("John").retries(0).explain().await.why.to_json());
    Ok(())
}

/// A node: it tells where it listens, and serves until it is killed.
async fn node() -> Result<()> {
    let service = Service::new("greeter")
        .registry(Memory::new())
        .address("127.0.0.1:0")
        .handle(SayServer::new(Greeter));
    let running = service.start().await?;
    println!("{}", running.address());
    std::future::pending().await
}

/// Processes that end with this one, whatever becomes of it.
struct Nodes([Child; 2]);

impl Nodes {
    fn kill(&mut self, number: usize) -> Result<()> {
        self.0[number].kill()?;
        self.0[number].wait()?;
        Ok(())
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        for node in &mut self.0 {
            // It may be dead already.
            let _ = node.kill();
        }
    }
}

/// Two nodes, and a registry that knows them and is told of no death.
async fn start() -> Result<(Nodes, Memory)> {
    let mut service = registry::Service::new("greeter", "1.0.0");
    let mut start = |id: &str| -> Result<Child> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("node")
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        if let Some(told) = child.stdout.take() {
            BufReader::new(told).read_line(&mut address)?;
        }
        let mut node = Node::new(id, address.trim());
        node.metadata.insert("protocol".into(), "braid".into());
        service.nodes.push(node);
        Ok(child)
    };
    let nodes = Nodes([start("greeter-1")?, start("greeter-2")?]);
    let registry = Memory::new();
    registry
        .register(&service, RegisterOptions::default())
        .await?;
    Ok((nodes, registry))
}
