//! What ECS says of where a task comes from.

use super::escape::replace_invisible;
use crate::snapshot::TaskOrigin;

/// The headings of [`cells`].
pub(super) const HEADINGS: [&str; 4] = ["TASK_DEFINITION", "STARTED_BY", "LAUNCH_TYPE", "ZONE"];

/// The task definition, who started it, the launch type and the zone; `N/A` for what is not known.
pub(super) fn cells(origin: Option<&TaskOrigin>) -> [String; 4] {
    let origin = origin.cloned().unwrap_or_default();
    [
        origin.family_and_revision(),
        origin.started_by.as_deref(),
        origin.launch_type.as_deref(),
        origin.availability_zone.as_deref(),
    ]
    .map(|text| replace_invisible(text.filter(|text| !text.is_empty()).unwrap_or("N/A")))
}

/// `task definition runner:42, started by ecs-svc/123, FARGATE in eu-central-1a`; `None` if nothing is
/// known.
pub(super) fn describe(origin: &TaskOrigin) -> Option<String> {
    let labelled = |label: &str, text: Option<&str>| {
        let text = text.filter(|text| !text.is_empty())?;
        Some(format!("{label}{}", replace_invisible(text)))
    };
    let launched = labelled("", origin.launch_type.as_deref());
    let zone = labelled("in ", origin.availability_zone.as_deref());
    let placement: Vec<_> = [launched, zone].into_iter().flatten().collect();
    let parts = [
        labelled("task definition ", origin.family_and_revision()),
        labelled("started by ", origin.started_by.as_deref()),
        Some(placement.join(" ")).filter(|text| !text.is_empty()),
    ];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn task_origin_is_printed_without_terminal_escapes_and_unknown_parts() {
        let text = |text: &str| Some(text.to_owned());
        let origin = TaskOrigin {
            task_definition: text("arn:aws:ecs:eu-central-1:1:task-definition/web:42"),
            started_by: text("\u{1b}[2Jme"),
            launch_type: text("FARGATE"),
            availability_zone: text("eu-central-1a"),
        };
        let described = describe(&origin).unwrap();
        assert!(!described.contains('\u{1b}'), "{described}");
        assert!(described.starts_with("task definition web:42, started by "), "{described}");
        assert!(described.ends_with("me, FARGATE in eu-central-1a"), "{described}");
        let in_zone = TaskOrigin { availability_zone: text("z"), ..TaskOrigin::default() };
        assert_eq!(describe(&in_zone).unwrap(), "in z");
        assert_eq!(describe(&TaskOrigin::default()), None);
        assert_eq!(cells(None), ["N/A"; 4]);
        assert_eq!(cells(Some(&origin))[0], "web:42");
    }
}
