//! The function: start-up and invocations.

mod log;

use std::time::{Duration, SystemTime};

use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::aws::{self, BuildClientError};
use crate::config::{Config, ConfigError};
use crate::redact::redact_json;
use crate::report::{
    ConnectError, ConnectedReporter, ErrorKind, InvalidEvent, Outcome, RemedyContext, Trigger,
};
use crate::tls;

/// A run stops this long before Lambda would end it without an error message.
const DEADLINE_MARGIN: Duration = Duration::from_secs(1);

/// How long start-up waits for the environments in SSM.
const START_REFRESH_TIMEOUT: Duration = Duration::from_secs(6);

/// Serves invocations until the execution environment ends.
///
/// A wrong configuration does not end the process, which Lambda would only start again: it is the
/// answer to each invocation.
///
/// # Errors
/// There is no Lambda runtime to serve, or it is out of reach.
pub async fn run() -> Result<(), lambda_runtime::Error> {
    if std::env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        let advice = "this is a Lambda function, which only a Lambda runtime can start: use \
                      `envsnap report` by hand, or `cargo lambda watch`";
        return Err(advice.into());
    }
    log::init();
    tls::preload_roots();
    let function = &Function::start().await;
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Event>| {
        let LambdaEvent { payload, context } = event;
        match function {
            Ok(function) => function.invoke(payload, &context).await,
            // Start-up does not log the error: it is logged by each invocation that fails for it.
            Err(error) => Err(log::failure(error.kind(), &error.to_string(), &context.request_id)),
        }
    }))
    .await
}

/// The event of an invocation: JSON text, or the error. The runtime would answer invalid JSON with
/// its own error, without the handler.
struct Event(Result<Box<RawValue>, InvalidEvent>);

impl<'de> Deserialize<'de> for Event {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer);
        Ok(Self(text.map_err(|error| InvalidEvent(format!("the event is not JSON: {error}")))))
    }
}

/// What start-up leaves for the invocations.
struct Function {
    /// Lambda invokes a process once at a time.
    reporter: Mutex<ConnectedReporter>,
    metrics: bool,
}

/// The function cannot start.
#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Aws(#[from] BuildClientError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl StartError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(_)
            | Self::Connect(
                ConnectError::NoRegion
                | ConnectError::WrongLocation { .. }
                | ConnectError::Client(_),
            ) => ErrorKind::Config,
            Self::Aws(_) => ErrorKind::EcsUnavailable,
            Self::Connect(ConnectError::EnvironmentsUnavailable { .. }) => {
                ErrorKind::EnvironmentsUnavailable
            }
        }
    }
}

impl Function {
    async fn start() -> Result<Self, StartError> {
        let config = Config::from_env()?;
        let aws = aws::load_config().await?;
        let metrics = config.metrics;
        let mut reporter = ConnectedReporter::connect(config, &aws).await?;
        // On failure each invocation tries again and reports the error. Start-up may take 10 s.
        let _unread = reporter.refresh(Some(Instant::now() + START_REFRESH_TIMEOUT)).await;
        reporter.warm_up().await;
        Ok(Self { reporter: Mutex::new(reporter), metrics })
    }

    async fn invoke(&self, event: Event, context: &Context) -> Result<Value, Diagnostic> {
        let left = time_left(Duration::from_millis(context.deadline), SystemTime::now());
        let give_up_at = Instant::now() + left.saturating_sub(DEADLINE_MARGIN);
        let mut reporter = self.reporter.lock().await;
        reporter.refresh(Some(give_up_at)).await.map_err(|error| {
            let error = StartError::from(error);
            log::failure(error.kind(), &error.to_string(), &context.request_id)
        })?;
        if let Some(account) = own_account(&context.invoked_function_arn) {
            reporter.require_account(account).map_err(|error| {
                log::failure(ErrorKind::Config, &error.to_string(), &context.request_id)
            })?;
        }
        let outcome = report(&reporter, event, give_up_at).await.map_err(|error| {
            log::failure(ErrorKind::InvalidEvent, &error.to_string(), &context.request_id)
        })?;
        if outcome.environments.is_empty() {
            tracing::info!("no environment includes the clusters of this event");
        }
        for environment in &outcome.environments {
            log::outcome(outcome.trigger, environment, &context.request_id, self.metrics);
        }
        respond(outcome)
    }
}

async fn report(
    reporter: &ConnectedReporter,
    event: Event,
    give_up_at: Instant,
) -> Result<Outcome, InvalidEvent> {
    let trigger = Trigger::parse(event.0?.get())?;
    tracing::info!(trigger = %trigger.kind, "invoked");
    reporter.run(&trigger, Some(give_up_at)).await
}

/// The account in the function's own ARN, which is only known once it is invoked.
///
/// `None` for local tools, which make one up.
fn own_account(function_arn: &str) -> Option<&str> {
    const EMULATOR_ACCOUNT: &str = "012345678912";
    let account = function_arn.split(':').nth(4)?;
    let is_number = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && account != EMULATOR_ACCOUNT).then_some(account)
}

/// The time that is left of an invocation, whose deadline is `deadline` after the Unix epoch.
///
/// `cargo lambda watch` gives the time that is left in place of the deadline. A deadline of up to 15
/// minutes, which would be in 1970, is therefore taken for that: no invocation may take longer.
fn time_left(deadline: Duration, now: SystemTime) -> Duration {
    const MAX_INVOCATION: Duration = Duration::from_mins(15);
    if deadline <= MAX_INVOCATION {
        return deadline;
    }
    (SystemTime::UNIX_EPOCH + deadline).duration_since(now).unwrap_or_default()
}

/// An invocation fails if an environment did, so that Lambda's own metric counts it. Lambda drops
/// the response of a failed invocation, so that the error has to be complete. Each failure is
/// already logged, in the line of its environment.
fn respond(outcome: Outcome) -> Result<Value, Diagnostic> {
    let sentences: Vec<_> = outcome
        .failures()
        .map(|(failed, error)| {
            format!("{}: {}.", failed.environment, error.with_remedy(RemedyContext::Function))
        })
        .collect();
    if let Some((_, first)) = outcome.failures().next() {
        return Err(log::diagnostic(first.kind, &sentences.join(" ")));
    }
    let mut respond = serde_json::to_value(outcome.truncated()).map_err(|error| Diagnostic {
        error_type: "InvalidAnswer".to_owned(),
        error_message: error.to_string(),
    })?;
    redact_json(&mut respond);
    Ok(respond)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{EnvironmentOutcome, ErrorRow, OutcomeKind, TriggerKind};

    /// An outcome with one environment for each of `errors`, which failed if it is not `None`.
    fn outcome(errors: &[Option<(ErrorKind, &str)>]) -> Outcome {
        let environments = errors
            .iter()
            .enumerate()
            .map(|(at, error)| {
                let mut environment = EnvironmentOutcome::new(&format!("env-{at}"));
                if let Some((kind, message)) = *error {
                    environment.outcome = OutcomeKind::Failed;
                    environment.error = Some(ErrorRow { kind, message: message.to_owned() });
                }
                environment
            })
            .collect();
        Outcome { trigger: TriggerKind::Schedule, environments }
    }

    #[test]
    fn deadline_is_a_unix_time_but_up_to_15_minutes_it_is_the_time_that_is_left() {
        let seconds = Duration::from_secs;
        let now = SystemTime::UNIX_EPOCH + seconds(1_661_161_200);
        assert_eq!(time_left(seconds(1_661_161_260), now), seconds(60));
        assert_eq!(time_left(seconds(1_661_161_100), now), Duration::ZERO, "it has passed");
        assert_eq!(time_left(seconds(600), now), seconds(600));
    }

    #[test]
    fn own_account_is_taken_from_the_function_arn_unless_it_is_an_emulators_or_invalid() {
        for (arn, account) in [
            ("arn:aws:lambda:eu-central-1:274425519734:function:envsnap", Some("274425519734")),
            ("arn:aws:lambda:eu-central-1:274425519734:function:envsnap:1", Some("274425519734")),
            ("arn:aws:lambda:us-east-1:012345678912:function:test_function", None),
            ("arn:aws:lambda:x:1:function:envsnap", None),
            ("", None),
        ] {
            assert_eq!(own_account(arn), account, "{arn}");
        }
    }

    #[test]
    fn failed_invocation_has_the_first_error_type_and_the_messages_of_all_failed_environments() {
        let (first, second) = (ErrorKind::Throttled, ErrorKind::CallDenied);
        let failures = [None, Some((first, "A")), Some((second, "B"))];
        let error = respond(outcome(&failures)).unwrap_err();
        assert_eq!(error.error_type, "Throttled");
        let remedy = |kind: ErrorKind| kind.remedy(RemedyContext::Function);
        assert_eq!(
            error.error_message,
            format!("env-1: A. {}. env-2: B. {}.", remedy(first), remedy(second))
        );
        assert!(respond(outcome(&[None, None])).is_ok());
    }
}
