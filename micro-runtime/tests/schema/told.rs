//! What a node tells of its schemas, and to whom.

use micro_runtime::Service;
use micro_runtime::call::Frame;
use micro_runtime::schema::{Schema, announced};
use prost::Message as _;

use crate::support::World;
use crate::versions::{Caller, V1, Version, descriptor, node, nodes, v2, v3};

#[derive(Clone, PartialEq, prost::Message)]
struct SchemaRequest {
    #[prost(string, repeated, tag = "1")]
    services: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct SchemaResponse {
    #[prost(bytes = "vec", tag = "1")]
    file_descriptor_set: Vec<u8>,
}

async fn ask(service: &Service, services: &[&str]) -> micro_runtime::Result<Vec<u8>> {
    let services = services.iter().map(|&name| name.to_owned()).collect();
    let request = Frame(SchemaRequest { services }.encode_to_vec().into());
    let reply = service
        .client()
        .request("greeter", "Debug.Schema", request)
        .await?;
    Ok(SchemaResponse::decode(reply.0).unwrap().file_descriptor_set)
}

#[tokio::test]
async fn a_node_tells_the_hash_and_over_every_protocol_the_descriptors() {
    let world = World::default();
    let node = &nodes(&world, &[V1]).await[0];
    let own = descriptor(V1).file_descriptor_set;
    let hash = Schema::read(own).unwrap().hash("p.S");
    let metadata = &node.entry().nodes[0].metadata["schema"];
    assert_eq!(announced(metadata, "p.S"), hash);
    let protocols: &[&str] = match cfg!(feature = "grpc") {
        true => &["braid", "mucp", "grpc", "connect", "grpc-web"],
        false => &["braid", "mucp"],
    };
    for protocol in protocols {
        let caller = world.service("caller", protocol);
        for names in [&["p.S"][..], &[]] {
            let told = ask(&caller, names).await.unwrap();
            assert_eq!(Schema::read(&told).unwrap().hash("p.S"), hash, "{protocol}");
        }
        // And so are calls checked.
        let caller = Caller::of(world.service("caller", protocol));
        assert_eq!(caller.reaches(3).await["one"], 3, "{protocol}");
    }
}

#[tokio::test]
async fn nodes_are_judged_over_every_protocol() {
    let world = World::default();
    let _nodes = nodes(&world, &[&v2(), &v3()]).await;
    let protocols: &[&str] = match cfg!(feature = "grpc") {
        true => &["braid", "mucp", "grpc", "connect", "grpc-web"],
        false => &["braid", "mucp"],
    };
    for protocol in protocols {
        let caller = Caller::of(world.service("caller", protocol));
        assert_eq!(caller.reaches(20).await["one"], 20, "{protocol}");
    }
}

#[tokio::test]
async fn what_is_not_told_can_not_be_asked_for() {
    let world = World::default();
    let _node = nodes(&world, &[V1]).await;
    let caller = world.service("caller", "braid");
    let error = ask(&caller, &["p.S", "p.Other"]).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (404, "no schema is told of \"p.Other\"")
    );
    assert_eq!(ask(&caller, &["p.S"; 257]).await.unwrap_err().code(), 400);
}

#[tokio::test]
async fn both_are_off_together() {
    let off: [fn(Service) -> Service; 4] = [
        |service| service.schema(false),
        |service| {
            service
                .init_from(["x", "--schema=off"], [("A", "b")])
                .unwrap()
        },
        |service| {
            service
                .init_from(["x"], [("MICRO_SCHEMA", "false")])
                .unwrap()
        },
        |service| service.without_debug(),
    ];
    for off in off {
        let world = World::default();
        let node = node(&world, &Version::new("one", &v3()), off).await;
        assert!(!node.entry().nodes[0].metadata.contains_key("schema"));
        let error = ask(&world.service("caller", "grpc"), &[])
            .await
            .unwrap_err();
        assert_eq!(error.code(), 501, "{error}");
        // Nothing is known against it then.
        assert_eq!(Caller::new(&world).reaches(1).await["one"], 1);
    }
}

#[tokio::test]
async fn what_a_person_says_cannot_lie_about_it() {
    let world = World::default();
    let version = Version::new("one", V1);
    let node = node(&world, &version, |service| {
        service.metadata("schema", "p.S:0123456789abcdef")
    });
    let metadata = node.await.entry().nodes[0].metadata["schema"].clone();
    let hash = Schema::read(version.descriptor.file_descriptor_set)
        .unwrap()
        .hash("p.S");
    assert_eq!(announced(&metadata, "p.S"), hash);
}

/// Two processes would do the same.
#[cfg(all(unix, feature = "local"))]
#[tokio::test]
async fn hashes_go_through_a_registry_of_files() {
    use micro_runtime::registry::Local;
    use micro_runtime::tasks::Tasks;
    let home = tempfile::tempdir().unwrap();
    let registry = || Local::at(home.path().join("micro"), &Tasks::new()).unwrap();
    let service = |name: &str| {
        Service::new(name)
            .registry(registry())
            .address("127.0.0.1:0")
    };
    let mut running = Vec::new();
    for version in [Version::new("one", &v2()), Version::new("two", &v3())] {
        let service = service("greeter").id(version.name).handle(version);
        running.push(service.start().await.unwrap());
    }
    let caller = Caller::of(service("caller"));
    assert_eq!(caller.reaches(50).await["one"], 50);
}
