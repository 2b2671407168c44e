//! Tells what is served, to tools that have no `.proto`: gRPC's reflection in both its versions.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use prost::Message;

use super::Health;
use super::descriptors::Descriptors;
use super::generated::grpc::reflection::v1::server_reflection_request::MessageRequest as Asked;
use super::generated::grpc::reflection::v1::server_reflection_response::MessageResponse as Answer;
use super::generated::grpc::reflection::{v1, v1alpha};
use crate::call::{Dispatch, Receiver, Sender};
use crate::context::Context;
use crate::error::{Error, Result, id};
use crate::method::ServiceDescriptor;

/// gRPC's NOT_FOUND.
const NOT_FOUND: i32 = 5;

/// Serves reflection, v1 and v1alpha, of `services` and of itself. Ends its streams when `health` is
/// closed, so that no stop waits for them.
pub(crate) fn reflection_services(
    services: &[Arc<dyn Dispatch>],
    health: &Health,
) -> [Arc<dyn Dispatch>; 2] {
    let mut descriptors: Vec<_> = services
        .iter()
        .map(|service| service.descriptor())
        .collect();
    descriptors.push(&v1::SERVER_REFLECTION_DESCRIPTOR);
    descriptors.push(&v1alpha::SERVER_REFLECTION_DESCRIPTOR);
    let reflection = Reflection(Arc::new(Known {
        services: descriptors,
        read: OnceLock::new(),
        health: health.clone(),
    }));
    [
        Arc::new(v1::ServerReflectionServer::new(reflection.clone())),
        Arc::new(v1alpha::ServerReflectionServer::new(reflection)),
    ]
}

#[derive(Clone)]
struct Reflection(Arc<Known>);

struct Known {
    services: Vec<&'static ServiceDescriptor>,
    /// Read when they are asked for first: few services ever are.
    read: OnceLock<Descriptors>,
    health: Health,
}

impl Known {
    fn descriptors(&self) -> &Descriptors {
        self.read
            .get_or_init(|| Descriptors::of(self.services.iter().copied()))
    }

    fn answer(
        &self,
        request: v1::ServerReflectionRequest,
        sent: &mut BTreeSet<usize>,
    ) -> Result<v1::ServerReflectionResponse> {
        let descriptors = self.descriptors();
        let mut files = |file: Option<usize>, what: &dyn Fn() -> String| match file {
            Some(file) => Answer::FileDescriptorResponse(v1::FileDescriptorResponse {
                file_descriptor_proto: descriptors.with_imports(file, sent),
            }),
            None => not_found(what()),
        };
        let answer = match &request.message_request {
            Some(Asked::FileByFilename(name)) => {
                files(descriptors.file(name), &|| format!("file {name}"))
            }
            Some(Asked::FileContainingSymbol(symbol)) => {
                files(descriptors.declaring(symbol), &|| {
                    format!("symbol {symbol}")
                })
            }
            Some(Asked::FileContainingExtension(extension)) => {
                let (of, number) = (&extension.containing_type, extension.extension_number);
                files(descriptors.extending(of, number), &|| {
                    format!("extension {number} of {of}")
                })
            }
            Some(Asked::AllExtensionNumbersOfType(of)) => match descriptors.numbers(of) {
                Some(numbers) => Answer::AllExtensionNumbersResponse(v1::ExtensionNumberResponse {
                    base_type_name: of.clone(),
                    extension_number: numbers,
                }),
                None => not_found(format!("type {of}")),
            },
            Some(Asked::ListServices(_)) => {
                let mut names: Vec<_> = self.services.iter().map(|one| one.full_name).collect();
                names.sort_unstable();
                let services = names.into_iter().map(|name| v1::ServiceResponse {
                    name: name.to_owned(),
                });
                Answer::ListServicesResponse(v1::ListServiceResponse {
                    service: services.collect(),
                })
            }
            None => {
                let words = "a question that this reflection does not know";
                return Err(Error::bad_request(id::SERVER, words));
            }
        };
        Ok(v1::ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer),
        })
    }

    /// The next question; `None` at their end, and when the server stops.
    async fn next<Q: crate::call::Payload + Default>(
        &self,
        input: &mut Receiver<Q>,
    ) -> Result<Option<Q>> {
        tokio::select! {
            biased;
            next = input.message() => next,
            () = self.health.closed() => Ok(None),
        }
    }
}

fn not_found(what: String) -> Answer {
    Answer::ErrorResponse(v1::ErrorResponse {
        error_code: NOT_FOUND,
        error_message: format!("there is no {what}"),
    })
}

impl v1::ServerReflection for Reflection {
    async fn server_reflection_info(
        &self,
        _cx: &Context,
        mut input: Receiver<v1::ServerReflectionRequest>,
        mut out: Sender<v1::ServerReflectionResponse>,
    ) -> Result<()> {
        let mut sent = BTreeSet::new();
        while let Some(request) = self.0.next(&mut input).await? {
            out.send(self.0.answer(request, &mut sent)?).await?;
        }
        Ok(())
    }
}

impl v1alpha::ServerReflection for Reflection {
    async fn server_reflection_info(
        &self,
        _cx: &Context,
        mut input: Receiver<v1alpha::ServerReflectionRequest>,
        mut out: Sender<v1alpha::ServerReflectionResponse>,
    ) -> Result<()> {
        let mut sent = BTreeSet::new();
        while let Some(request) = self.0.next(&mut input).await? {
            let answer = self.0.answer(same(&request)?, &mut sent)?;
            out.send(same(&answer)?).await?;
        }
        Ok(())
    }
}

/// The message in the other version, which differs in its package alone.
fn same<M: Message + Default>(message: &impl Message) -> Result<M> {
    M::decode(message.encode_to_vec().as_slice()).map_err(|error| {
        let words = "the versions of reflection differ";
        Error::internal(id::SERVER, words).with_source(error)
    })
}
