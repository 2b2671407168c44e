//! The suite's service: each request says how it is to be answered.

use std::time::Duration;

use micro_runtime::{Context, Error, Receiver, Result, Sender};
use prost_types::Any;

use crate::connectrpc::conformance::v1::conformance_payload::RequestInfo;
use crate::connectrpc::conformance::v1::unary_response_definition::Response;
use crate::connectrpc::conformance::v1::{
    BidiStreamRequest, BidiStreamResponse, ClientStreamRequest, ClientStreamResponse,
    ConformancePayload, ConformanceService, Header, IdempotentUnaryRequest,
    IdempotentUnaryResponse, ServerStreamRequest, ServerStreamResponse, StreamResponseDefinition,
    UnaryRequest, UnaryResponse, UnaryResponseDefinition, UnimplementedRequest,
    UnimplementedResponse,
};
use crate::convert::{self, Packed};

/// Answers as it is told.
pub(crate) struct Conformance;

impl ConformanceService for Conformance {
    async fn unary(&self, cx: &Context, request: UnaryRequest) -> Result<UnaryResponse> {
        let packed = request.pack();
        let payload = answer(cx, request.response_definition, vec![packed]).await?;
        Ok(UnaryResponse {
            payload: Some(payload),
        })
    }

    async fn server_stream(
        &self,
        cx: &Context,
        request: ServerStreamRequest,
        mut out: Sender<ServerStreamResponse>,
    ) -> Result<()> {
        let requests = vec![request.pack()];
        let Some(definition) = request.response_definition else {
            return Ok(());
        };
        set_parts(
            cx,
            &definition.response_headers,
            &definition.response_trailers,
        );
        let mut answers = Answers::new(definition);
        while let Some(payload) = answers.next(|| info(cx, &requests)).await {
            out.send(ServerStreamResponse {
                payload: Some(payload),
            })
            .await?;
        }
        answers.end(|| info(cx, &requests))
    }

    async fn client_stream(
        &self,
        cx: &Context,
        mut input: Receiver<ClientStreamRequest>,
    ) -> Result<ClientStreamResponse> {
        let mut definition = None;
        let mut requests = Vec::new();
        while let Some(request) = input.message().await? {
            let packed = request.pack();
            if requests.is_empty() {
                definition = request.response_definition;
            }
            requests.push(packed);
        }
        let payload = answer(cx, definition, requests).await?;
        Ok(ClientStreamResponse {
            payload: Some(payload),
        })
    }

    async fn bidi_stream(
        &self,
        cx: &Context,
        mut input: Receiver<BidiStreamRequest>,
        mut out: Sender<BidiStreamResponse>,
    ) -> Result<()> {
        let mut answers: Option<Answers> = None;
        let mut full_duplex = false;
        let mut first = true;
        let mut requests = Vec::new();
        while let Some(request) = input.message().await? {
            requests.push(request.pack());
            if first {
                first = false;
                full_duplex = request.full_duplex;
                answers = request.response_definition.map(|definition| {
                    set_parts(
                        cx,
                        &definition.response_headers,
                        &definition.response_trailers,
                    );
                    Answers::new(definition)
                });
            }
            if !full_duplex {
                continue;
            }
            let Some(answers) = &mut answers else {
                break;
            };
            let requests = std::mem::take(&mut requests);
            let begins = answers.sent == 0;
            let Some(mut payload) = answers.next(|| info(cx, &requests)).await else {
                // Nothing is left to send: how it ends does not wait for the rest of the input.
                return answers.end(|| info(cx, &requests));
            };
            if !begins {
                payload.request_info = Some(RequestInfo {
                    requests,
                    ..RequestInfo::default()
                });
            }
            out.send(BidiStreamResponse {
                payload: Some(payload),
            })
            .await?;
        }
        let Some(mut answers) = answers else {
            return Ok(());
        };
        while let Some(payload) = answers.next(|| info(cx, &requests)).await {
            out.send(BidiStreamResponse {
                payload: Some(payload),
            })
            .await?;
        }
        answers.end(|| info(cx, &requests))
    }

    async fn unimplemented(
        &self,
        _cx: &Context,
        _request: UnimplementedRequest,
    ) -> Result<UnimplementedResponse> {
        Err(Error::not_implemented(
            "micro.conformance",
            "this is not to be implemented",
        ))
    }

    async fn idempotent_unary(
        &self,
        cx: &Context,
        request: IdempotentUnaryRequest,
    ) -> Result<IdempotentUnaryResponse> {
        let packed = request.pack();
        let payload = answer(cx, request.response_definition, vec![packed]).await?;
        Ok(IdempotentUnaryResponse {
            payload: Some(payload),
        })
    }
}

/// The one answer that `definition` asks for to `requests`.
async fn answer(
    cx: &Context,
    definition: Option<UnaryResponseDefinition>,
    requests: Vec<Any>,
) -> Result<ConformancePayload> {
    let Some(definition) = definition else {
        return Ok(ConformancePayload {
            data: Vec::new(),
            request_info: Some(info(cx, &requests)),
        });
    };
    set_parts(
        cx,
        &definition.response_headers,
        &definition.response_trailers,
    );
    let info = info(cx, &requests);
    pause(definition.response_delay_ms).await;
    match definition.response {
        Some(Response::Error(mut error)) => {
            error.details.push(info.pack());
            Err(convert::to_error(&error))
        }
        Some(Response::ResponseData(data)) => Ok(ConformancePayload {
            data,
            request_info: Some(info),
        }),
        None => Ok(ConformancePayload {
            data: Vec::new(),
            request_info: Some(info),
        }),
    }
}

/// The answers of a stream, one after the other, and how it ends.
struct Answers {
    definition: StreamResponseDefinition,
    sent: usize,
}

impl Answers {
    fn new(definition: StreamResponseDefinition) -> Self {
        Self {
            definition,
            sent: 0,
        }
    }

    /// The next payload, after its pause; the first one says what was asked.
    async fn next(&mut self, info: impl FnOnce() -> RequestInfo) -> Option<ConformancePayload> {
        let data = self.definition.response_data.get(self.sent)?.clone();
        let request_info = (self.sent == 0).then(info);
        self.sent += 1;
        pause(self.definition.response_delay_ms).await;
        Some(ConformancePayload { data, request_info })
    }

    fn end(&mut self, info: impl FnOnce() -> RequestInfo) -> Result<()> {
        let Some(mut error) = self.definition.error.take() else {
            return Ok(());
        };
        if self.sent == 0 {
            error.details.push(info().pack());
        }
        Err(convert::to_error(&error))
    }
}

/// What was seen of a call.
fn info(cx: &Context, requests: &[Any]) -> RequestInfo {
    RequestInfo {
        request_headers: convert::headers(cx.metadata()),
        timeout_ms: cx
            .remaining()
            .map(|left| i64::try_from(left.as_millis()).unwrap_or(i64::MAX)),
        requests: requests.to_vec(),
        connect_get_info: None,
    }
}

fn set_parts(cx: &Context, headers: &[Header], trailers: &[Header]) {
    for (name, value) in convert::pairs(headers) {
        cx.reply_metadata().set(name, value);
    }
    for (name, value) in convert::pairs(trailers) {
        cx.reply_trailers().set(name, value);
    }
}

async fn pause(millis: u32) {
    if millis > 0 {
        tokio::time::sleep(Duration::from_millis(millis.into())).await;
    }
}
