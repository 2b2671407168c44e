//! The handlers.

use bench_common::Burden;
use micro_runtime::{Context, Receiver, Result, Sender};
use tokio::sync::mpsc;

use crate::bench::{Echo, Msg, StreamReq};

/// Sends back what it gets.
pub(crate) struct Echoes;

impl Echo for Echoes {
    async fn unary(&self, _cx: &Context, request: Msg) -> Result<Msg> {
        Burden::of(&request.payload).bear().await;
        Ok(request)
    }

    async fn server_stream(
        &self,
        _cx: &Context,
        request: StreamReq,
        mut out: Sender<Msg>,
    ) -> Result<()> {
        let payload = vec![7; request.size as usize];
        let messages = (0..request.count).map(move |_| Msg {
            payload: payload.clone(),
        });
        if !request.fed {
            for message in messages {
                out.send(message).await?;
            }
            return Ok(());
        }
        let (feed, mut fed) = mpsc::channel(64);
        tokio::spawn(async move {
            for message in messages {
                if feed.send(message).await.is_err() {
                    return;
                }
            }
        });
        while let Some(message) = fed.recv().await {
            out.send(message).await?;
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
