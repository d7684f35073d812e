//! The example events, and what each asks for.

use envsnap::ecs::ClusterRef;
use envsnap::report::{Trigger, TriggerKind};

fn example(name: &str) -> Trigger {
    let path = format!("{}/events/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let event = std::fs::read_to_string(&path).unwrap();
    Trigger::parse(&event).unwrap()
}

#[test]
fn every_example_event_is_parsed_into_its_trigger() {
    let manual = Trigger::new(TriggerKind::Manual);
    let cluster: ClusterRef = "arn:aws:ecs:eu-central-1:274425519734:cluster/app".parse().unwrap();
    let of_app = |kind| Trigger { clusters: vec![cluster.clone()], ..Trigger::new(kind) };
    let change = of_app(TriggerKind::TaskStateChange);
    let expected = [
        ("deployment-state-change", of_app(TriggerKind::DeploymentStateChange)),
        ("manual", Trigger { explain: true, ..manual.clone() }),
        ("manual-dry-run", Trigger { dry_run: true, ..manual.clone() }),
        ("manual-force", Trigger { force: true, ..manual }),
        ("scheduled", Trigger::new(TriggerKind::Schedule)),
        ("scheduler", Trigger::new(TriggerKind::Schedule)),
        ("service-action", of_app(TriggerKind::ServiceAction)),
        ("sqs-task-state-changes", change.clone()),
        ("task-state-change", change),
    ];
    for (name, trigger) in &expected {
        assert_eq!(example(name), *trigger, "{name}");
    }
    let folder = std::fs::read_dir(format!("{}/events", env!("CARGO_MANIFEST_DIR"))).unwrap();
    assert_eq!(folder.count(), expected.len(), "every example has its line here");
}
