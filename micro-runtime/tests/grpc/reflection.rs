//! Reflection: what a tool without a `.proto` learns, and where it learns nothing.

use std::time::Duration;

use micro_runtime::codegen::prost::Message;
use micro_runtime::codegen::prost_types::FileDescriptorProto;
use micro_runtime::registry::Memory;
use micro_runtime::{Receiver, Result, Sender, Service};

use crate::beside::grpc::reflection::v1::server_reflection_request::MessageRequest as Ask;
use crate::beside::grpc::reflection::v1::server_reflection_response::MessageResponse as Answer;
use crate::beside::grpc::reflection::v1::{
    ServerReflectionClient, ServerReflectionRequest, ServerReflectionResponse,
};
use crate::beside::grpc::reflection::v1alpha;
use crate::generated::greeter::GreeterServer;
use crate::greeter::Peer;

const NAME: &str = "test.reflection";

fn service(registry: &Memory) -> Service {
    Service::new(NAME)
        .registry(registry.clone())
        .linger(Duration::ZERO)
        .client_protocols(["grpc"])
        .handle(GreeterServer::new(Peer::default()))
}

/// An open stream of questions.
struct Questions {
    send: Sender<ServerReflectionRequest>,
    receive: Receiver<ServerReflectionResponse>,
}

impl Questions {
    async fn ask(&mut self, ask: Ask) -> Result<Answer> {
        let request = ServerReflectionRequest {
            host: "here".into(),
            message_request: Some(ask),
        };
        self.send.send(request.clone()).await?;
        let response = self.receive.message().await?.unwrap();
        assert_eq!(response.valid_host, "here");
        assert_eq!(response.original_request, Some(request));
        Ok(response.message_response.unwrap())
    }

    /// The names of the files that come.
    async fn files(&mut self, ask: Ask) -> Result<Vec<String>> {
        let Answer::FileDescriptorResponse(files) = self.ask(ask).await? else {
            panic!("no files");
        };
        let files = files.file_descriptor_proto.into_iter();
        Ok(files
            .map(|file| FileDescriptorProto::decode(file).unwrap().name().to_owned())
            .collect())
    }
}

#[tokio::test]
async fn files_and_services_are_told_one_question_after_another() -> Result<()> {
    let running = service(&Memory::new()).start().await?;
    let client = ServerReflectionClient::new(NAME, running.client());
    let (send, receive) = client.server_reflection_info().await?;
    let mut questions = Questions { send, receive };

    let Answer::ListServicesResponse(list) = questions.ask(Ask::ListServices("".into())).await?
    else {
        panic!("no list");
    };
    let names: Vec<_> = list.service.into_iter().map(|one| one.name).collect();
    assert_eq!(
        names,
        [
            "debug.Debug",
            "greeter.Greeter",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection"
        ]
    );
    for symbol in [
        "greeter.Greeter",
        "greeter.Greeter.Hello",
        "greeter.HelloRequest",
        "greeter.HelloRequest.name",
        ".greeter.HelloRequest",
    ] {
        let files = questions.files(Ask::FileContainingSymbol(symbol.into()));
        assert_eq!(files.await?, ["greeter.proto"], "{symbol}");
    }
    let health = "grpc/health/v1/health.proto";
    let value = Ask::FileContainingSymbol("grpc.health.v1.HealthCheckResponse.SERVING".into());
    assert_eq!(questions.files(value).await?, [health]);
    let name = Ask::FileByFilename(health.into());
    assert_eq!(questions.files(name).await?, [health]);

    for ask in [
        Ask::FileByFilename("nope.proto".into()),
        Ask::FileContainingSymbol("greeter.Nope".into()),
        Ask::AllExtensionNumbersOfType("greeter.Nope".into()),
    ] {
        let Answer::ErrorResponse(error) = questions.ask(ask).await? else {
            panic!("no error");
        };
        assert_eq!(error.error_code, 5);
    }
    let of = Ask::AllExtensionNumbersOfType("greeter.HelloRequest".into());
    let Answer::AllExtensionNumbersResponse(numbers) = questions.ask(of).await? else {
        panic!("no numbers");
    };
    assert_eq!(numbers.extension_number, [0; 0]);
    // A question that says nothing ends the stream.
    questions
        .send
        .send(ServerReflectionRequest::default())
        .await?;
    let error = questions.receive.message().await.unwrap_err();
    assert_eq!(error.grpc_code(), Some(3));
    running.stop().await
}

#[tokio::test]
async fn the_older_version_tells_the_same() -> Result<()> {
    let running = service(&Memory::new()).start().await?;
    let client = v1alpha::ServerReflectionClient::new(NAME, running.client());
    let (mut send, mut receive) = client.server_reflection_info().await?;
    let name = "greeter.Greeter".to_owned();
    send.send(v1alpha::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(name),
        ),
    })
    .await?;
    let response = receive.message().await?.unwrap().message_response.unwrap();
    let v1alpha::server_reflection_response::MessageResponse::FileDescriptorResponse(files) =
        response
    else {
        panic!("no files");
    };
    let file = FileDescriptorProto::decode(&*files.file_descriptor_proto[0]).unwrap();
    assert_eq!((file.name(), file.service.len()), ("greeter.proto", 1));
    // A stream of questions that stays open does not hold up a stop.
    let stopped = tokio::time::timeout(Duration::from_secs(5), running.stop());
    stopped.await.expect("the stop waits for the stream")?;
    drop(send);
    Ok(())
}

#[tokio::test]
async fn what_is_served_is_told_to_this_machine_alone_unless_it_is_said_otherwise() -> Result<()> {
    let told = async |service: Service| -> Result<bool> {
        let registry = Memory::new();
        let running = service.registry(registry.clone()).start().await?;
        let client = ServerReflectionClient::new(NAME, running.client());
        let told = match client.server_reflection_info().await {
            Ok((_send, mut receive)) => {
                drop(_send);
                receive.message().await.is_ok()
            }
            Err(error) => {
                assert_eq!(error.code(), 501);
                false
            }
        };
        running.stop().await?;
        Ok(told)
    };
    let here = || service(&Memory::new());
    let elsewhere = || here().address("0.0.0.0:0").advertise("127.0.0.1");
    assert!(told(here()).await?);
    assert!(!told(here().reflection(false)).await?);
    assert!(!told(elsewhere()).await?);
    assert!(told(elsewhere().reflection(true)).await?);
    let none: [(&str, &str); 0] = [];
    assert!(told(elsewhere().init_from(["x", "--reflection"], none)?).await?);
    let variable = [("MICRO_REFLECTION", "false")];
    assert!(!told(here().reflection(true).init_from(["x"], variable)?).await?);
    Ok(())
}
