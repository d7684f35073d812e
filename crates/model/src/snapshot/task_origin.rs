//! Where a task comes from.

use serde::{Deserialize, Serialize};

/// Where a task comes from, as ECS describes it: its task definition, what started it, its launch type
/// and its availability zone. Neither the content hash nor a comparison of snapshots includes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOrigin {
    /// The ARN of the task definition, with its revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_definition: Option<String>,
    /// The deployment of a service (`ecs-svc/…`), or what was given to `RunTask`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_by: Option<String>,
    /// `FARGATE`, `EC2`, `EXTERNAL` and others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub launch_type: Option<String>,
    /// `eu-central-1a`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,
}

impl TaskOrigin {
    /// Whether all fields are unknown.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The task definition without the rest of its ARN: `runner:42`.
    pub fn family_and_revision(&self) -> Option<&str> {
        let arn = self.task_definition.as_deref()?;
        Some(arn.rsplit_once('/').map_or(arn, |(_, name)| name))
    }
}
