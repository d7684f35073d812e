//! Every variable and field, as the documentation lists them.
//!
//! `docs/configuration.md` is generated from this. What is listed here is what is read, with this
//! default: a test of this module compares both.

/// An environment variable, or a field of an environment in `ENVIRONMENTS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    pub name: &'static str,
    pub default: DefaultValue,
    /// In Markdown.
    pub meaning: &'static str,
}

/// The value of a setting that is not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultValue {
    /// The same as if it were set to this.
    Literal(&'static str),
    /// A description in Markdown.
    Described(&'static str),
}

use DefaultValue::{Described, Literal};

const fn setting(name: &'static str, default: DefaultValue, meaning: &'static str) -> Setting {
    Setting { name, default, meaning }
}

/// Every variable that the configuration reads, in the order of the documentation.
pub const VARIABLES: &[Setting] = &[
    setting(
        "KOSLI_ENVIRONMENT",
        Described("required, unless one of the next two is set"),
        "the environment on the server",
    ),
    setting(
        "ENVIRONMENTS",
        Described("not set"),
        "several environments, as a JSON array: see [Fleets](fleets.md)",
    ),
    setting(
        "ENVIRONMENTS_SSM_PATH",
        Described("not set"),
        "several environments, one SSM parameter each under this path: see \
         [Fleets](fleets.md#beyond-4-kb)",
    ),
    setting("KOSLI_ORG", Described("required"), "the organization that owns the environment"),
    setting("KOSLI_OWNER", Described("not set"), "the older name of `KOSLI_ORG`"),
    setting(
        "KOSLI_HOST",
        Literal("https://app.kosli.com"),
        "the snapshot server; plain `http` only to loopback",
    ),
    setting(
        "ALLOW_HTTP",
        Literal("false"),
        "allow plain `http` to any host: the token can then be read on the network",
    ),
    setting(
        "KOSLI_HTTP_PROXY",
        Described("`HTTPS_PROXY`"),
        "the proxy to the snapshot server, for example `http://proxy.example.com:3128`; AWS is not \
         called through it",
    ),
    setting(
        "HTTPS_PROXY",
        Described("none"),
        "the proxy to AWS and to the snapshot server. `NO_PROXY` lists the hosts that are called \
         without a proxy; a snapshot server on this machine always is",
    ),
    setting("HTTP_PROXY", Described("none"), "the same, for addresses that begin with `http://`"),
    setting("ALL_PROXY", Described("none"), "the same, for both"),
    setting(
        "KOSLI_API_TOKEN_SSM_PARAMETER_ARN",
        Described("required, unless `KOSLI_API_TOKEN` is set"),
        "ARN or name of the SSM parameter that holds the API token",
    ),
    setting(
        "KOSLI_API_TOKEN",
        Described("required, unless the SSM parameter is set"),
        "the API token itself",
    ),
    setting("ECS_CLUSTERS", Described("all"), "clusters to include"),
    setting("ECS_CLUSTERS_REGEX", Described("all"), "clusters to include, as an expression"),
    setting("ECS_EXCLUDE", Described("none"), "clusters to leave out"),
    setting("ECS_EXCLUDE_REGEX", Described("none"), "clusters to leave out, as an expression"),
    setting(
        "ECS_SERVICES",
        Described("all, and standalone tasks"),
        "services to include; any inclusion leaves standalone tasks out",
    ),
    setting(
        "ECS_SERVICES_REGEX",
        Described("all, and standalone tasks"),
        "services to include, as an expression",
    ),
    setting("ECS_EXCLUDE_SERVICES", Described("none"), "services to leave out"),
    setting(
        "ECS_EXCLUDE_SERVICES_REGEX",
        Described("none"),
        "services to leave out, as an expression",
    ),
    setting(
        "AUTO_CREATE_ENVIRONMENT",
        Literal("false"),
        "create the environment if the server does not have it. A process that has seen it never \
         creates it again, but a new process does, unless the server says that it is archived, as the \
         recorder does: set it back to `false` after the first report",
    ),
    setting(
        "INCLUDE_SCALING",
        Described("the server's own"),
        "whether an environment that is created here counts replicas: see [Replica \
         counts](what-is-counted.md#replica-counts)",
    ),
    setting(
        "COMPARE_REPLICAS",
        Literal("true"),
        "whether a change of replica counts alone is a difference, if the environment on the server \
         counts replicas",
    ),
    setting(
        "HEARTBEAT",
        Literal("off"),
        "post an unchanged snapshot once in each such period: a minute or more, for example `1h`, \
         and no shorter than the schedule's interval",
    ),
    setting(
        "RECHECK",
        Literal("0s"),
        "how long the process trusts its memory of the server; `0s` asks every time. Set it to more, \
         for example `15m`, only if runs cannot overlap. A process that has not run for a minute and \
         a half asks in any case, because another one may have reported meanwhile",
    ),
    setting("DRY_RUN", Literal("false"), "read and compare, but post and create nothing"),
    setting(
        "QUOTA_SHARE",
        Literal("0.5"),
        "the part of ECS's documented read quotas that each process may use, from `0.05` to `1`; calls beyond \
         it wait. Runs that overlap are processes of their own: as many as three without \
         `ReserveConcurrency`",
    ),
    setting(
        "METRICS",
        Literal("true"),
        "whether CloudWatch counts the outcome of each environment, in three metrics each: see \
         [Cost](permissions-and-cost.md#cost)",
    ),
];

/// Every field of an object in `ENVIRONMENTS`, in the order of the documentation.
pub const FIELDS: &[Setting] = &[
    setting("name", Described("required"), "the environment on the server"),
    setting("clusters", Described("all"), "like `ECS_CLUSTERS`"),
    setting("clusters_regex", Described("all"), "like `ECS_CLUSTERS_REGEX`"),
    setting("exclude", Described("none"), "like `ECS_EXCLUDE`"),
    setting("exclude_regex", Described("none"), "like `ECS_EXCLUDE_REGEX`"),
    setting("services", Described("all, and standalone tasks"), "like `ECS_SERVICES`"),
    setting("services_regex", Described("all, and standalone tasks"), "like `ECS_SERVICES_REGEX`"),
    setting("exclude_services", Described("none"), "like `ECS_EXCLUDE_SERVICES`"),
    setting("exclude_services_regex", Described("none"), "like `ECS_EXCLUDE_SERVICES_REGEX`"),
    setting("region", Described("the function's own"), "the region to read"),
    setting(
        "role_arn",
        Described("the function's own role"),
        "the role to assume for reading, in any account",
    ),
    setting(
        "external_id",
        Described("none"),
        "the external ID that the role's trust policy requires",
    ),
    setting(
        "auto_create",
        Described("`AUTO_CREATE_ENVIRONMENT`"),
        "create the environment if the server does not have it",
    ),
    setting(
        "include_scaling",
        Described("`INCLUDE_SCALING`"),
        "whether the environment counts replicas if it is created here",
    ),
];

/// The variables that parameters of the template set, each with its parameter.
pub const TEMPLATE_PARAMETERS: &[(&str, &str)] = &[
    ("KOSLI_ENVIRONMENT", "KosliEnvironment"),
    ("ENVIRONMENTS", "Environments"),
    ("ENVIRONMENTS_SSM_PATH", "EnvironmentsPath"),
    ("KOSLI_ORG", "KosliOrg"),
    ("KOSLI_HOST", "KosliHost"),
    ("ALLOW_HTTP", "AllowHttp"),
    ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "TokenParameter"),
    ("ECS_CLUSTERS", "EcsClusters"),
    ("ECS_CLUSTERS_REGEX", "EcsClustersRegex"),
    ("ECS_EXCLUDE", "EcsExclude"),
    ("ECS_EXCLUDE_REGEX", "EcsExcludeRegex"),
    ("ECS_SERVICES", "EcsServices"),
    ("ECS_SERVICES_REGEX", "EcsServicesRegex"),
    ("ECS_EXCLUDE_SERVICES", "EcsExcludeServices"),
    ("ECS_EXCLUDE_SERVICES_REGEX", "EcsExcludeServicesRegex"),
    ("AUTO_CREATE_ENVIRONMENT", "AutoCreateEnvironment"),
    ("INCLUDE_SCALING", "IncludeScaling"),
    ("COMPARE_REPLICAS", "CompareReplicas"),
    ("HEARTBEAT", "Heartbeat"),
    ("RECHECK", "Recheck"),
    ("DRY_RUN", "DryRun"),
    ("QUOTA_SHARE", "QuotaShare"),
    ("METRICS", "Metrics"),
];
