//! What requests say: bodies, JSON of at most 10 MB that keeps to the API's schema, and parameters.

mod body;
mod environment;
mod field;
mod query;
mod rename;
mod report;

use axum::extract::{FromRequest, Request};
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::field::Problems;
use super::answer::Refusal;

pub(super) use body::discard;
pub(super) use environment::{EnvironmentChange, TYPES};
pub(super) use query::Parameters;

/// A body that breaks its schema nowhere, or a refusal that names every field that does.
pub(super) struct Checked<T>(pub(super) T);

/// What a body has to be.
pub(super) trait Schema: DeserializeOwned {
    /// Adds everything that is wrong with `body` to `problems`. Where it adds nothing, `body`
    /// can be deserialized.
    fn check(body: &Value, problems: &mut Problems);
}

impl<S: Send + Sync, T: Schema> FromRequest<S> for Checked<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, _: &S) -> Result<Self, Refusal> {
        let body = body::read(request.into_body()).await?;
        parse(&body).map(Self)
    }
}

/// Of a key that a JSON object holds twice, the last value stands.
fn parse<T: Schema>(body: &[u8]) -> Result<T, Refusal> {
    let not_json = |error| Refusal::bad_request(format!("The request body is not JSON: {error}"));
    let body: Value = serde_json::from_slice(body).map_err(not_json)?;
    let mut problems = Problems::default();
    T::check(&body, &mut problems);
    problems.into_result().map_err(Refusal::invalid)?;
    serde_json::from_value(body).map_err(|error| Refusal::bad_request(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::api::wire::EcsReport;

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "|ECS|[a-c]{64}|[a-z.~]{1,5}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 8, 3, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                proptest::collection::btree_map("[a-z]", inner, 0..3)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    /// A good body with anything in one of its fields, so that many are still good.
    fn almost(good: Value, at: &'static [&'static str]) -> impl Strategy<Value = Value> {
        (proptest::sample::select(at), any_json()).prop_map(move |(at, value)| {
            let mut body = good.clone();
            let (object, field) = at.rsplit_once('/').unwrap();
            body.pointer_mut(object).unwrap()[field] = value;
            body
        })
    }

    fn almost_a_report() -> impl Strategy<Value = Value> {
        let entry = json!({"taskArn": "a", "digests": {"web": ""}, "creationTimestamp": 1});
        almost(
            json!({"artifacts": [entry]}),
            &[
                "/type",
                "/artifacts",
                "/artifacts/0/taskArn",
                "/artifacts/0/digests",
                "/artifacts/0/digests/web",
                "/artifacts/0/creationTimestamp",
                "/artifacts/0/cluster_name",
                "/artifacts/0/service_name",
                "/artifacts/0/other",
            ],
        )
    }

    fn almost_an_environment() -> impl Strategy<Value = Value> {
        almost(
            json!({"name": "env", "type": "ECS", "description": ""}),
            &[
                "/name",
                "/type",
                "/description",
                "/include_scaling",
                "/included_environments",
                "/policies",
                "/require_provenance",
                "/other",
            ],
        )
    }

    fn check_and_reader_agree<T: Schema>(body: &Value) -> bool {
        let mut problems = Problems::default();
        T::check(body, &mut problems);
        problems.into_result().is_err() || serde_json::from_value::<T>(body.clone()).is_ok()
    }

    proptest! {
        #[test]
        fn what_passes_the_check_can_be_read(
            report in almost_a_report(),
            environment in almost_an_environment(),
        ) {
            prop_assert!(check_and_reader_agree::<EcsReport>(&report));
            prop_assert!(check_and_reader_agree::<EnvironmentChange>(&environment));
        }

        #[test]
        fn no_body_panics(body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = parse::<EcsReport>(&body);
        }
    }
}
