//! Two snapshots compared.

use axum::extract::{Path, State};

use super::snapshots::no_snapshot;
use crate::recorder::answer::{Refusal, WrittenJson};
use crate::recorder::document;
use crate::recorder::request::Parameters;
use crate::recorder::store::{Found, Store, StoredSnapshot};
use envsnap_model::expression::Snappish;

/// `GET /env-diff/{org}?snappish1=&snappish2=`
pub(super) async fn compare(
    State(store): State<Store>,
    Path(org): Path<String>,
    mut parameters: Parameters,
) -> Result<WrittenJson, Refusal> {
    let [Some(one), Some(other)] =
        ["snappish1", "snappish2"].map(|name| snappish(&mut parameters, name))
    else {
        parameters.check()?;
        return Err(Refusal::bad_request("Two snapshots are compared: snappish1 and snappish2"));
    };
    let (of, wanted) = (org.clone(), [one.clone(), other.clone()]);
    let shown = move |[first, second]: [Found; 2]| {
        let (first, second) = (found(&of, &one, first)?, found(&of, &other, second)?);
        let compared =
            document::comparison((&one.environment, first), (&other.environment, second));
        WrittenJson::new(&compared)
    };
    store.snapshots_as(&org, wanted, shown).await?
}

fn snappish(parameters: &mut Parameters, name: &str) -> Option<Snappish> {
    if parameters.last(name).is_none() {
        parameters.add_problem(name, "is required");
    }
    parameters.parsed(name)
}

pub(in crate::recorder) fn found(
    org: &str,
    wanted: &Snappish,
    found: Found,
) -> Result<StoredSnapshot, Refusal> {
    match found {
        Found::Snapshot(snapshot) => Ok(snapshot),
        Found::NoEnvironment => Err(Refusal::no_environment(org, &wanted.environment)),
        Found::NoSnapshot { index, count } => Err(no_snapshot(org, wanted, index, count)),
    }
}
