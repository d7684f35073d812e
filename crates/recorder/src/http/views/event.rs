//! View of an event.

use std::cmp::Ordering;

use serde_json::{Value, json};

use super::snapshot::{annotation, html_url};
use crate::domain::Event;
use envsnap_model::wire::EnvironmentEvent;

/// The document of one change in a snapshot.
pub(crate) fn event(org: &str, environment: &str, event: Event) -> EnvironmentEvent {
    let first_time = event.first_time_here();
    let Event { index, recorded_at, artifact } = event;
    let (was, now) = (artifact.was, artifact.now);
    let provenance = artifact.provenance.as_deref();
    let deployments = |flow: &str| -> Vec<u32> {
        let all = provenance.into_iter().flat_map(|it| &it.deployments);
        all.filter(|(of, _)| of == flow).map(|(_, number)| *number).collect()
    };
    let flows: Vec<_> = provenance.into_iter().flat_map(|it| &it.flows).collect();
    let pipeline = flows.first().map(|flow| flow.flow.clone()).unwrap_or_default();
    let flows = flows
        .iter()
        .map(|flow| json!({"flow_name": flow.flow, "deployments": deployments(&flow.flow)}));
    EnvironmentEvent {
        environment_name: environment.to_owned(),
        snapshot_index: u64::from(index),
        artifact_name: artifact.name,
        sha256: artifact.fingerprint.map(|known| known.to_string()).unwrap_or_default(),
        description: change_description(was, now),
        reported_at: recorded_at.seconds(),
        deployments: deployments(&pipeline).into_iter().map(Value::from).collect(),
        flows: flows.collect(),
        pipeline,
        artifact_compliance: None,
        snapshot_compliance: None,
        change: annotation(was, now).change,
        code_diff: None,
        first_time_here: first_time.map(|it| it.as_str().to_owned()),
        // Relative, as in a snapshot. There is no page of the artifact to link to.
        links: json!({"snapshot": {
            "self": format!("/api/v2/snapshots/{org}/{environment}/{index}"),
            "html": html_url(org, environment, index),
        }}),
    }
}

fn change_description(was: u64, now: u64) -> String {
    let instances = |count| match count {
        1 => "1 instance".to_owned(),
        _ => format!("{count} instances"),
    };
    match now.cmp(&was) {
        Ordering::Greater => {
            format!("{} started running (from {was} to {now})", instances(now - was))
        }
        Ordering::Less => format!("{} stopped running (from {was} to {now})", instances(was - now)),
        Ordering::Equal => format!("{} changed", instances(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_of_replicas_is_described_in_the_words_of_the_hosted_server() {
        let cases = [
            (0, 1, "1 instance started running (from 0 to 1)"),
            (0, 3, "3 instances started running (from 0 to 3)"),
            (3, 0, "3 instances stopped running (from 3 to 0)"),
            (1, 0, "1 instance stopped running (from 1 to 0)"),
            (1, 3, "2 instances started running (from 1 to 3)"),
            (3, 2, "1 instance stopped running (from 3 to 2)"),
            (1, 1, "1 instance changed"),
            (3, 3, "3 instances changed"),
        ];
        for (was, now, expected) in cases {
            assert_eq!(change_description(was, now), expected);
        }
    }
}
