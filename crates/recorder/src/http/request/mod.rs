//! What requests say: bodies, JSON of at most 10 MB that is parsed straight into types, and
//! parameters.

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

/// A body that was read and parsed, and the memory that was reserved for it, to be kept for as long
/// as what was parsed.
pub(crate) struct JsonBody<T>(pub(crate) T, pub(crate) Reservation);

impl<S: Send + Sync, T: FromJson> FromRequest<S> for JsonBody<T> {
    type Rejection = Error;

    async fn from_request(request: Request, _: &S) -> Result<Self, Error> {
        let memory = request.extensions().get::<BodyMemory>().cloned().unwrap_or_default();
        let (body, reserved) = body::read(request.into_body(), &memory).await?;
        // Ten megabytes take a tenth of a second, in which nothing else would be answered.
        let is_large = body.len() > memory::SMALL_BODY_BYTES;
        let parsed = large_work::run(is_large, move || T::from_json(&body));
        Ok(Self(parsed.await.map_err(|_| Error::Fault)??, reserved))
    }
}
