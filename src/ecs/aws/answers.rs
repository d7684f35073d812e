//! Where answers come from, and how much of one is read.

use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_sdk_ecs::config::interceptors::{
    BeforeDeserializationInterceptorContextMut, BeforeTransmitInterceptorContextRef,
};
use aws_sdk_ecs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecs::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::{LengthLimitError, Limited};

/// A description of a hundred tasks with ten containers each takes about a megabyte of it.
const LARGEST_ANSWER: usize = 16 << 20;

/// Notes which endpoint is asked, which only the SDK knows, and ends an answer that is larger than
/// any of ECS: the SDK would read on until the memory is full.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) endpoint: Endpoint,
}

/// Where requests go, as errors show it; known with the first one.
#[derive(Debug, Clone, Default)]
pub(super) struct Endpoint(Arc<OnceLock<String>>);

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get().map_or("ECS", String::as_str))
    }
}

impl Intercept for Answers {
    fn name(&self) -> &'static str {
        "Answers"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.endpoint.0.get_or_init(|| context.request().uri().trim_end_matches('/').to_owned());
        Ok(())
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().take_body();
        *context.response_mut().body_mut() =
            SdkBody::from_body_1_x(Limited::new(body, LARGEST_ANSWER));
        Ok(())
    }
}

/// The answer was ended.
pub(super) fn is_too_large(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source())
        .find_map(|error| error.downcast_ref::<LengthLimitError>())
        .is_some()
}
