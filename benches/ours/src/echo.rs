//! The handlers.

use micro_runtime::{Context, Receiver, Result, Sender};

use crate::bench::{Echo, Msg, StreamReq};

/// Sends back what it gets.
pub(crate) struct Echoes;

impl Echo for Echoes {
    async fn unary(&self, _cx: &Context, request: Msg) -> Result<Msg> {
        Ok(request)
    }

    async fn server_stream(
        &self,
        _cx: &Context,
        request: StreamReq,
        mut out: Sender<Msg>,
    ) -> Result<()> {
        let payload = vec![7; request.size as usize];
        for _ in 0..request.count {
            out.send(Msg {
                payload: payload.clone(),
            })
            .await?;
        }
        Ok(())
    }

    async fn bidi(
        &self,
        _cx: &Context,
        mut input: Receiver<Msg>,
        mut out: Sender<Msg>,
    ) -> Result<()> {
        while let Some(message) = input.message().await? {
            out.send(message).await?;
        }
        Ok(())
    }
}
