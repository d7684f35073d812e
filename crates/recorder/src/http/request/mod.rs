//! Extractors: JSON bodies of at most 10 MB, multipart bodies and query parameters.

mod body;
mod environment;
mod json;
mod memory;
mod multipart;
mod problems;
mod provenance;
mod query;
mod rename;
mod report;
mod text;

use axum::extract::{FromRequest, Request};

use crate::domain::Error;
use crate::large_work;
pub(crate) use body::discard;
pub(crate) use environment::TYPES;
pub(crate) use json::FromJson;
pub(crate) use memory::{BodyMemory, Reservation};
pub(crate) use multipart::PartsBody;
pub(crate) use provenance::{
    AttestationRequest, Deployment, Override, check_flow_name, check_trail_name,
};
pub(crate) use query::Parameters;

/// A parsed body and the reservation of its memory, to be kept as long as the parsed value.
pub(crate) struct JsonBody<T>(pub(crate) T, pub(crate) Reservation);

impl<S: Send + Sync, T: FromJson> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let memory = request.extensions().get::<BodyMemory>().cloned().unwrap_or_default();
        let (body, reserved) = body::read(request.into_body(), &memory).await?;
        // Parsing ten megabytes would block the runtime for a tenth of a second.
        let is_large = body.len() > memory::SMALL_BODY_BYTES;
        let parsed = large_work::run(is_large, move || T::from_json(&body));
        Ok(Self(parsed.await.map_err(|_| Error::Fault)??, reserved))
    }
}
