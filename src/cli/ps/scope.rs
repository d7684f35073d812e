//! The options that say which part of ECS to read.

use crate::config::{ConfigError, ReadingConfig};

const HELP_HEADING: &str = "What to read";

/// Which clusters and services of which account and region. They mean what the function's variables
/// mean, and are parsed by the same code.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = HELP_HEADING)]
pub(super) struct ScopeArguments {
    /// Clusters to read, names or ARNs; all if none is given
    #[arg(value_name = "CLUSTER", value_parser = not_blank)]
    clusters: Vec<String>,
    /// A cluster to read, as CLUSTER
    #[arg(long, value_name = "CLUSTER", value_parser = not_blank)]
    cluster: Vec<String>,
    /// Clusters whose name matches an expression, besides the named ones
    #[arg(long, value_name = "REGEX", value_parser = not_blank)]
    cluster_regex: Option<String>,
    /// Clusters to leave out
    #[arg(long, value_name = "CLUSTER", value_parser = not_blank)]
    exclude: Vec<String>,
    /// Clusters to leave out whose name matches
    #[arg(long, value_name = "REGEX", value_parser = not_blank)]
    exclude_regex: Option<String>,
    /// Services to read; standalone tasks are then left out
    #[arg(long, value_name = "SERVICE", value_parser = not_blank)]
    service: Vec<String>,
    /// Services whose name matches an expression, besides the named ones
    #[arg(long, value_name = "REGEX", value_parser = not_blank)]
    service_regex: Option<String>,
    /// Services to leave out
    #[arg(long, value_name = "SERVICE", value_parser = not_blank)]
    exclude_service: Vec<String>,
    /// Services to leave out whose name matches
    #[arg(long, value_name = "REGEX", value_parser = not_blank)]
    exclude_service_regex: Option<String>,
    #[arg(
        long,
        value_name = "REGION",
        value_parser = not_blank,
        help = "The region [default: AWS_REGION, or that of the profile]"
    )]
    pub(super) region: Option<String>,
    /// A role to assume, of any account
    #[arg(long, value_name = "ARN", value_parser = not_blank)]
    role_arn: Option<String>,
    /// The external ID that the role's trust policy asks for
    #[arg(long, value_name = "ID", value_parser = not_blank, requires = "role_arn")]
    external_id: Option<String>,
}

/// Rejects an empty value: as from an unset variable of a script, it would widen the scope.
fn not_blank(text: &str) -> Result<String, &'static str> {
    if text.trim().is_empty() { Err("it is empty") } else { Ok(text.to_owned()) }
}

impl ScopeArguments {
    pub(super) fn config(&self) -> Result<ReadingConfig, ConfigError> {
        ReadingConfig::from_options(|option| self.option_value(option))
    }

    /// The value of an option as text; several names are separated by commas. `None` if it is not
    /// given.
    fn option_value(&self, option: &str) -> Option<String> {
        let names = |names: &[String]| (!names.is_empty()).then(|| names.join(","));
        match option {
            "--cluster" => names(&[&*self.clusters, &*self.cluster].concat()),
            "--cluster-regex" => self.cluster_regex.clone(),
            "--exclude" => names(&self.exclude),
            "--exclude-regex" => self.exclude_regex.clone(),
            "--service" => names(&self.service),
            "--service-regex" => self.service_regex.clone(),
            "--exclude-service" => names(&self.exclude_service),
            "--exclude-service-regex" => self.exclude_service_regex.clone(),
            "--region" => self.region.clone(),
            "--role-arn" => self.role_arn.clone(),
            "--external-id" => self.external_id.clone(),
            _ => None,
        }
    }
}
