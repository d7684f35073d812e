//! Reading a body.

use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use axum::http::StatusCode;
use futures_util::StreamExt as _;

use crate::recorder::answer::Refusal;

/// The longest body that is accepted, in bytes.
const LONGEST_BODY: usize = 10 * 1024 * 1024;
/// How much more is read of a body that is refused, in bytes.
const MOST_DISCARDED: usize = 4 * LONGEST_BODY;

/// How long a body may take to arrive: its client may be gone, or may only pretend to send.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) async fn read(body: Body) -> Result<Vec<u8>, Refusal> {
    tokio::time::timeout(PATIENCE, read_whole(body)).await.unwrap_or_else(|_| {
        Err(Refusal::new(StatusCode::REQUEST_TIMEOUT, "The request body took too long"))
    })
}

async fn read_whole(body: Body) -> Result<Vec<u8>, Refusal> {
    let mut whole = Vec::new();
    let mut chunks = body.into_data_stream();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|_| Refusal::bad_request("The request body ended early"))?;
        if whole.len() + chunk.len() > LONGEST_BODY {
            discard(chunks).await;
            let message = "The request body is larger than 10 MB";
            return Err(Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, message));
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole)
}

/// Reads the rest of a body that nobody wants: most clients send all of it before they look for an
/// answer, and would find a broken connection instead of the refusal.
pub(in crate::recorder) async fn discard(mut chunks: BodyDataStream) {
    let discard = async {
        let mut discarded = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            discarded += chunk.len();
            if discarded > MOST_DISCARDED {
                break;
            }
        }
    };
    // What is still to come then is not waited for.
    let _late = tokio::time::timeout(PATIENCE, discard).await;
}
