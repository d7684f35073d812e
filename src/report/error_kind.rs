//! Every kind of failure, with its meaning and remedy.
//!
//! One table, [`ErrorKind::table_row`]: the log, the function's error, the command line and the
//! page `docs/errors.md` all take their words from it.

use std::fmt::Write as _;

use crate::api::ApiError;
use crate::token::TokenError;

/// A kind of failure. Kinds differ in their remedy; several may share an error type, which alarms
/// and programs look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// A variable is missing, wrong or misspelt.
    Config,
    /// SSM did not return the environments.
    EnvironmentsUnavailable,
    /// The event has none of the known forms.
    InvalidEvent,
    /// The scope matches nothing that exists.
    NothingInScope,
    /// A cluster that is named does not exist.
    ClusterNotFound,
    /// AWS does not allow a call.
    CallDenied,
    /// AWS does not accept the credentials, or there are none.
    BadCredentials,
    /// A role cannot be assumed.
    RoleNotAssumed,
    /// ECS throttled too many calls.
    Throttled,
    /// AWS refuses every request for the time in its signature.
    WrongClock,
    /// The answers of ECS contradict each other.
    Contradiction,
    /// ECS did not answer, or its answer cannot be understood.
    EcsUnavailable,
    /// Other processes kept recording snapshots of the environment while it was read.
    Overtaken,
    /// The deadline came.
    DeadlineExceeded,
    /// The API token could not be fetched.
    TokenUnavailable,
    /// The environment does not exist on the server.
    EnvironmentNotFound,
    /// The server does not accept the API token.
    TokenRefused,
    /// The server redirects elsewhere.
    Redirected,
    /// The environment on the server is not of type ECS.
    WrongType,
    /// The environment has no snapshot: nothing has reported it, or nothing has run there since its
    /// first report. The function goes on then, so that only questions fail.
    NoSnapshotYet,
    /// The server refused a request for another reason.
    RequestRefused,
    /// The server did not answer, or its answer cannot be understood.
    ServerUnavailable,
    /// The host is not a snapshot server.
    NotASnapshotServer,
}

/// Where a message is read, which decides which remedies its reader has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemedyContext {
    /// The log of the Lambda function, whose credentials are those of its role.
    Function,
    /// A terminal, where the user has chosen the credentials.
    Terminal,
}

struct TableRow {
    error_type: &'static str,
    meaning: &'static str,
    in_function: &'static str,
    on_terminal: &'static str,
}

impl ErrorKind {
    /// In the order in which a run can meet them.
    pub const ALL: [Self; 23] = [
        Self::Config,
        Self::EnvironmentsUnavailable,
        Self::InvalidEvent,
        Self::NothingInScope,
        Self::ClusterNotFound,
        Self::CallDenied,
        Self::BadCredentials,
        Self::RoleNotAssumed,
        Self::Throttled,
        Self::WrongClock,
        Self::Contradiction,
        Self::EcsUnavailable,
        Self::Overtaken,
        Self::DeadlineExceeded,
        Self::TokenUnavailable,
        Self::EnvironmentNotFound,
        Self::TokenRefused,
        Self::Redirected,
        Self::WrongType,
        Self::NoSnapshotYet,
        Self::RequestRefused,
        Self::ServerUnavailable,
        Self::NotASnapshotServer,
    ];

    /// The function's `errorType`: a stable word for alarms and programs.
    pub fn error_type(self) -> &'static str {
        self.table_row().error_type
    }

    /// What to do about it: one sentence without a full stop, which names the variables concerned.
    pub fn remedy(self, context: RemedyContext) -> &'static str {
        match context {
            RemedyContext::Function => self.table_row().in_function,
            RemedyContext::Terminal => self.table_row().on_terminal,
        }
    }

    /// The table of the page `docs/errors.md`, as Markdown.
    pub fn markdown_table() -> String {
        let mut table =
            "| error | meaning | what to do: the function | what to do: on a terminal |\n\
                         |---|---|---|---|\n"
                .to_owned();
        for kind in Self::ALL {
            let TableRow { error_type, meaning, in_function, on_terminal } = kind.table_row();
            let on_terminal = if on_terminal == in_function { "the same" } else { on_terminal };
            let _infallible =
                writeln!(table, "| `{error_type}` | {meaning} | {in_function} | {on_terminal} |");
        }
        table
    }

    /// The texts of this kind of failure.
    #[expect(clippy::too_many_lines, reason = "a table")]
    fn table_row(self) -> TableRow {
        let everywhere = |error_type, meaning, remedy| TableRow {
            error_type,
            meaning,
            in_function: remedy,
            on_terminal: remedy,
        };
        match self {
            Self::Config => everywhere(
                "ConfigError",
                "a variable is missing, wrong or misspelt; no reading took place",
                "Set each variable that the message names to what it says; KOSLI_ORG, \
                 KOSLI_ENVIRONMENT or ENVIRONMENTS, and KOSLI_API_TOKEN_SSM_PARAMETER_ARN or \
                 KOSLI_API_TOKEN are required",
            ),
            Self::EnvironmentsUnavailable => TableRow {
                error_type: "EnvironmentsUnavailable",
                meaning: "SSM did not return the environments, and they were never read before; no \
                          reading took place",
                in_function: "Check that there are parameters under ENVIRONMENTS_SSM_PATH, and that \
                              the function's role may call ssm:GetParametersByPath on it",
                on_terminal: "Check that there are parameters under ENVIRONMENTS_SSM_PATH, and that \
                              the user or role of AWS_PROFILE may call ssm:GetParametersByPath on it",
            },
            Self::InvalidEvent => everywhere(
                "InvalidEvent",
                "the event has none of the known forms; no reading took place",
                "Send one of the events that the message lists; its environment has to be the one in \
                 KOSLI_ENVIRONMENT or one of ENVIRONMENTS",
            ),
            Self::NothingInScope => TableRow {
                error_type: "NothingInScope",
                meaning: "no cluster or service that exists matches the configuration",
                in_function: "Compare ECS_CLUSTERS, ECS_EXCLUDE, ECS_SERVICES, \
                              ECS_EXCLUDE_SERVICES and their _REGEX forms, or the fields in \
                              ENVIRONMENTS, with what exists in that account and region",
                on_terminal: "Compare ECS_CLUSTERS, ECS_EXCLUDE, ECS_SERVICES, \
                              ECS_EXCLUDE_SERVICES and their _REGEX forms, or the fields in \
                              ENVIRONMENTS, with what exists in that account and region, which \
                              AWS_PROFILE and AWS_REGION choose",
            },
            Self::ClusterNotFound => TableRow {
                error_type: "ClusterNotFound",
                meaning: "a cluster that is named in the configuration does not exist, or no longer",
                in_function: "Correct the name in ECS_CLUSTERS, or in clusters in ENVIRONMENTS, or \
                              read the account and region that the cluster is in",
                on_terminal: "Correct the name in ECS_CLUSTERS, or in clusters in ENVIRONMENTS, or \
                              choose the account and region that the cluster is in with AWS_PROFILE \
                              and AWS_REGION",
            },
            Self::CallDenied => TableRow {
                error_type: "AccessDenied",
                meaning: "AWS does not allow a call",
                in_function: "Allow the call in the policies of the role that the message names: the \
                              function's own role, or the role_arn in ENVIRONMENTS",
                on_terminal: "Allow the call to the user or role that the message names, or choose \
                              another one with AWS_PROFILE",
            },
            Self::BadCredentials => TableRow {
                error_type: "AccessDenied",
                meaning: "AWS does not accept the credentials, or there are none",
                in_function: "Check that the function's role exists and can be assumed by Lambda, and \
                              that no AWS_ACCESS_KEY_ID is among the variables that you set",
                on_terminal: "Check the AWS credentials: AWS_PROFILE, and `aws sso login` if the \
                              profile uses SSO",
            },
            Self::RoleNotAssumed => TableRow {
                error_type: "AccessDenied",
                meaning: "the role that reads ECS cannot be assumed",
                in_function: "The function's role needs sts:AssumeRole on it (template: RoleArns), \
                              and it has to trust the function's role, with the external_id in \
                              ENVIRONMENTS",
                on_terminal: "The user or role of AWS_PROFILE needs sts:AssumeRole on it, and it has \
                              to trust that one, with the external_id in ENVIRONMENTS",
            },
            Self::Throttled => everywhere(
                "Throttled",
                "ECS refuses calls because the account's quota is used up; other readers of ECS \
                 share it",
                "One failure now and then is harmless; otherwise lower QUOTA_SHARE, narrow the scope \
                 (ECS_CLUSTERS) or slow down the schedule",
            ),
            Self::WrongClock => TableRow {
                error_type: "EcsUnavailable",
                meaning: "AWS refuses every request for the time in its signature",
                in_function: "The clock is that of Lambda: if it stays wrong, deploy the function \
                              with any change, so that it starts anew elsewhere",
                on_terminal: "Set the clock of this machine, and keep it in step by NTP",
            },
            Self::Contradiction => everywhere(
                "EcsUnavailable",
                "the answers of ECS contradict each other, so that nothing is posted",
                "This usually passes with the next run; if the cluster is one that cannot be read, \
                 leave it out with ECS_EXCLUDE, or exclude in ENVIRONMENTS",
            ),
            Self::EcsUnavailable => TableRow {
                error_type: "EcsUnavailable",
                meaning: "ECS did not answer, or its response cannot be understood",
                in_function: "This usually passes; if not, check that the function reaches the \
                              endpoint (its VPC, HTTPS_PROXY and NO_PROXY), and that no \
                              AWS_ENDPOINT_URL is set",
                on_terminal: "This usually passes; if not, check that the endpoint can be reached \
                              (HTTPS_PROXY and NO_PROXY), and unset a leftover AWS_ENDPOINT_URL",
            },
            Self::Overtaken => everywhere(
                "Overtaken",
                "the environment was read five times, and each time another process recorded a \
                 snapshot of it meanwhile",
                "Only one configuration should report an environment. Check what else reports the \
                 one in KOSLI_ENVIRONMENT",
            ),
            Self::DeadlineExceeded => everywhere(
                "DeadlineExceeded",
                "the run was not finished a second before the function's timeout; the next run finds \
                 out whether a report that was on its way arrived",
                "Give the function a smaller scope (ECS_CLUSTERS, one stack for each group of \
                 clusters), a larger QUOTA_SHARE or a longer timeout",
            ),
            Self::TokenUnavailable => TableRow {
                error_type: "TokenUnavailable",
                meaning: "SSM did not return the API token, or what it returned cannot be one",
                in_function: "Check the name in KOSLI_API_TOKEN_SSM_PARAMETER_ARN, and that the \
                              function's role may call ssm:GetParameter on it, and kms:Decrypt if it \
                              is encrypted with a key of your own",
                on_terminal: "Check the name in KOSLI_API_TOKEN_SSM_PARAMETER_ARN, and that the user \
                              or role of AWS_PROFILE may call ssm:GetParameter on it, or set \
                              KOSLI_API_TOKEN",
            },
            Self::EnvironmentNotFound => everywhere(
                "EnvironmentNotFound",
                "the server has no such environment, or it was archived or renamed",
                "Correct KOSLI_ENVIRONMENT or KOSLI_ORG, create or restore the environment, or set \
                 AUTO_CREATE_ENVIRONMENT=true if it never existed",
            ),
            Self::TokenRefused => everywhere(
                "ServerRejected",
                "the server does not accept the API token",
                "Check the API token (KOSLI_API_TOKEN_SSM_PARAMETER_ARN or KOSLI_API_TOKEN), and \
                 what it may do in the organization KOSLI_ORG",
            ),
            Self::Redirected => everywhere(
                "ServerRejected",
                "the server redirects to another address",
                "Set KOSLI_HOST to where it redirects",
            ),
            Self::WrongType => everywhere(
                "ServerRejected",
                "the environment on the server is not of type ECS",
                "Set KOSLI_ENVIRONMENT to the name of an environment of type ECS",
            ),
            Self::NoSnapshotYet => everywhere(
                "ServerRejected",
                "a question about an environment in which nothing has run, or that nothing has reported",
                "Nothing has run there, or nothing has reported it; to report it, run \
                 `envsnap report` or the function with its name in KOSLI_ENVIRONMENT. A logical \
                 environment has no snapshots: ask for those that it is made of",
            ),
            Self::RequestRefused => everywhere(
                "ServerRejected",
                "the server refuses a request for another reason, in its own words",
                "Change what the server's message names; if it names nothing, check KOSLI_ORG, \
                 KOSLI_ENVIRONMENT and KOSLI_HOST",
            ),
            Self::ServerUnavailable => TableRow {
                error_type: "ServerUnavailable",
                meaning: "the server did not answer, or its answer is not that of the snapshot API",
                in_function: "If it does not pass by itself, check KOSLI_HOST, and that the function \
                              reaches it (its VPC, KOSLI_HTTP_PROXY or HTTPS_PROXY, and NO_PROXY)",
                on_terminal: "If it does not pass by itself, check KOSLI_HOST, and that it can be \
                              reached (KOSLI_HTTP_PROXY or HTTPS_PROXY, and NO_PROXY)",
            },
            Self::NotASnapshotServer => everywhere(
                "ServerUnavailable",
                "a web page is where the snapshot API should be",
                "Set KOSLI_HOST to a snapshot server, for example https://app.kosli.com",
            ),
        }
    }
}

impl From<&ApiError> for ErrorKind {
    fn from(error: &ApiError) -> Self {
        match error {
            ApiError::Token(TokenError::ClockSkew { .. }) => Self::WrongClock,
            ApiError::Token(_) => Self::TokenUnavailable,
            ApiError::EnvironmentNotFound { .. } => Self::EnvironmentNotFound,
            ApiError::Rejected { status, .. } if matches!(status.as_u16(), 401 | 403) => {
                Self::TokenRefused
            }
            ApiError::Rejected { status, .. } if status.is_redirection() => Self::Redirected,
            ApiError::NoSnapshotYet { .. } => Self::NoSnapshotYet,
            ApiError::Rejected { .. } => Self::RequestRefused,
            ApiError::NotASnapshotServer { .. } => Self::NotASnapshotServer,
            ApiError::Unavailable { .. } => Self::ServerUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_kind_has_a_meaning_and_remedies_that_name_an_environment_variable() {
        for kind in ErrorKind::ALL {
            let TableRow { error_type, meaning, in_function, on_terminal } = kind.table_row();
            for cell in [error_type, meaning, in_function, on_terminal] {
                assert!(!cell.trim().is_empty(), "{kind:?}");
                assert!(!cell.contains('|') && !cell.ends_with('.'), "{kind:?}: {cell}");
            }
            // No variable sets a clock.
            let remedies = [in_function, on_terminal].into_iter();
            for remedy in remedies.filter(|_| kind != ErrorKind::WrongClock) {
                let names_a_variable = remedy
                    .split(|c: char| !c.is_ascii_uppercase() && c != '_')
                    .any(|word| word == "ENVIRONMENTS" || (word.contains('_') && word.len() > 6));
                assert!(names_a_variable, "{kind:?}: {remedy}");
            }
        }
    }

    #[test]
    fn remedies_for_the_lambda_function_name_neither_aws_profiles_nor_sso() {
        for kind in ErrorKind::ALL {
            let remedy = kind.remedy(RemedyContext::Function);
            assert!(!remedy.contains("sso") && !remedy.contains("PROFILE"), "{kind:?}: {remedy}");
        }
    }
}
