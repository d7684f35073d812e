//! Addresses of services and task definitions in the AWS console.
//!
//! Made from what a reporter sent. A value that AWS could not have made gives no address, so that
//! nothing in one needs to be escaped.

use super::{Origin, Task};

/// The longest name, in bytes, of a family of task definitions, a cluster or a service.
const MAX_NAME_BYTES: usize = 255;

/// The page of the task's service in the AWS console; `None` for a standalone task, or if AWS could not have
/// made the ARN or the names.
pub fn service_url(task: &Task) -> Option<String> {
    let (region, host, _) = parse_arn(&task.arn, "task/")?;
    let (cluster, service) = (task.cluster.as_deref()?, task.service.as_deref()?);
    if !is_ecs_name(cluster) || !is_ecs_name(service) {
        return None;
    }
    Some(format!(
        "https://{region}.{host}/ecs/v2/clusters/{cluster}/services/{service}/health?region={region}"
    ))
}

/// The page of the task definition's revision in the AWS console; `None` if AWS could not have made its ARN.
pub fn task_definition_url(origin: &Origin) -> Option<String> {
    let (region, host, name) = parse_arn(origin.task_definition.as_deref()?, "task-definition/")?;
    let (family, revision) = name.split_once(':')?;
    let is_number =
        (1..=10).contains(&revision.len()) && revision.bytes().all(|digit| digit.is_ascii_digit());
    (is_ecs_name(family) && is_number).then(|| {
        format!(
            "https://{region}.{host}/ecs/v2/task-definitions/{family}/{revision}/containers?region={region}"
        )
    })
}

/// The region, the host of the console, and what follows `kind`, such as `task/`, in an ARN of ECS.
fn parse_arn<'a>(arn: &'a str, kind: &str) -> Option<(&'a str, &'static str, &'a str)> {
    let mut parts = arn.splitn(6, ':');
    let mut next = || parts.next();
    let ("arn", partition, "ecs", region, _account, resource) =
        (next()?, next()?, next()?, next()?, next()?, next()?)
    else {
        return None;
    };
    let host = match partition {
        "aws" => "console.aws.amazon.com",
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => return None,
    };
    let is_region = (1..=32).contains(&region.len())
        && region.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-');
    let name = resource.strip_prefix(kind)?;
    is_region.then_some((region, host, name))
}

/// Whether this can be the name of a cluster, a service or a family of task definitions.
fn is_ecs_name(name: &str) -> bool {
    (1..=MAX_NAME_BYTES).contains(&name.len())
        && name.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-' || it == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition_url(arn: &str) -> Option<String> {
        let task_definition = Some(arn.to_owned());
        task_definition_url(&Origin { task_definition, ..Origin::default() })
    }

    #[test]
    fn console_url_has_the_region_of_the_arn_and_the_host_of_its_partition() {
        for (partition, region, host) in [
            ("aws", "eu-central-1", "eu-central-1.console.aws.amazon.com"),
            ("aws-cn", "cn-north-1", "cn-north-1.console.amazonaws.cn"),
            ("aws-us-gov", "us-gov-west-1", "us-gov-west-1.console.amazonaws-us-gov.com"),
        ] {
            let task = Task {
                arn: format!("arn:{partition}:ecs:{region}:274425519734:task/app/0123"),
                cluster: Some("app".to_owned()),
                service: Some("web_1".to_owned()),
                ..Task::unknown()
            };
            assert_eq!(
                service_url(&task).unwrap(),
                format!("https://{host}/ecs/v2/clusters/app/services/web_1/health?region={region}")
            );
            let arn = format!("arn:{partition}:ecs:{region}:274425519734:task-definition/web:42");
            assert_eq!(
                definition_url(&arn).unwrap(),
                format!("https://{host}/ecs/v2/task-definitions/web/42/containers?region={region}")
            );
            assert_eq!(service_url(&Task { service: None, ..task }), None, "a standalone task");
        }
    }

    #[test]
    fn task_definition_arn_that_aws_could_not_have_made_has_no_console_url() {
        let of = |region: &str, name: &str| {
            definition_url(&format!("arn:aws:ecs:{region}:274425519734:task-definition/{name}"))
        };
        assert!(of("eu-central-1", "web:1").is_some());
        for (region, name) in [
            ("evil.example/", "web:1"),
            ("evil.example#", "web:1"),
            ("", "web:1"),
            ("EU", "web:1"),
            ("eu-central-1", "web"),
            ("eu-central-1", "web:"),
            ("eu-central-1", "web:1:2"),
            ("eu-central-1", "web:latest"),
            ("eu-central-1", ":1"),
            ("eu-central-1", "../web:1"),
            ("eu-central-1", "web\"><script>:1"),
            ("eu-central-1", "wéb:1"),
        ] {
            assert_eq!(of(region, name), None, "{region} {name}");
        }
        for arn in [
            "",
            "web:1",
            "arn:aws-x:ecs:eu-central-1:1:task-definition/web:1",
            "arn:aws:s3:eu-central-1:1:task-definition/web:1",
            "arn:aws:ecs:eu-central-1:1:task/web:1",
        ] {
            assert_eq!(definition_url(arn), None, "{arn}");
        }
        assert_eq!(of("eu-central-1", &format!("{}:1", "a".repeat(256))), None);
    }
}
