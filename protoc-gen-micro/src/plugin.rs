//! protoc's side: a `CodeGeneratorRequest` in, a `CodeGeneratorResponse` out.

use prost::Message as _;

use crate::descriptor::RawSet;
use crate::error::{Error, Result};
use crate::generate::{Output, Request, generate};
use crate::options::Options;

/// `google.protobuf.compiler.CodeGeneratorRequest`, its files unread: prost's types lose custom
/// options.
#[derive(Clone, PartialEq, prost::Message)]
struct GeneratorRequest {
    #[prost(string, repeated, tag = "1")]
    file_to_generate: Vec<String>,
    #[prost(string, tag = "2")]
    parameter: String,
    #[prost(bytes = "vec", repeated, tag = "15")]
    proto_file: Vec<Vec<u8>>,
}

/// `google.protobuf.compiler.CodeGeneratorResponse`; a file's content may be a descriptor set.
#[derive(Clone, PartialEq, prost::Message)]
struct GeneratorResponse {
    #[prost(string, optional, tag = "1")]
    error: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    supported_features: Option<u64>,
    #[prost(message, repeated, tag = "15")]
    file: Vec<ResponseFile>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResponseFile {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "15")]
    content: Option<Vec<u8>>,
}

/// Proto3's `optional`. Editions are not among what we support, and protoc then refuses them.
const FEATURE_PROTO3_OPTIONAL: u64 = 1;

/// Answers protoc: the encoded response, and the warnings to show.
///
/// What is wrong with the user's files or options is part of the answer, as protoc wants it.
///
/// # Errors
/// Where `request` is no request of protoc's.
pub fn respond(request: &[u8]) -> Result<(Vec<u8>, Vec<String>)> {
    let request = GeneratorRequest::decode(request)
        .map_err(|error| Error::new(format!("this is not a request of protoc: {error}")))?;
    let mut response = GeneratorResponse {
        supported_features: Some(FEATURE_PROTO3_OPTIONAL),
        ..GeneratorResponse::default()
    };
    let mut warnings = Vec::new();
    match run(request) {
        Err(error) => response.error = Some(error.to_string()),
        Ok(output) => {
            warnings = output.warnings;
            response.file = output
                .files
                .into_iter()
                .map(|file| ResponseFile {
                    name: Some(file.name),
                    content: Some(file.content),
                })
                .collect();
        }
    }
    Ok((response.encode_to_vec(), warnings))
}

fn run(request: GeneratorRequest) -> Result<Output> {
    let options = Options::parse(&request.parameter)?;
    let set = RawSet {
        file: request.proto_file,
    };
    generate(Request {
        descriptor_set: &set.encode_to_vec(),
        files: &request.file_to_generate,
        imports: false,
        options,
    })
}
