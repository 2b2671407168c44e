//! A crate outside the workspace, as a user makes it: with `micro-runtime`, `micro-build` and tokio
//! alone.
#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod common;

use std::path::Path;
use std::process::{Command, Output};

use common::{folder, write};

const MANIFEST: &str = r#"
[package]
name = "new-crate"
version = "0.0.0"
edition = "2024"

[dependencies]
micro-runtime = { path = "RUNTIME", default-features = false, features = ["json"] }
tokio = { version = "1", features = ["macros", "rt"] }

[build-dependencies]
micro-build = { path = "BUILD" }

[profile.dev]
debug = false

[workspace]
"#;

const BUILD: &str = r#"
#![deny(warnings)]
fn main() -> micro_build::Result<()> {
    micro_build::compile(&["proto/shop/orders.proto", "proto/shop/people.proto"])
}
"#;

const ORDERS: &str = r#"
syntax = "proto3";
package shop.orders;
import "shop/names.proto";
import "shop/order.proto";

// Orders of [people]:
//
//     not_a_test!();
service Orders {
  rpc Place(Order) returns (shop.people.Result);
  rpc Watch(Order) returns (stream Order);
}
message OrdersClient { shop.people.Option option = 1; }
"#;

const ORDER: &str = r#"
syntax = "proto3";
package shop.orders;
message Order { string name = 1; optional int32 count = 2; map<string, Order> parts = 3; }
"#;

const NAMES: &str = r#"
syntax = "proto3";
package shop.people;
import "shop/order.proto";
message Result { string ok = 1; }
message Option { shop.orders.Order some = 1; Box box = 2; }
message Box { Box box = 1; Vec vec = 2; String string = 3; }
message Vec { repeated Vec vec = 1; }
message String { string type = 1; }
"#;

const PEOPLE: &str = r#"
syntax = "proto3";
package shop.people;
import "shop/names.proto";
service People { rpc New(Option) returns (Box) { option deprecated = true; } }
"#;

const MAIN: &str = r#"
#![deny(warnings)]
micro_runtime::include_protos!();

use micro_runtime::{Context, Result, Sender};
use shop::orders::{Order, OrdersService, OrdersServiceClient};

struct Shop;

impl OrdersService for Shop {
    async fn place(&self, _cx: &Context, order: Order) -> Result<shop::people::Result> {
        Ok(shop::people::Result { ok: order.name })
    }

    async fn watch(&self, _cx: &Context, order: Order, mut out: Sender<Order>) -> Result<()> {
        out.send(order).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let orders = OrdersServiceClient::local(Shop);
    let tea = Order { name: "tea".into(), count: Some(0), ..Order::default() };
    let call = orders.place(tea.clone()).content_type("application/json");
    println!("placed {}", call.await?.ok);
    let mut watched = orders.watch(tea).await?;
    println!("watched {:?}", watched.message().await?.map(|order| order.count));
    Ok(())
}
"#;

fn cargo(folder: &Path, arguments: &[&str]) -> Output {
    // A folder that stays, so that only the first run builds the dependencies.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-crate");
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(arguments)
        .args(["--offline", "--color=never"])
        .current_dir(folder)
        .env("CARGO_TARGET_DIR", target)
        .env_remove("RUSTFLAGS")
        .output()
        .unwrap()
}

#[test]
fn a_new_crate_needs_the_runtime_the_builder_and_tokio_alone() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().unwrap();
    let manifest = MANIFEST
        .replace("RUNTIME", &root.join("micro-runtime").display().to_string())
        .replace("BUILD", &here.display().to_string());
    let folder = folder(&[
        ("Cargo.toml", &manifest),
        ("build.rs", BUILD),
        ("proto/shop/orders.proto", ORDERS),
        ("proto/shop/order.proto", ORDER),
        ("proto/shop/names.proto", NAMES),
        ("proto/shop/people.proto", PEOPLE),
        ("src/main.rs", MAIN),
    ]);
    // The versions that are downloaded already.
    std::fs::copy(root.join("Cargo.lock"), folder.path().join("Cargo.lock")).unwrap();

    let run = cargo(folder.path(), &["run"]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "placed tea\nwatched Some(Some(0))\n"
    );
    assert!(
        said.contains("`OrdersServiceClient`"),
        "the new names are told: {said}"
    );

    code_of_another_version_does_not_compile(folder.path());
    // Each run has a folder of another name; its files would pile up.
    cargo(folder.path(), &["clean", "--package=new-crate"]);
}

/// Only the new crate itself is built again.
fn code_of_another_version_does_not_compile(folder: &Path) {
    let gen_dir = folder.join("src/gen");
    let names = ["orders", "people"].map(|name| folder.join(format!("proto/shop/{name}.proto")));
    micro_build::Builder::new()
        .source_dir(&gen_dir)
        .compile(&names)
        .unwrap();
    let path = gen_dir.join("shop.people.rs");
    let text = std::fs::read_to_string(&path).unwrap();
    let version = "generated_for_micro_runtime_";
    assert!(text.contains(version));
    std::fs::write(&path, text.replace(version, &format!("{version}9_"))).unwrap();
    let include = r#"micro_runtime::include_protos!("src/gen/mod.rs");"#;
    write(
        folder,
        "src/main.rs",
        &MAIN.replace("micro_runtime::include_protos!();", include),
    );
    let check = cargo(folder, &["check"]);
    let said = String::from_utf8_lossy(&check.stderr);
    assert!(!check.status.success());
    assert!(said.contains("generated_for_micro_runtime_9_0_1"), "{said}");
}
