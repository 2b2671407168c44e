//! The client under test: makes the calls that the suite describes, and says how each has ended.

mod call;
mod connection;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::connectrpc::conformance::v1::client_compat_response::Result as Outcome;
use crate::connectrpc::conformance::v1::{
    ClientCompatRequest, ClientCompatResponse, ClientErrorResult, ConformanceServiceClient,
};
use crate::{Failure, wire};
use connection::Connection;

/// How many calls are made at once. Some wait for timeouts of theirs, so there is time for others.
const AT_ONCE: usize = 16;

/// Makes calls until the suite has no more of them.
pub(crate) async fn run() -> Result<(), Failure> {
    let (answers, mut answered) = mpsc::channel::<ClientCompatResponse>(AT_ONCE);
    let writer = tokio::spawn(async move {
        let mut output = tokio::io::stdout();
        while let Some(answer) = answered.recv().await {
            wire::write(&mut output, &answer).await?;
        }
        Ok::<_, Failure>(())
    });
    let mut input = tokio::io::stdin();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut connections: BTreeMap<Connection, ConformanceServiceClient> = BTreeMap::new();
    let mut calls = JoinSet::new();
    while let Some(request) = wire::read::<ClientCompatRequest>(&mut input).await? {
        let wanted = Connection::of(&request);
        let client = match connections.get(&wanted) {
            Some(client) => Ok(client.clone()),
            None => wanted.client(),
        };
        if let Ok(client) = &client {
            connections.insert(wanted, client.clone());
        }
        let place = room.clone().acquire_owned().await?;
        let answers = answers.clone();
        calls.spawn(async move {
            let test_name = request.test_name.clone();
            let result = match client {
                Ok(client) => call::make(&client, request).await,
                Err(failure) => Err(failure),
            };
            let result = match result {
                Ok(response) => Outcome::Response(response),
                Err(failure) => Outcome::Error(ClientErrorResult {
                    message: failure.to_string(),
                }),
            };
            let answer = ClientCompatResponse {
                test_name,
                result: Some(result),
            };
            // Fails only where the suite reads no more.
            let _ = answers.send(answer).await;
            drop(place);
        });
        while calls.try_join_next().is_some() {}
    }
    drop(answers);
    calls.join_all().await;
    writer.await?
}
