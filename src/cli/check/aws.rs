//! Whether AWS accepts the credentials, allows the calls, and has what is to be read.

use std::collections::BTreeMap;

use aws_config::{Region, SdkConfig};

use super::permissions::{SourceCheck, call_with_retries, parameter_statement};
use super::row::{CheckStatus, Row};
use crate::cli::progress;
use crate::config::{EnvironmentConfig, ReadingConfig};
use crate::ecs::{self, CallError, EcsApi as _, Source};
use crate::recorder::text::pluralize;
use crate::report::{ConnectError, EcsInventory, ErrorKind, ErrorRow, Inventory, Reporter};

/// Name of the check of the AWS credentials.
const CREDENTIALS_CHECK: &str = "credentials";
/// Name of the check of the AWS region.
const REGION_CHECK: &str = "region";
/// For calls to STS and ECS about the credentials if no region is configured.
const ANY_REGION: &str = "us-east-1";
/// The IAM action that reads the environments in SSM, and the name of its check.
const GET_PARAMETERS_BY_PATH: &str = "ssm:GetParametersByPath";
/// Why checks are skipped if the credentials are not valid.
const CREDENTIALS_REFUSED: &str = "AWS does not accept the credentials";
/// Why checks are skipped if it is not known whether the credentials are valid.
const NO_ANSWER: &str = "neither STS nor ECS gave an answer about the credentials";
/// Why checks are skipped if there is no region.
const NO_REGION_REASON: &str = "no region is known";
/// Why checks are skipped if the environments in SSM cannot be read.
const NO_ENVIRONMENTS_REASON: &str = "the environments in SSM are not known";

/// The results of the checks of AWS, and what the checks of the server need of them.
pub(super) struct AwsResult {
    pub(super) rows: Vec<Row>,
    /// With their regions.
    pub(super) environments: Vec<EnvironmentConfig>,
    pub(super) caller: Option<String>,
    /// Why nothing can be read from AWS.
    pub(super) problem: Option<&'static str>,
}

/// Checks credentials, region, permissions and clusters, but not the token's parameter. Without
/// `reading`, everything is in scope.
pub(super) async fn check_aws(
    reading: Option<ReadingConfig>,
    aws: &SdkConfig,
) -> anyhow::Result<AwsResult> {
    let CredentialsResult { row, caller, mut problem } = check_credentials(aws).await;
    let mut rows = vec![row];
    let is_known = reading.is_some();
    let reading = match reading {
        Some(reading) => reading,
        None => ReadingConfig::from_options(|_| None)?,
    };
    let mut environments = reading.environments.clone();
    for environment in &mut environments {
        let source = &mut environment.source;
        source.region = source.region.take().or_else(|| region_of(aws).map(ToOwned::to_owned));
    }
    let path = reading.environments_path.as_ref().map(|path| path.path.clone());
    let mut inventory = match EcsInventory::connect_to_read(reading, aws).await {
        // Without a configured environment, no source needed the region, and SSM does.
        Ok(_) if environments.is_empty() && region_of(aws).is_none() => {
            problem = problem.or(Some(NO_REGION_REASON));
            rows.push(no_region_row());
            None
        }
        Ok(inventory) => {
            rows.push(region_row(&environments, aws));
            Some(inventory)
        }
        Err(ConnectError::NoRegion) => {
            problem = problem.or(Some(NO_REGION_REASON));
            rows.push(no_region_row());
            None
        }
        Err(error) => {
            rows.push(region_row(&environments, aws));
            rows.push(Row::failed_as("clusters", error, ErrorKind::ClusterNotFound));
            None
        }
    };
    let mut are_environments_known = true;
    if let Some(path) = &path {
        let row = match &mut inventory {
            Some(inventory) if problem.is_none() => {
                fetch_environments(path, inventory, caller.as_deref(), aws).await
            }
            _ => Row::skipped(GET_PARAMETERS_BY_PATH, problem.unwrap_or(NO_REGION_REASON)),
        };
        are_environments_known = row.result == CheckStatus::Ok;
        rows.push(row);
        environments = inventory.iter().flat_map(Reporter::environments).cloned().collect();
    }
    if are_environments_known {
        check_permissions(&mut rows, &environments, aws, caller.as_deref(), problem).await;
    } else {
        let source = Source::default();
        let check = SourceCheck {
            aws,
            source: &source,
            environments: &[],
            caller: None,
            is_one_of_several: false,
        };
        rows.extend(check.skipped(problem.unwrap_or(NO_ENVIRONMENTS_REASON)));
    }
    match inventory {
        _ if !are_environments_known => {
            rows.push(Row::skipped("reading", problem.unwrap_or(NO_ENVIRONMENTS_REASON)));
        }
        Some(inventory) if is_known && problem.is_none() => {
            let status = || progress::summary(inventory.progress(), "");
            let read = progress::with_progress(inventory.read(false), status).await;
            let is_denied = rows.iter().any(Row::has_failed);
            rows.extend(read.iter().map(|inventory| reading_row(inventory, is_denied)));
        }
        _ => rows.push(Row::skipped("reading", problem.unwrap_or("the scope is not known"))),
    }
    Ok(AwsResult { rows, environments, caller, problem })
}

/// The result of the check of the credentials.
struct CredentialsResult {
    row: Row,
    /// The caller's ARN, if STS says it.
    caller: Option<String>,
    /// Why nothing else can be checked.
    problem: Option<&'static str>,
}

/// Checks whether AWS accepts the credentials.
async fn check_credentials(aws: &SdkConfig) -> CredentialsResult {
    let mut aws = aws.clone();
    if region_of(&aws).is_none() {
        // STS answers the same in every region.
        aws = aws.into_builder().region(Region::from_static(ANY_REGION)).build();
    }
    let aws = &aws;
    let result = |row, caller, problem| CredentialsResult { row, caller, problem };
    let failed = |row, is_refused| {
        let problem = if is_refused { CREDENTIALS_REFUSED } else { NO_ANSWER };
        result(row, None, Some(problem))
    };
    let unknown = match ecs::caller_arn(aws).await {
        Ok(caller) => return result(Row::ok(CREDENTIALS_CHECK, &caller), Some(caller), None),
        Err(error @ CallError::BadCredentials(_)) => {
            let row = Row::failed_as(CREDENTIALS_CHECK, error, ErrorKind::BadCredentials);
            return failed(row, true);
        }
        Err(error) => error,
    };
    // Not every network that reaches ECS reaches STS.
    let ecs = ecs::connect(aws, &Source::default()).await;
    match call_with_retries("list the clusters", async || ecs.list_clusters(None).await).await {
        Ok(_) | Err(ecs::EcsError::Call { source: CallError::AccessDenied(_), .. }) => {
            let detail = format!("ECS accepts them; STS did not say whose they are: {unknown}");
            result(Row::ok(CREDENTIALS_CHECK, detail), None, None)
        }
        Err(error) => {
            let is_refused =
                matches!(error, ecs::EcsError::Call { source: CallError::BadCredentials(_), .. });
            failed(Row::failed_call(CREDENTIALS_CHECK, &error), is_refused)
        }
    }
}

/// The region of the process.
pub(super) fn region_of(aws: &SdkConfig) -> Option<&str> {
    aws.region().map(AsRef::as_ref).filter(|region| !region.is_empty())
}

fn no_region_row() -> Row {
    let remedy = "Set AWS_REGION, or choose a profile that has one with AWS_PROFILE";
    Row::failed(REGION_CHECK, ConnectError::NoRegion, remedy)
}

/// The regions of the environments, or else that of the process.
fn region_row(environments: &[EnvironmentConfig], aws: &SdkConfig) -> Row {
    let mut regions: Vec<_> =
        environments.iter().filter_map(|it| it.source.region.as_deref()).collect();
    regions.extend(region_of(aws).filter(|_| regions.is_empty()));
    regions.sort_unstable();
    regions.dedup();
    Row::ok(REGION_CHECK, regions.join(", "))
}

/// Reads the environments that are configured in SSM.
async fn fetch_environments(
    path: &str,
    inventory: &mut EcsInventory,
    caller: Option<&str>,
    aws: &SdkConfig,
) -> Row {
    match inventory.refresh(None).await {
        Ok(()) => {
            // The reading of each invalid one says what is wrong with it.
            let detail = match (inventory.environments().count(), inventory.invalid_count()) {
                (valid, 0) => pluralize(valid, "environment"),
                (valid, invalid) => {
                    format!("{} and {invalid} not valid", pluralize(valid, "environment"))
                }
            };
            Row::ok(GET_PARAMETERS_BY_PATH, format!("{detail} under {path}"))
        }
        Err(error) => {
            let region = region_of(aws);
            let statement = parameter_statement(GET_PARAMETERS_BY_PATH, path, region, caller);
            Row::failed_as(GET_PARAMETERS_BY_PATH, error, ErrorKind::EnvironmentsUnavailable)
                .with_statement(statement)
        }
    }
}

/// Checks the permissions in each account and region, and adds the results to `rows`. With a `problem`,
/// they are skipped.
async fn check_permissions(
    rows: &mut Vec<Row>,
    environments: &[EnvironmentConfig],
    aws: &SdkConfig,
    caller: Option<&str>,
    problem: Option<&'static str>,
) {
    let mut sources = BTreeMap::<_, (&Source, Vec<&EnvironmentConfig>)>::new();
    for environment in environments {
        let source = &environment.source;
        let key = (&source.region, source.role.as_ref().map(|role| (&role.arn, &role.external_id)));
        sources.entry(key).or_insert_with(|| (source, Vec::new())).1.push(environment);
    }
    let is_one_of_several = sources.len() > 1;
    for (source, environments) in sources.values() {
        let check = SourceCheck { aws, source, environments, caller, is_one_of_several };
        match problem {
            Some(problem) => rows.extend(check.skipped(problem)),
            None => rows.extend(Box::pin(check.run()).await),
        }
    }
}

/// What runs in the scope of an environment, as the function would read it. `is_denied` if another
/// row has a permission that is missing.
fn reading_row(inventory: &Inventory, is_denied: bool) -> Row {
    let Inventory { outcome, artifacts, .. } = inventory;
    let check = format!("reading {}", outcome.environment);
    match &outcome.error {
        Some(ErrorRow { kind: ErrorKind::CallDenied | ErrorKind::RoleNotAssumed, .. })
            if is_denied =>
        {
            Row::skipped(check, "it needs the permissions above")
        }
        Some(error) => Row::failed_as(check, &error.message, error.kind),
        None => {
            let mut clusters: Vec<_> = artifacts
                .iter()
                .flat_map(|artifact| &artifact.places)
                .map(|place| place.cluster.as_str())
                .collect();
            clusters.sort_unstable();
            clusters.dedup();
            let containers = pluralize(outcome.containers.unwrap_or(0), "container");
            let artifacts = pluralize(artifacts.len(), "artifact");
            let detail = match &clusters[..] {
                [] => "nothing runs in scope".to_owned(),
                _ => format!("{containers} of {artifacts} in {}", clusters.join(", ")),
            };
            Row::ok(check, detail)
        }
    }
}
