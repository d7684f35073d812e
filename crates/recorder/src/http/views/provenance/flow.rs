//! Flows.

use serde_json::Value;

use crate::domain::Micros;
use crate::domain::provenance::FlowRecord;
use envsnap_model::wire::Flow;

pub(crate) fn flow(org: &str, record: FlowRecord) -> Flow {
    Flow {
        name: record.name,
        description: record.description,
        visibility: record.visibility,
        org: org.to_owned(),
        template: Value::from(record.template.map(|template| template.content).unwrap_or_default()),
        repo_url: record.repo_url,
        tags: record.tags,
        latest_activity_at: Some(record.latest_activity_at.seconds()),
        latest_state: record.latest_state.map(|state| state.as_str().to_owned()),
        last_deployment_at: record.last_deployment_at.map(Micros::seconds),
    }
}
