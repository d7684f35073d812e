//! `envsnap check`: whether everything that the function needs is there.

mod aws;
mod deployment;
mod permissions;
mod row;
mod server;

use aws_config::SdkConfig;
use serde::Serialize;

use super::escape::escape_json;
use super::server_args::env_var;
use super::terminal::{ColourChoice, Terminal};
use super::{ExitStatus, ReportFormat, misspelt_variables_of_process, print};
use crate::config::{Config, ConfigError, EnvironmentConfig, ReadingConfig, ServerConfig};
use crate::config::{is_environment_unset, is_server_unset};
use crate::redact;
use crate::report::ErrorKind;
use crate::token::{self, TokenSetting, TokenSource};
use aws::{AwsResult, check_aws, region_of};
use permissions::parameter_statement;
use row::{Row, table};
use server::{ServerCheck, all_skipped};

/// Name of the check of the environment variables.
const CONFIGURATION_CHECK: &str = "configuration";
/// The IAM action that reads the token from SSM, and the name of its check.
const GET_PARAMETER: &str = "ssm:GetParameter";

const TOKEN_VARIABLE: &str = "KOSLI_API_TOKEN";
const TOKEN_PARAMETER_VARIABLE: &str = "KOSLI_API_TOKEN_SSM_PARAMETER_ARN";

/// Check all that the function needs, and print the command that deploys it
///
/// Tries the AWS credentials, each permission, the clusters in scope, the API token, the server and
/// the environment, and says for each what is wrong and what to do. Nothing is recorded or changed.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The variables are those of the function and of envsnap report: KOSLI_ENVIRONMENT, \
KOSLI_ORG, KOSLI_HOST, KOSLI_API_TOKEN, ECS_CLUSTERS and the others in docs/configuration.md. Without those \
of the server, only AWS is checked. AWS credentials and the region are found as the AWS CLI finds them; the \
permissions are those of these credentials, and the template gives the function its own.

Exit codes: 0 if nothing failed, 1 if a check failed, 2 for an error.

Examples:
  envsnap check
  KOSLI_ENVIRONMENT=aws-prod KOSLI_ORG=acme ECS_CLUSTERS=app envsnap check -o json"
)]
pub(super) struct Arguments {
    /// How to print the result
    #[arg(short, long, value_enum, default_value_t = ReportFormat::Table)]
    output: ReportFormat,
    #[arg(
        long,
        value_enum,
        value_name = "WHEN",
        default_value_t = ColourChoice::Auto,
        help = "When to use colours; NO_COLOR turns them off as well"
    )]
    color: ColourChoice,
}

/// The document of `-o json`.
#[derive(Serialize)]
struct Document<'a> {
    /// No check failed.
    ok: bool,
    checks: &'a [Row],
    /// Commands of a shell; `None` if the variables are not valid.
    deployment: Option<&'a str>,
}

pub(super) async fn run(arguments: Arguments) -> anyhow::Result<ExitStatus> {
    if let Some(Ok(token)) = env_var(TOKEN_VARIABLE).map(token::validate) {
        // Before any message could repeat it.
        redact::register_api_token(&token);
    }
    let aws = crate::aws::load_config().await?;
    let (configuration, reading) = check_configuration();
    let is_valid = !configuration.has_failed();
    let is_known = reading.is_some() && !is_environment_unset(env_var);
    let mut rows = vec![configuration];
    let AwsResult { rows: of_aws, environments, caller, problem } =
        Box::pin(check_aws(reading, &aws)).await?;
    rows.extend(of_aws);
    let named = if is_known { &environments } else { &[][..] };
    rows.extend(Box::pin(check_server(&aws, named, caller.as_deref(), problem)).await);

    let deployment = deployment::deploy_commands(env_var, &environments, region_of(&aws));
    let deployment = is_valid.then_some(deployment.as_str());
    let ok = !rows.iter().any(Row::has_failed);
    print(&match arguments.output {
        ReportFormat::Json => {
            let document = Document { ok, checks: &rows, deployment };
            escape_json(&serde_json::to_string_pretty(&document)?)
        }
        ReportFormat::Table => {
            let table = table(&rows, &Terminal::detect(arguments.color));
            match deployment {
                Some(commands) => format!(
                    "{table}\nTo deploy the function, in the unpacked archive of a release:\n\n{commands}"
                ),
                None => table,
            }
        }
    })?;
    Ok(if ok { ExitStatus::Success } else { ExitStatus::CheckFailed })
}

/// Checks all environment variables. Returns the configuration for reading ECS, too, if it is valid.
fn check_configuration() -> (Row, Option<ReadingConfig>) {
    let reading = ReadingConfig::from_lookup(env_var);
    let problem: Option<ConfigError> = if is_server_unset(env_var) {
        reading.as_ref().err().cloned()
    } else {
        Config::from_lookup(env_var).err()
    };
    let mut problems = misspelt_variables_of_process();
    problems.extend(problem.map(|problem| problem.to_string()));
    let row = match &problems[..] {
        [_, ..] => {
            let problems = problems.join(" ");
            Row::failed_as(CONFIGURATION_CHECK, problems.trim_end_matches('.'), ErrorKind::Config)
        }
        [] if is_server_unset(env_var) => {
            Row::ok(CONFIGURATION_CHECK, "the variables are valid; no server is configured")
        }
        [] => Row::ok(CONFIGURATION_CHECK, "the variables are valid"),
    };
    (row, reading.ok())
}

/// Checks the token, the server and the environments on it. With an `aws_problem`, SSM is not asked for
/// the token.
async fn check_server(
    aws: &SdkConfig,
    environments: &[EnvironmentConfig],
    caller: Option<&str>,
    aws_problem: Option<&'static str>,
) -> Vec<Row> {
    if is_server_unset(env_var) {
        let reason = "KOSLI_ORG and KOSLI_API_TOKEN are not set";
        return all_skipped(environments, reason);
    }
    let has_token =
        [TOKEN_VARIABLE, TOKEN_PARAMETER_VARIABLE].into_iter().any(|it| env_var(it).is_some());
    // The server can be looked for without a token.
    let lookup = |variable: &str| {
        let is_replaced = !has_token && variable == TOKEN_VARIABLE;
        env_var(variable).or_else(|| is_replaced.then(|| "no-token-was-given".to_owned()))
    };
    let Ok(config) = ServerConfig::from_lookup(lookup) else {
        // The row of the configuration says what is wrong.
        return all_skipped(environments, "the variables are not valid");
    };
    let mut rows = Vec::new();
    let token = match &config.token {
        _ if !has_token => {
            Err(format!("neither {TOKEN_VARIABLE} nor {TOKEN_PARAMETER_VARIABLE} is set"))
        }
        TokenSetting::Given(token) => {
            let reason =
                format!("the token is given in {TOKEN_VARIABLE}; the function reads it from SSM");
            rows.push(Row::skipped(GET_PARAMETER, reason));
            Ok(TokenSource::Given(token.clone()))
        }
        TokenSetting::Parameter(_) if aws_problem.is_some() => {
            let reason = aws_problem.unwrap_or_default();
            rows.push(Row::skipped(GET_PARAMETER, reason));
            Err(reason.to_owned())
        }
        setting @ TokenSetting::Parameter(parameter) => {
            let tokens = TokenSource::new(setting, aws);
            match tokens.fetch().await {
                Ok(token) => {
                    rows.push(Row::ok(GET_PARAMETER, format!("{parameter} holds a token")));
                    Ok(TokenSource::Given(token))
                }
                Err(error) => {
                    let row = Row::failed_as(GET_PARAMETER, &error, ErrorKind::TokenUnavailable);
                    let region = region_of(aws);
                    rows.push(match parameter.printable() {
                        Some(name) => row.with_statement(parameter_statement(
                            GET_PARAMETER,
                            name,
                            region,
                            caller,
                        )),
                        None => row,
                    });
                    Err("SSM did not return it".to_owned())
                }
            }
        }
    };
    let check = ServerCheck { config: &config, token, environments };
    rows.extend(check.run().await);
    rows
}
