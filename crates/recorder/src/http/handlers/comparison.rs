//! Comparing two snapshots.

use axum::extract::{Path, State};
use envsnap_model::expression::Snappish;

use crate::domain::Error;
use crate::http::error::SerializedJson;
use crate::http::request::Parameters;
use crate::http::views;
use crate::store::Store;

/// `GET /env-diff/{org}?snappish1=&snappish2=`: the difference between two snapshots.
pub(crate) async fn compare<S: Store>(
    State(store): State<S>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<SerializedJson, Error> {
    let [Some(one), Some(other)] =
        ["snappish1", "snappish2"].map(|name| required_snappish(&mut parameters, name))
    else {
        parameters.check()?;
        return Err(Error::bad_request("Two snapshots are compared: snappish1 and snappish2"));
    };
    let wanted = [one.clone(), other.clone()];
    let shown = move |[first, second]: [_; 2]| {
        let compared = views::comparison((&one.environment, first), (&other.environment, second));
        SerializedJson::new(&compared)
    };
    store.snapshots(&org, wanted, shown).await?
}

/// The snapshot that a parameter names, such as `aws-prod#65`; if it names none, that is an error of the
/// parameters.
fn required_snappish(parameters: &mut Parameters, name: &str) -> Option<Snappish> {
    if parameters.last(name).is_none() {
        parameters.add_error(name, "is required");
    }
    parameters.parsed(name)
}
