//! cargo run -p example-flags -- --greeting Hi --explain-config
//!
//! Flags of one's own beside those that every service has. `--help` shows both, `--explain-config`
//! where each setting comes from: a flag, a variable, a file (`--config micro.toml`), code, nobody.

use micro_runtime::{Context, Result, Service};

micro_runtime::include_protos!();
use crate::go::micro::srv::greeter::{Request, Response, Say, SayClient, SayServer};

/// What this program can be told.
#[derive(clap::Args, Debug)]
struct Greeting {
    /// How to greet
    #[arg(long, short, env = "GREETING", default_value = "Hello")]
    greeting: String,
    /// Whom to greet
    #[arg(default_value = "John")]
    name: String,
}

struct Greeter {
    greeting: String,
}

impl Say for Greeter {
    async fn hello(&self, _cx: &Context, request: Request) -> Result<Response> {
        Ok(Response {
            msg: format!("{} {}", self.greeting, request.name),
        })
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    // What code says counts where nobody says anything else, before or after this line.
    let service = Service::new("examples.flags").version("1.2.0").retries(2);
    let (service, own) = service.init_with::<Greeting>()?;
    let name = service.name().to_owned();
    let greeter = Greeter {
        greeting: own.greeting,
    };
    let running = service.handle(SayServer::new(greeter)).start().await?;

    let say = SayClient::new(name, running.client());
    let reply = say.hello(Request { name: own.name }).await?;
    let entry = running.entry();
    println!("{} {}: {}", entry.name, entry.version, reply.msg);
    running.stop().await
}
