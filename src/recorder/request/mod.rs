//! What requests say: bodies, JSON of at most 10 MB that is parsed straight into types, and
//! parameters.

mod body;
mod environment;
mod json;
mod memory;
mod problems;
mod query;
mod rename;
mod report;
mod text;

use axum::extract::{FromRequest, Request};

use super::answer::Refusal;
pub(super) use body::discard;
pub(super) use environment::{EnvironmentChange, LONGEST_NAME, LONGEST_ORG, TYPES};
pub(super) use json::FromJson;
pub(super) use memory::{BodyMemory, Reserved};
pub(super) use query::Parameters;
pub(super) use report::{Entry, Report};

/// A body that was read and parsed, and the memory that was reserved for it, to be kept for as long
/// as what was parsed.
pub(super) struct JsonBody<T>(pub(super) T, pub(super) Reserved);

impl<S: Send + Sync, T: FromJson> FromRequest<S> for JsonBody<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let memory = request.extensions().get::<BodyMemory>().cloned().unwrap_or_default();
        let (body, reserved) = body::read(request.into_body(), &memory).await?;
        // Ten megabytes take a tenth of a second, in which nothing else would be answered.
        let parsed = tokio::task::spawn_blocking(move || T::from_json(&body));
        Ok(Self(parsed.await.map_err(|_| Refusal::fault())??, reserved))
    }
}
