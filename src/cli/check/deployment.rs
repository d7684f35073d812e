//! The command that deploys the function with the same settings.

use std::collections::BTreeSet;

use crate::api::is_loopback;
use crate::config::{EnvironmentConfig, TEMPLATE_PARAMETERS};
use envsnap_model::duration::parse_duration;

const TOKEN_VARIABLE: &str = "KOSLI_API_TOKEN";
const TOKEN_PARAMETER_VARIABLE: &str = "KOSLI_API_TOKEN_SSM_PARAMETER_ARN";
/// Name of the SSM parameter to create for the token if there is none yet.
const NEW_TOKEN_PARAMETER: &str = "/envsnap/token";

/// The commands that deploy the function with the variables that `lookup` returns, and placeholders
/// for what is required and missing. The token is never part of them.
pub(super) fn deploy_commands(
    lookup: impl Fn(&str) -> Option<String>,
    environments: &[EnvironmentConfig],
    region: Option<&str>,
) -> String {
    let region =
        region.map(|region| format!(" --region {}", shell_quote(region))).unwrap_or_default();
    let mut text = String::new();
    if lookup(TOKEN_PARAMETER_VARIABLE).is_none() {
        let value = format!("\"${TOKEN_VARIABLE}\"");
        text = format!(
            "aws ssm put-parameter{region} --type SecureString --name {NEW_TOKEN_PARAMETER} --value {value}\n"
        );
    }
    let mut lines = vec![format!("sam deploy{region} --parameter-overrides")];
    for (variable, parameter) in TEMPLATE_PARAMETERS {
        let value = lookup(variable).map(|value| value.trim().to_owned());
        match (*variable, value) {
            // A word that is neither an ARN nor a path may be the token itself.
            (TOKEN_PARAMETER_VARIABLE, Some(value))
                if !value.starts_with('/') && !value.starts_with("arn:") =>
            {
                lines.push(format!("{parameter}=\"${TOKEN_PARAMETER_VARIABLE}\""));
            }
            (_, Some(value)) => {
                let value = template_value(variable, value);
                lines.push(parameter_override(parameter, &value));
            }
            (TOKEN_PARAMETER_VARIABLE, None) => {
                lines.push(format!("{parameter}={NEW_TOKEN_PARAMETER}"));
            }
            ("KOSLI_ORG", None) => {
                let older = lookup("KOSLI_OWNER");
                lines.push(parameter_override(parameter, older.as_deref().unwrap_or("YOUR-ORG")));
            }
            ("KOSLI_ENVIRONMENT", None) if !has_several_environments(&lookup) => {
                lines.push(parameter_override(parameter, "YOUR-ENVIRONMENT"));
            }
            (_, None) => {}
        }
    }
    let roles: BTreeSet<_> =
        environments.iter().filter_map(|it| it.source.role.as_ref()).map(|it| &*it.arn).collect();
    if !roles.is_empty() {
        let roles: Vec<_> = roles.into_iter().collect();
        lines.push(parameter_override("RoleArns", &roles.join(",")));
    }
    let host = lookup("KOSLI_HOST").and_then(|host| host.trim().parse().ok());
    let note = match host {
        Some(host) if is_loopback(&host) => {
            "# KosliHost is an address of this machine, which a function in AWS cannot reach.\n"
        }
        _ => "",
    };
    text + &lines.join(" \\\n    ") + "\n" + note
}

/// A valid variable's value as the template accepts it: it takes numbers and flags in one form only.
fn template_value(variable: &str, value: String) -> String {
    match variable {
        "HEARTBEAT" if value.eq_ignore_ascii_case("off") => String::new(),
        "HEARTBEAT" | "RECHECK" => {
            let seconds = parse_duration(&value).map(|duration| duration.as_secs());
            match seconds {
                Some(seconds) if seconds > 0 && seconds % 3600 == 0 => {
                    format!("{}h", seconds / 3600)
                }
                // A heartbeat is of minutes or longer, and posting earlier does no harm.
                Some(seconds) if seconds % 60 == 0 || variable == "HEARTBEAT" => {
                    format!("{}m", seconds / 60)
                }
                Some(seconds) => format!("{seconds}s"),
                None => value,
            }
        }
        "QUOTA_SHARE" => value.parse::<f64>().map_or(value, |share| share.to_string()),
        "ALLOW_HTTP"
        | "AUTO_CREATE_ENVIRONMENT"
        | "INCLUDE_SCALING"
        | "COMPARE_REPLICAS"
        | "DRY_RUN"
        | "METRICS" => value.to_ascii_lowercase(),
        _ => value,
    }
}

/// Whether the environments are configured together, so that `KOSLI_ENVIRONMENT` is not needed.
fn has_several_environments(lookup: &impl Fn(&str) -> Option<String>) -> bool {
    ["ENVIRONMENTS", "ENVIRONMENTS_SSM_PATH"].into_iter().any(|it| lookup(it).is_some())
}

/// A template parameter as the SAM CLI reads it, quoted for the shell: the value in double quotes, in
/// which only these are escaped.
fn parameter_override(parameter: &str, value: &str) -> String {
    if is_plain(value) {
        return format!("{parameter}={value}");
    }
    shell_quote(&format!("{parameter}=\"{}\"", value.replace('"', "\\\"")))
}

/// `text` as one word of a shell command, in single quotes if it needs them.
fn shell_quote(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

/// Whether the shell and the SAM CLI need no quotes for `text`.
fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:,@+-".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deploy_commands_for(variables: &[(&str, &str)]) -> String {
        let lookup = |wanted: &str| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        deploy_commands(lookup, &[], Some("eu-central-1"))
    }

    #[test]
    fn values_are_written_as_the_template_accepts_them() {
        for (variable, value, expected) in [
            ("HEARTBEAT", "off", "Heartbeat=\"\""),
            ("HEARTBEAT", "1 hour", "Heartbeat=1h"),
            ("HEARTBEAT", "90s", "Heartbeat=1m"),
            ("RECHECK", "1h 30m", "Recheck=90m"),
            ("RECHECK", "0s", "Recheck=0m"),
            ("RECHECK", "90s", "Recheck=90s"),
            ("QUOTA_SHARE", ".5", "QuotaShare=0.5"),
            ("QUOTA_SHARE", "1.00", "QuotaShare=1"),
            ("DRY_RUN", "TRUE", "DryRun=true"),
            ("INCLUDE_SCALING", "False", "IncludeScaling=false"),
        ] {
            let commands = deploy_commands_for(&[(variable, value)]);
            let written = commands.lines().any(|line| line.contains(expected));
            assert!(written, "{variable}={value}: {commands}");
        }
    }

    #[test]
    fn deploy_commands_have_placeholders_for_missing_settings_and_never_the_token() {
        assert_eq!(
            deploy_commands_for(&[("KOSLI_API_TOKEN", "s3cret"), ("DRY_RUN", "true")]),
            "aws ssm put-parameter --region eu-central-1 --type SecureString --name \
             /envsnap/token --value \"$KOSLI_API_TOKEN\"\n\
             sam deploy --region eu-central-1 --parameter-overrides \\\n    \
             KosliEnvironment=YOUR-ENVIRONMENT \\\n    KosliOrg=YOUR-ORG \\\n    \
             TokenParameter=/envsnap/token \\\n    DryRun=true\n"
        );
        let misplaced = deploy_commands_for(&[("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "s3cret")]);
        assert!(!misplaced.contains("s3cret") && !misplaced.contains("put-parameter"));
    }

    #[test]
    fn deploy_commands_say_if_the_server_is_on_this_machine() {
        for (host, is_local) in [
            ("http://127.0.0.1:8080", true),
            (" http://localhost:8080 ", true),
            ("https://app.kosli.com", false),
        ] {
            let commands = deploy_commands_for(&[("KOSLI_HOST", host)]);
            let last = commands.lines().last().unwrap();
            assert_eq!(last.starts_with("# KosliHost"), is_local, "{commands}");
            assert!(commands.contains(&format!("KosliHost={}", host.trim())), "{commands}");
        }
    }

    #[test]
    fn deploy_commands_quote_values_for_the_shell_and_the_sam_cli() {
        let text = deploy_commands_for(&[
            ("KOSLI_OWNER", "acme"),
            ("ENVIRONMENTS", r#"[{"name": "it's"}]"#),
            ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "/kosli/token"),
            ("ECS_CLUSTERS", "app,jobs"),
            ("ECS_CLUSTERS_REGEX", r"^prod\.(a|b)$"),
        ]);
        assert_eq!(
            text.lines().map(|line| line.trim().trim_end_matches(" \\")).collect::<Vec<_>>(),
            [
                "sam deploy --region eu-central-1 --parameter-overrides",
                r#"'Environments="[{\"name\": \"it'\''s\"}]"'"#,
                "KosliOrg=acme",
                "TokenParameter=/kosli/token",
                "EcsClusters=app,jobs",
                r#"'EcsClustersRegex="^prod\.(a|b)$"'"#,
            ]
        );
    }
}
