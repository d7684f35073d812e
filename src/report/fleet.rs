//! Environments that are configured in SSM, one parameter each.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_ssm::config::timeout::TimeoutConfig;
use aws_sdk_ssm::types::ParameterType;
use tokio::time::{Instant, timeout_at};

use super::{ConnectError, InvalidEnvironment, Reporter, fill_region};
use crate::config::{EnvironmentConfig, EnvironmentsPath};
use crate::ecs::{self, AwsEcs};
use crate::endpoint::Endpoint;

/// Age at which the parameters are read again. 200 environments are 20 calls.
const REFRESH_INTERVAL: Duration = Duration::from_mins(15);

/// For one page of parameters, if they were never read. At least two attempts at a call.
const FIRST_READ_TIMEOUT: Duration = Duration::from_secs(15);

/// For one page of parameters, if the environments can stay as they were read before.
const REREAD_TIMEOUT: Duration = Duration::from_secs(6);

/// Of each attempt at one SSM call.
const SSM_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

/// The environments that are configured in SSM: the parameters under a path, and their values when
/// they were last read.
#[derive(Debug)]
pub(super) struct Fleet {
    ssm: aws_sdk_ssm::Client,
    endpoint: Endpoint,
    aws: SdkConfig,
    path: EnvironmentsPath,
    /// By the environment's name.
    definitions: BTreeMap<String, Definition>,
    read_at: Option<SystemTime>,
}

/// A parameter's value; `None` if it is not of type String.
type Definition = Option<String>;

impl Fleet {
    pub(super) fn new(path: EnvironmentsPath, aws: &SdkConfig) -> Self {
        let timeouts =
            TimeoutConfig::builder().operation_attempt_timeout(SSM_ATTEMPT_TIMEOUT).build();
        let endpoint = Endpoint::default();
        let config = aws_sdk_ssm::config::Builder::from(aws)
            .timeout_config(timeouts)
            .interceptor(endpoint.clone());
        let ssm = aws_sdk_ssm::Client::from_conf(config.build());
        Self { ssm, endpoint, aws: aws.clone(), path, definitions: BTreeMap::new(), read_at: None }
    }

    fn is_fresh(&self, now: SystemTime) -> bool {
        self.read_at
            .is_some_and(|at| now.duration_since(at).is_ok_and(|age| age < REFRESH_INTERVAL))
    }

    /// Every parameter under the path, by its name below the path.
    ///
    /// Includes the levels below it: a parameter that is silently left out would be an environment
    /// that is not reported. `give_up_at` is the deadline of the run.
    async fn fetch(
        &self,
        give_up_at: Option<Instant>,
    ) -> Result<BTreeMap<String, Definition>, ConnectError> {
        let path = &self.path.path;
        let unavailable =
            |reason| ConnectError::EnvironmentsUnavailable { path: path.clone(), reason };
        let request = self.ssm.get_parameters_by_path().path(path).recursive(true);
        let mut pages = request.into_paginator().send();
        let mut definitions = BTreeMap::new();
        let limit = if self.definitions.is_empty() { FIRST_READ_TIMEOUT } else { REREAD_TIMEOUT };
        loop {
            let end = Instant::now() + limit;
            let end = give_up_at.map_or(end, |at| at.min(end));
            let page = timeout_at(end, pages.next()).await;
            let page = page.map_err(|_| unavailable("it did not answer in time".to_owned()))?;
            let Some(page) = page else { break };
            let page = page.map_err(|error| unavailable(self.endpoint.describe_error(&error)))?;
            for parameter in page.parameters.unwrap_or_default() {
                let name = parameter.name().unwrap_or_default();
                let name = name.strip_prefix(path.as_str()).unwrap_or(name).trim_start_matches('/');
                let is_text = parameter.r#type() == Some(&ParameterType::String);
                definitions.insert(name.to_owned(), parameter.value.filter(|_| is_text));
            }
        }
        if definitions.is_empty() {
            return Err(unavailable("there is no parameter under it".to_owned()));
        }
        Ok(definitions)
    }

    /// Whether the parameter is there, and as it was when the parameters were last read.
    fn has_unchanged(&self, name: &str, definitions: &BTreeMap<String, Definition>) -> bool {
        definitions.contains_key(name) && definitions.get(name) == self.definitions.get(name)
    }

    /// The environments whose parameters are new or changed, each with its client of ECS, or why it is
    /// not valid.
    async fn connect_to_changed(
        &self,
        definitions: &BTreeMap<String, Definition>,
    ) -> Vec<Result<(EnvironmentConfig, AwsEcs), InvalidEnvironment>> {
        let path = &self.path.path;
        for name in self.definitions.keys().filter(|name| !definitions.contains_key(*name)) {
            tracing::warn!(
                environment = name,
                "its parameter under {path} in SSM is gone: the environment is no longer reported"
            );
        }
        let mut changed = Vec::new();
        for (name, definition) in definitions {
            if self.has_unchanged(name, definitions) {
                continue;
            }
            changed.push(match self.parse(name, definition) {
                Ok(environment) => {
                    let ecs = ecs::connect(&self.aws, &environment.source).await;
                    Ok((environment, ecs))
                }
                Err(problem) => {
                    let message = format!("the parameter {path}/{name} in SSM is wrong: {problem}");
                    Err(InvalidEnvironment { name: name.clone(), message })
                }
            });
        }
        changed
    }

    fn parse(&self, name: &str, definition: &Definition) -> Result<EnvironmentConfig, String> {
        let Some(text) = definition else {
            return Err("the parameter should be of type String".to_owned());
        };
        let mut environment = EnvironmentConfig::from_parameter(name, text, self.path.creation)
            .map_err(|error| error.to_string())?;
        fill_region(&mut environment, &self.aws).map_err(|error| error.to_string())?;
        Ok(environment)
    }
}

impl<S, C: Fn() -> SystemTime> Reporter<AwsEcs, S, C> {
    /// Reads the environments under a path in SSM, if so configured and not read within the last 15
    /// minutes. Environments that did not change keep their memory. An invalid parameter fails its
    /// own environment in each run, and no other. Nothing changes if the future is dropped before it
    /// ends. `give_up_at` is the deadline of the run.
    ///
    /// # Errors
    /// SSM did not return them in time, and they were never read before; or there are none.
    pub async fn refresh(&mut self, give_up_at: Option<Instant>) -> Result<(), ConnectError> {
        let now = (self.clock)();
        let Some(fleet) = self.fleet.as_ref().filter(|fleet| !fleet.is_fresh(now)) else {
            return Ok(());
        };
        // On the heap: it is large, and not needed most of the time.
        let definitions = match Box::pin(fleet.fetch(give_up_at)).await {
            Ok(definitions) => definitions,
            Err(error) if !fleet.definitions.is_empty() => {
                tracing::warn!(%error, "the environments stay as they were read before");
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let changes = Box::pin(fleet.connect_to_changed(&definitions)).await;
        if let Some(fleet) = &mut self.fleet {
            let is_unchanged = |name: &str| fleet.has_unchanged(name, &definitions);
            self.environments.retain(|environment| is_unchanged(&environment.config.name));
            self.invalid.retain(|invalid| is_unchanged(&invalid.name));
            fleet.definitions = definitions;
            fleet.read_at = Some(now);
        }
        for change in changes {
            match change {
                Ok((environment, ecs)) => self.add(environment, |_| ecs),
                Err(invalid) => self.invalid.push(invalid),
            }
        }
        self.environments.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        self.share_calls();
        Ok(())
    }
}
