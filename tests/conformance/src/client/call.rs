//! One call of each kind, made as the suite wants it.

use std::time::Duration;

use micro_runtime::call::Payload;
use micro_runtime::client::{Bidi, ClientStream, ServerStream};
use micro_runtime::{Call, Error, Receiver, Reply, Result};
use prost_types::Any;
use tokio::time::{Instant, sleep, sleep_until};

use crate::Failure;
use crate::connectrpc::conformance::v1::client_compat_request::cancel::CancelTiming;
use crate::connectrpc::conformance::v1::{
    BidiStreamRequest, BidiStreamResponse, ClientCompatRequest, ClientResponseResult,
    ClientStreamRequest, ClientStreamResponse, ConformancePayload, ConformanceServiceClient,
    IdempotentUnaryRequest, IdempotentUnaryResponse, ServerStreamRequest, ServerStreamResponse,
    StreamType, UnaryRequest, UnaryResponse, UnimplementedRequest, UnimplementedResponse,
};
use crate::convert::{self, Packed};

/// Makes the call that `request` describes.
pub(super) async fn make(
    client: &ConformanceServiceClient,
    request: ClientCompatRequest,
) -> Result<ClientResponseResult, Failure> {
    let wanted = Wanted::of(&request);
    let messages = &request.request_messages;
    Ok(match request.method.as_deref() {
        Some("Unary") => {
            let call = client.unary(only::<UnaryRequest>(messages)?);
            wanted
                .unary(wanted.prepare(call).full().into_future())
                .await
        }
        Some("IdempotentUnary") => {
            let call = client.idempotent_unary(only::<IdempotentUnaryRequest>(messages)?);
            wanted
                .unary(wanted.prepare(call).full().into_future())
                .await
        }
        Some("Unimplemented") => {
            let call = client.unimplemented(UnimplementedRequest {});
            wanted
                .unary(wanted.prepare(call).full().into_future())
                .await
        }
        Some("ServerStream") => {
            let call = client.server_stream(only::<ServerStreamRequest>(messages)?);
            wanted.server_stream(wanted.prepare(call)).await
        }
        Some("ClientStream") => {
            let messages = unpack::<ClientStreamRequest>(messages)?;
            let call = wanted.prepare(client.client_stream());
            wanted.client_stream(call, messages).await
        }
        Some("BidiStream") => {
            let messages = unpack::<BidiStreamRequest>(messages)?;
            let call = wanted.prepare(client.bidi_stream());
            wanted.bidi_stream(call, messages).await
        }
        other => return Err(format!("there is no method {other:?}").into()),
    })
}

/// The one message of a call.
fn only<M: Packed>(packed: &[Any]) -> Result<M, Failure> {
    let [message] = &*unpack(packed)? else {
        return Err(format!("{} messages for a call that takes one", packed.len()).into());
    };
    Ok(M::clone(message))
}

fn unpack<M: Packed>(packed: &[Any]) -> Result<Vec<M>, Failure> {
    let unpack = |packed: &Any| match packed.type_url.rsplit_once('/') {
        Some((_, name)) if name == M::NAME => Ok(M::decode(&*packed.value)?),
        _ => Err(format!("{} is no {}", packed.type_url, M::NAME).into()),
    };
    packed.iter().map(unpack).collect()
}

/// What the suite wants of a call beside its messages.
struct Wanted {
    address: String,
    headers: Vec<(String, String)>,
    timeout: Option<Duration>,
    /// The pause before each message of a stream.
    delay: Duration,
    full_duplex: bool,
    cancel: Option<CancelTiming>,
}

impl Wanted {
    fn of(request: &ClientCompatRequest) -> Self {
        let cancel = request.cancel.as_ref().map(|cancel| {
            let at_once = CancelTiming::AfterCloseSendMs(0);
            cancel.cancel_timing.unwrap_or(at_once)
        });
        Self {
            address: format!("{}:{}", request.host, request.port),
            headers: convert::pairs(&request.request_headers).collect(),
            timeout: request
                .timeout_ms
                .map(|millis| Duration::from_millis(millis.into())),
            delay: Duration::from_millis(request.request_delay_ms.into()),
            full_duplex: request.stream_type() == StreamType::FullDuplexBidiStream,
            cancel,
        }
    }

    /// `call`, sent once to the suite's server.
    fn prepare<K>(&self, call: Call<K>) -> Call<K> {
        let mut call = call
            .address(self.address.clone())
            .retries(0)
            .timeout(self.timeout.unwrap_or(Duration::MAX))
            .attempt_timeout(Duration::MAX);
        if let Some(timeout) = self.timeout {
            call = call.stream_timeout(timeout);
        }
        for (name, value) in &self.headers {
            call = call.metadata(name.clone(), value.clone());
        }
        call
    }

    async fn unary<R: Answer>(
        &self,
        call: impl Future<Output = Result<Reply<R>>>,
    ) -> ClientResponseResult {
        let mut told = ClientResponseResult::default();
        match self.until_cancelled(call).await {
            None => told.error = Some(convert::canceled()),
            Some(Err(error)) => fail(&mut told, &error),
            Some(Ok(reply)) => succeed(&mut told, reply),
        }
        told
    }

    async fn server_stream<Q: Payload, R: Answer>(
        &self,
        call: Call<ServerStream<Q, R>>,
    ) -> ClientResponseResult {
        let mut told = ClientResponseResult::default();
        let ended = self.until_cancelled(async {
            match call.await {
                Err(error) => fail(&mut told, &error),
                Ok(mut receiver) => self.read(&mut receiver, &mut told).await,
            }
        });
        if ended.await.is_none() {
            told.error = Some(convert::canceled());
        }
        told
    }

    async fn client_stream<Q: Payload, R: Answer>(
        &self,
        call: Call<ClientStream<Q, R>>,
        messages: Vec<Q>,
    ) -> ClientResponseResult {
        let mut told = ClientResponseResult::default();
        let mut upload = match call.await {
            Ok(upload) => upload,
            Err(error) => {
                told.num_unsent_requests = count(messages.len());
                fail(&mut told, &error);
                return told;
            }
        };
        let all = messages.len();
        for (sent, message) in messages.into_iter().enumerate() {
            sleep(self.delay).await;
            // Why it cannot be sent is told by the answer.
            if upload.send(message).await.is_err() {
                told.num_unsent_requests = count(all - sent);
                break;
            }
        }
        if matches!(self.cancel, Some(CancelTiming::BeforeCloseSend(_))) {
            told.error = Some(convert::canceled());
            return told;
        }
        match self.until_cancelled(upload.finish_full()).await {
            None => told.error = Some(convert::canceled()),
            Some(Err(error)) => fail(&mut told, &error),
            Some(Ok(reply)) => succeed(&mut told, reply),
        }
        told
    }

    async fn bidi_stream<Q: Payload, R: Answer>(
        &self,
        call: Call<Bidi<Q, R>>,
        messages: Vec<Q>,
    ) -> ClientResponseResult {
        let mut told = ClientResponseResult::default();
        let (mut sender, mut receiver) = match call.await {
            Ok(halves) => halves,
            Err(error) => {
                told.num_unsent_requests = count(messages.len());
                fail(&mut told, &error);
                return told;
            }
        };
        let all = messages.len();
        for (sent, message) in messages.into_iter().enumerate() {
            sleep(self.delay).await;
            if sender.send(message).await.is_err() {
                told.num_unsent_requests = count(all - sent);
                break;
            }
            if !self.full_duplex {
                continue;
            }
            let next = receiver.next().await;
            if !self.take(next, &receiver, &mut told) {
                told.num_unsent_requests = count(all - sent - 1);
                return told;
            }
        }
        if matches!(self.cancel, Some(CancelTiming::BeforeCloseSend(_))) {
            told.error = Some(convert::canceled());
            return told;
        }
        let ended = self.until_cancelled(async {
            // A stream that is over says so to its reader.
            let _ = sender.finish().await;
            self.read(&mut receiver, &mut told).await;
        });
        if ended.await.is_none() {
            told.error = Some(convert::canceled());
        }
        told
    }

    /// Reads a stream to its end.
    async fn read<R: Answer>(&self, receiver: &mut Receiver<R>, told: &mut ClientResponseResult) {
        loop {
            let next = receiver.next().await;
            if !self.take(next, receiver, told) {
                return;
            }
        }
    }

    /// Notes what came of a stream; says whether more may come.
    fn take<R: Answer>(
        &self,
        next: Option<Result<R>>,
        receiver: &Receiver<R>,
        told: &mut ClientResponseResult,
    ) -> bool {
        told.response_headers = convert::headers(&receiver.metadata());
        match next {
            Some(Ok(message)) => {
                told.payloads.push(message.payload());
                let count = u32::try_from(told.payloads.len()).unwrap_or(u32::MAX);
                if matches!(self.cancel, Some(CancelTiming::AfterNumResponses(after)) if after == count)
                {
                    told.error = Some(convert::canceled());
                    return false;
                }
                true
            }
            Some(Err(error)) => {
                told.error = Some(convert::from_error(&error));
                told.response_trailers = convert::headers(&receiver.trailers());
                false
            }
            None => {
                told.response_trailers = convert::headers(&receiver.trailers());
                false
            }
        }
    }

    /// Waits for `call`, whose request is complete, unless the suite wants it given up before.
    async fn until_cancelled<T>(&self, call: impl Future<Output = T>) -> Option<T> {
        let Some(CancelTiming::AfterCloseSendMs(millis)) = self.cancel else {
            return Some(call.await);
        };
        let until = Instant::now() + Duration::from_millis(millis.into());
        tokio::select! {
            biased;
            ended = call => Some(ended),
            () = sleep_until(until) => None,
        }
    }
}

fn succeed<R: Answer>(told: &mut ClientResponseResult, reply: Reply<R>) {
    told.response_headers = convert::headers(&reply.metadata);
    told.response_trailers = convert::headers(&reply.trailers);
    told.payloads.push(reply.message.payload());
}

fn fail(told: &mut ClientResponseResult, error: &Error) {
    told.error = Some(convert::from_error(error));
    // Metadata of both kinds is one in an error.
    told.response_trailers = convert::headers(error.metadata());
}

fn count(messages: usize) -> i32 {
    i32::try_from(messages).unwrap_or(i32::MAX)
}

/// What a call of the suite's is answered with.
trait Answer: Payload + Default {
    /// The payload in it.
    fn payload(self) -> ConformancePayload;
}

macro_rules! answers {
    ($($message:ident)*) => {
        $(impl Answer for $message {
            fn payload(self) -> ConformancePayload {
                self.payload.unwrap_or_default()
            }
        })*
    };
}

answers!(BidiStreamResponse ClientStreamResponse IdempotentUnaryResponse ServerStreamResponse UnaryResponse);

impl Answer for UnimplementedResponse {
    fn payload(self) -> ConformancePayload {
        ConformancePayload::default()
    }
}
