//! The command that deploys the function with the same settings.

use std::collections::BTreeSet;

use crate::config::{EnvironmentConfig, TEMPLATE_PARAMETERS};

const TOKEN: &str = "KOSLI_API_TOKEN";
const TOKEN_PARAMETER: &str = "KOSLI_API_TOKEN_SSM_PARAMETER_ARN";
/// Where the token goes if it is not in SSM yet.
const NEW_PARAMETER: &str = "/envsnap/token";

/// The commands for the variables that `lookup` returns, and placeholders for what is required and
/// missing. The token is never part of them.
pub(super) fn command(
    lookup: impl Fn(&str) -> Option<String>,
    environments: &[EnvironmentConfig],
    region: Option<&str>,
) -> String {
    let region = region.map(|region| format!(" --region {}", shell(region))).unwrap_or_default();
    let mut text = String::new();
    if lookup(TOKEN_PARAMETER).is_none() {
        let value = format!("\"${TOKEN}\"");
        text = format!(
            "aws ssm put-parameter{region} --type SecureString --name {NEW_PARAMETER} --value {value}\n"
        );
    }
    let mut lines = vec![format!("sam deploy{region} --parameter-overrides")];
    for (variable, parameter) in TEMPLATE_PARAMETERS {
        let value = lookup(variable).map(|value| value.trim().to_owned());
        match (*variable, value) {
            // A word that is neither an ARN nor a path may be the token itself.
            (TOKEN_PARAMETER, Some(value))
                if !value.starts_with('/') && !value.starts_with("arn:") =>
            {
                lines.push(format!("{parameter}=\"${TOKEN_PARAMETER}\""));
            }
            (_, Some(value)) => lines.push(override_of(parameter, &value)),
            (TOKEN_PARAMETER, None) => lines.push(format!("{parameter}={NEW_PARAMETER}")),
            ("KOSLI_ORG", None) => {
                let older = lookup("KOSLI_OWNER");
                lines.push(override_of(parameter, older.as_deref().unwrap_or("YOUR-ORG")));
            }
            ("KOSLI_ENVIRONMENT", None) if !has_several_environments(&lookup) => {
                lines.push(override_of(parameter, "YOUR-ENVIRONMENT"));
            }
            (_, None) => {}
        }
    }
    let roles: BTreeSet<_> =
        environments.iter().filter_map(|it| it.source.role.as_ref()).map(|it| &*it.arn).collect();
    if !roles.is_empty() {
        let roles: Vec<_> = roles.into_iter().collect();
        lines.push(override_of("RoleArns", &roles.join(",")));
    }
    text + &lines.join(" \\\n    ") + "\n"
}

fn has_several_environments(lookup: &impl Fn(&str) -> Option<String>) -> bool {
    ["ENVIRONMENTS", "ENVIRONMENTS_SSM_PATH"].into_iter().any(|it| lookup(it).is_some())
}

/// A parameter as the SAM CLI reads it: a value in double quotes, in which only these are escaped.
fn override_of(parameter: &str, value: &str) -> String {
    if is_plain(value) {
        return format!("{parameter}={value}");
    }
    shell(&format!("{parameter}=\"{}\"", value.replace('"', "\\\"")))
}

/// One word of a shell's command.
fn shell(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}

fn is_plain(text: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_./:,@+-".contains(&byte);
    !text.is_empty() && text.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(variables: &[(&str, &str)]) -> String {
        let lookup = |wanted: &str| {
            let found = variables.iter().find(|(name, _)| *name == wanted);
            found.map(|(_, value)| (*value).to_owned())
        };
        command(lookup, &[], Some("eu-central-1"))
    }

    #[test]
    fn missing_values_are_placeholders_and_the_token_is_never_shown() {
        assert_eq!(
            given(&[("KOSLI_API_TOKEN", "s3cret"), ("DRY_RUN", "true")]),
            "aws ssm put-parameter --region eu-central-1 --type SecureString --name \
             /envsnap/token --value \"$KOSLI_API_TOKEN\"\n\
             sam deploy --region eu-central-1 --parameter-overrides \\\n    \
             KosliEnvironment=YOUR-ENVIRONMENT \\\n    KosliOrg=YOUR-ORG \\\n    \
             TokenParameter=/envsnap/token \\\n    DryRun=true\n"
        );
        let misplaced = given(&[("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "s3cret")]);
        assert!(!misplaced.contains("s3cret") && !misplaced.contains("put-parameter"));
    }

    #[test]
    fn values_are_quoted_for_the_shell_and_for_sam() {
        let text = given(&[
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
