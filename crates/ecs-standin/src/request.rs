//! Requests of the SDK.
//!
//! Fields that ECS knows and the stand-in does not are refused: a filter that is silently ignored
//! would make a test pass for the wrong reason.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::calls::LoggedFields;
use super::error::ApiError;
use super::operation::Operation;

/// A parsed request. Its limits are not checked yet.
#[derive(Debug, Clone)]
pub(super) enum Request {
    ListClusters(ListClusters),
    DescribeClusters(DescribeClusters),
    ListTasks(ListTasks),
    DescribeTasks(DescribeTasks),
    ListServices(ListServices),
    DescribeServices(DescribeServices),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListClusters {
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DescribeClusters {
    pub(super) clusters: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListTasks {
    pub(super) cluster: Option<String>,
    pub(super) service_name: Option<String>,
    pub(super) desired_status: Option<String>,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DescribeTasks {
    pub(super) cluster: Option<String>,
    #[serde(default)]
    pub(super) tasks: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ListServices {
    pub(super) cluster: Option<String>,
    pub(super) max_results: Option<i64>,
    pub(super) next_token: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct DescribeServices {
    pub(super) cluster: Option<String>,
    #[serde(default)]
    pub(super) services: Vec<String>,
}

impl Request {
    /// Parses the body of a call.
    ///
    /// # Errors
    /// `SerializationException` for what is not a JSON object, `InvalidParameterException` for an
    /// object that holds an unknown field or a wrong type.
    pub(super) fn parse(operation: Operation, body: &[u8]) -> Result<Self, ApiError> {
        Ok(match operation {
            Operation::ListClusters => Self::ListClusters(parse_object(body)?),
            Operation::DescribeClusters => Self::DescribeClusters(parse_object(body)?),
            Operation::ListTasks => Self::ListTasks(parse_object(body)?),
            Operation::DescribeTasks => Self::DescribeTasks(parse_object(body)?),
            Operation::ListServices => Self::ListServices(parse_object(body)?),
            Operation::DescribeServices => Self::DescribeServices(parse_object(body)?),
        })
    }

    pub(super) fn logged_fields(&self) -> LoggedFields {
        let token = match self {
            Self::ListClusters(request) => &request.next_token,
            Self::ListTasks(request) => &request.next_token,
            Self::ListServices(request) => &request.next_token,
            _ => &None,
        };
        let desired_status = match self {
            Self::ListTasks(request) => request.desired_status.clone(),
            _ => None,
        };
        LoggedFields {
            cluster: self.cluster().map(str::to_owned),
            desired_status,
            continued: token.is_some(),
        }
    }

    /// The cluster of the request, a name or an ARN as given.
    fn cluster(&self) -> Option<&str> {
        match self {
            Self::ListClusters(_) | Self::DescribeClusters(_) => None,
            Self::ListTasks(request) => request.cluster.as_deref(),
            Self::DescribeTasks(request) => request.cluster.as_deref(),
            Self::ListServices(request) => request.cluster.as_deref(),
            Self::DescribeServices(request) => request.cluster.as_deref(),
        }
    }
}

fn parse_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    // Parsed as a map first, because serde would accept an array of the fields.
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(|error| {
        ApiError::serialization_error(format!("The request is not a JSON object: {error}."))
    })?;
    serde_json::from_value(Value::Object(object)).map_err(|error| {
        ApiError::invalid_parameter(format!("The stand-in does not take this request: {error}."))
    })
}
