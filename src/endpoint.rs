//! The address that an AWS client calls.

use std::error::Error;
use std::fmt;
use std::sync::{Arc, OnceLock};

use aws_sdk_ecs::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_ecs::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_ecs::error::{BoxError, ProvideErrorMetadata, SdkError};

use envsnap_model::error_chain;

/// The address of a client's requests, for errors. The SDK only knows it from the first request on:
/// this interceptor stores it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Endpoint(Arc<OnceLock<String>>);

impl Endpoint {
    /// The text of a call's error, with the address: the message of AWS, or why there was no response.
    pub(crate) fn describe_error<E>(&self, error: &SdkError<E>) -> String
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        match (error.code(), error.message()) {
            (Some(code), Some(message)) => format!("{self}: {code}: {message}"),
            (Some(code), None) => format!("{self}: {code}"),
            (None, _) if error.raw_response().is_some() => {
                format!("{self}: {}", error_chain(error))
            }
            // The HTTP client's error names the address.
            (None, _) => error_chain(error),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.get().map_or("AWS", String::as_str))
    }
}

impl Intercept for Endpoint {
    fn name(&self) -> &'static str {
        "Endpoint"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.0.get_or_init(|| context.request().uri().trim_end_matches('/').to_owned());
        Ok(())
    }
}
