//! The environments to report: one, from its own variables, or several, from `ENVIRONMENTS`.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::{self, Formatter};

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::misspelling::most_similar;
use super::parse::{environment_name, external_id, region, role_arn, ssm_parameter_path};
use super::variables::Variables;
use super::{ConfigError, EnvironmentConfig, EnvironmentsPath, table};
use crate::ecs::{ClusterRef, Role, Scope, Selection, Source};

pub(super) const ENVIRONMENT_NAME_VARIABLE: &str = "KOSLI_ENVIRONMENT";
pub(super) const ENVIRONMENTS: &str = "ENVIRONMENTS";
pub(super) const ENVIRONMENTS_SSM_PATH: &str = "ENVIRONMENTS_SSM_PATH";

/// The names of an environment's settings, as variables or as fields of `ENVIRONMENTS`.
struct SettingNames {
    name: &'static str,
    meaning: &'static str,
    scope: ScopeSettingNames,
}

/// The names of the settings that select a part of ECS: each time one for names, and one for a regular
/// expression.
struct ScopeSettingNames {
    clusters: [&'static str; 2],
    exclude: [&'static str; 2],
    services: [&'static str; 2],
    exclude_services: [&'static str; 2],
}

/// The environment variables of a single environment.
const VARIABLE_NAMES: SettingNames = SettingNames {
    name: ENVIRONMENT_NAME_VARIABLE,
    meaning: "the environment's name, unless ENVIRONMENTS or ENVIRONMENTS_SSM_PATH has several",
    scope: ScopeSettingNames {
        clusters: ["ECS_CLUSTERS", "ECS_CLUSTERS_REGEX"],
        exclude: ["ECS_EXCLUDE", "ECS_EXCLUDE_REGEX"],
        services: ["ECS_SERVICES", "ECS_SERVICES_REGEX"],
        exclude_services: ["ECS_EXCLUDE_SERVICES", "ECS_EXCLUDE_SERVICES_REGEX"],
    },
};

/// The fields of an object in `ENVIRONMENTS`.
const FIELD_NAMES: SettingNames = SettingNames {
    name: "name",
    meaning: "the environment's name",
    scope: ScopeSettingNames {
        clusters: ["clusters", "clusters_regex"],
        exclude: ["exclude", "exclude_regex"],
        services: ["services", "services_regex"],
        exclude_services: ["exclude_services", "exclude_services_regex"],
    },
};

/// The command-line options of `envsnap ps`.
const OPTION_NAMES: ScopeSettingNames = ScopeSettingNames {
    clusters: ["--cluster", "--cluster-regex"],
    exclude: ["--exclude", "--exclude-regex"],
    services: ["--service", "--service-regex"],
    exclude_services: ["--exclude-service", "--exclude-service-regex"],
};

const REGION_FIELD: &str = "region";
const ROLE_ARN_FIELD: &str = "role_arn";
const EXTERNAL_ID_FIELD: &str = "external_id";
const AUTO_CREATE_FIELD: &str = "auto_create";
const INCLUDE_SCALING_FIELD: &str = "include_scaling";

impl SettingNames {
    /// The names of all settings: the environment's name, and those of its scope.
    fn all(&self) -> impl Iterator<Item = &'static str> {
        let ScopeSettingNames { clusters, exclude, services, exclude_services } = self.scope;
        let filters = [clusters, exclude, services, exclude_services];
        std::iter::once(self.name).chain(filters.into_iter().flatten())
    }
}

/// Whether and how a missing environment is created on the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CreationPolicy {
    pub auto_create: bool,
    /// Whether it counts replicas; `None` leaves that to the server.
    pub include_scaling: Option<bool>,
}

/// The configured environments, or their path in SSM. What is wrong is added to the problems in
/// `variables`.
pub(super) fn parse_environments(
    variables: &mut Variables<'_>,
) -> (Vec<EnvironmentConfig>, Option<EnvironmentsPath>) {
    let creation = CreationPolicy {
        auto_create: variables.flag("AUTO_CREATE_ENVIRONMENT", false),
        include_scaling: variables.optional_flag("INCLUDE_SCALING"),
    };
    if variables.get(ENVIRONMENTS_SSM_PATH).is_none() {
        return (inline_environments(variables, creation), None);
    }
    let displaced = VARIABLE_NAMES.all().chain([ENVIRONMENTS]);
    let displaced: Vec<_> = displaced.filter(|name| variables.get(name).is_some()).collect();
    for variable in displaced {
        variables.problems.push(format!(
            "{ENVIRONMENTS_SSM_PATH} and {variable} are both set, but {ENVIRONMENTS_SSM_PATH} takes \
             its place."
        ));
    }
    let path = variables.optional(ENVIRONMENTS_SSM_PATH, ssm_parameter_path);
    (Vec::new(), path.map(|path| EnvironmentsPath { path, creation }))
}

impl EnvironmentConfig {
    /// Parses the environment `name` from an SSM parameter: an object like those of `ENVIRONMENTS`,
    /// whose `name` is optional.
    ///
    /// # Errors
    /// Everything that is wrong with it, at once.
    pub fn from_parameter(
        name: &str,
        text: &str,
        creation: CreationPolicy,
    ) -> Result<Self, ConfigError> {
        let mut fields: Fields = serde_json::from_str(text).map_err(|error| {
            ConfigError(vec![format!(
                "it should be a JSON object like {{\"clusters\": [\"app\"]}}, but {error}."
            )])
        })?;
        let given = fields.0.entry(FIELD_NAMES.name.to_owned()).or_insert_with(|| name.into());
        if *given != name {
            let problem =
                format!("name is {given}, but should be {name:?}, as the parameter is named.");
            return Err(ConfigError(vec![problem]));
        }
        let nothing = |_: &str| None;
        let mut variables = Variables::new(&nothing);
        let environment = parse_environment(&mut variables, "", fields, creation);
        match environment {
            Some(environment) if variables.problems.is_empty() => Ok(environment),
            _ => Err(ConfigError(variables.problems)),
        }
    }
}

/// The environments in `ENVIRONMENTS`, or the single one in its own variables.
fn inline_environments(
    variables: &mut Variables<'_>,
    creation: CreationPolicy,
) -> Vec<EnvironmentConfig> {
    let Some(text) = variables.get(ENVIRONMENTS) else {
        let source = Source::default();
        return environment_from_settings(variables, &VARIABLE_NAMES, source, creation)
            .into_iter()
            .collect();
    };
    let displaced: Vec<_> =
        VARIABLE_NAMES.all().filter(|name| variables.get(name).is_some()).collect();
    for variable in displaced {
        variables.problems.push(format!(
            "{ENVIRONMENTS} and {variable} are both set, but {ENVIRONMENTS} takes its place."
        ));
    }
    let listed: Vec<Fields> = match serde_json::from_str(&text) {
        Ok(listed) => listed,
        Err(error) => {
            variables.problems.push(format!(
                "{ENVIRONMENTS} should be a JSON array of objects like \
                 {{\"name\": \"aws-prod\", \"clusters\": [\"app\"]}}, but {error}."
            ));
            return Vec::new();
        }
    };
    if listed.is_empty() {
        variables.problems.push(format!("{ENVIRONMENTS} should hold an environment at least."));
    }
    let mut environments = Vec::with_capacity(listed.len());
    let mut names = HashSet::new();
    for (at, fields) in listed.into_iter().enumerate() {
        let place = format!("{ENVIRONMENTS}[{at}].");
        let Some(environment) = parse_environment(variables, &place, fields, creation) else {
            continue;
        };
        if !names.insert(environment.name.clone()) {
            variables.problems.push(format!(
                "{place}name is {:?}, but an environment before it has that name.",
                environment.name
            ));
        }
        environments.push(environment);
    }
    environments
}

/// The fields of an object. A repeated field is an error, since only one of its values would be
/// used.
struct Fields(BTreeMap<String, Value>);

impl<'de> Deserialize<'de> for Fields {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields;

            fn expecting(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
                let mut fields = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let value = map.next_value()?;
                    if fields.contains_key(&name) {
                        return Err(A::Error::custom(format_args!(
                            "{name:?} is in an object twice"
                        )));
                    }
                    fields.insert(name, value);
                }
                Ok(Fields(fields))
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// Parses one of the environments in `ENVIRONMENTS`. Its fields are parsed like variables.
fn parse_environment(
    variables: &mut Variables<'_>,
    place: &str,
    fields: Fields,
    defaults: CreationPolicy,
) -> Option<EnvironmentConfig> {
    let known: Vec<_> = table::FIELDS.iter().map(|field| field.name).collect();
    let mut values = HashMap::new();
    for (field, value) in fields.0 {
        if !known.contains(&field.as_str()) {
            let meant = most_similar(&field, known.iter().copied());
            let meant = meant.map(|meant| format!(": did you mean {meant}?")).unwrap_or_default();
            variables.problems.push(format!(
                "{place}{field} is not a field of an environment{meant} (the fields are {}).",
                known.join(", ")
            ));
            continue;
        }
        match field_text(&field, &value) {
            Ok(text) => drop(values.insert(field, text)),
            Err(wanted) => {
                variables
                    .problems
                    .push(format!("{place}{field} is {value}, but should be {wanted}."));
            }
        }
    }
    let lookup = |field: &str| values.get(field).cloned();
    let mut fields = Variables::at(place, &lookup);

    let source = parse_source(&mut fields, [REGION_FIELD, ROLE_ARN_FIELD, EXTERNAL_ID_FIELD]);
    let creation = CreationPolicy {
        auto_create: fields.flag(AUTO_CREATE_FIELD, defaults.auto_create),
        include_scaling: fields.optional_flag(INCLUDE_SCALING_FIELD).or(defaults.include_scaling),
    };
    let environment = environment_from_settings(&mut fields, &FIELD_NAMES, source, creation);
    let is_good = fields.problems.is_empty();
    variables.problems.append(&mut fields.problems);
    environment.filter(|_| is_good)
}

/// A field's value as the text of a variable: a list of names is joined by commas. The error says what
/// the value should be.
fn field_text(field: &str, value: &Value) -> Result<String, &'static str> {
    let ScopeSettingNames { clusters, exclude, services, exclude_services } = &FIELD_NAMES.scope;
    let filters = [clusters, exclude, services, exclude_services];
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(names) if filters.iter().any(|[name, _]| *name == field) => {
            let texts = names.iter().map(Value::as_str);
            let names: Option<Vec<_>> =
                texts.map(|text| text.filter(|text| !text.trim().is_empty())).collect();
            // An empty list would count as not set, and so as everything.
            let names = names.filter(|names| !names.is_empty());
            names.map(|names| names.join(",")).ok_or("a list of one name or more")
        }
        // Joined by commas, it would be an expression that matches no name.
        Value::Array(_) if filters.iter().any(|[_, pattern]| *pattern == field) => {
            Err("one regular expression, such as ^a|^b")
        }
        _ if filters.iter().any(|[name, _]| *name == field) => Err("a name or a list of names"),
        _ => Err("a text, or true or false"),
    }
}

/// `None` if the name is missing or wrong. Other problems are only added to those in `variables`.
fn environment_from_settings(
    variables: &mut Variables<'_>,
    names: &SettingNames,
    source: Source,
    CreationPolicy { auto_create, include_scaling }: CreationPolicy,
) -> Option<EnvironmentConfig> {
    let name = variables.required(names.name, names.meaning, environment_name);
    let scope = parse_scope(variables, &names.scope, &source);
    Some(EnvironmentConfig { name: name?, scope, source, auto_create, include_scaling })
}

/// The scope, and the region and role, that are selected by command-line options.
pub(super) fn scope_from_options(variables: &mut Variables<'_>) -> (Scope, Source) {
    let source = parse_source(variables, ["--region", "--role-arn", "--external-id"]);
    (parse_scope(variables, &OPTION_NAMES, &source), source)
}

fn parse_source(variables: &mut Variables<'_>, names: [&'static str; 3]) -> Source {
    let [region_name, role_name, id_name] = names;
    let region = variables.optional(region_name, region);
    let arn = variables.optional(role_name, role_arn);
    let external_id = variables.optional(id_name, external_id);
    if external_id.is_some() && variables.get(role_name).is_none() {
        let place = variables.place;
        variables.add_problem(id_name, &format!("is set, but {place}{role_name} is not"));
    }
    Source { region, role: arn.map(|arn| Role { arn, external_id }) }
}

fn parse_scope(variables: &mut Variables<'_>, names: &ScopeSettingNames, source: &Source) -> Scope {
    let clusters = Selection {
        include: variables.filter(names.clusters),
        exclude: variables.filter(names.exclude),
    };
    let services = Selection {
        include: variables.service_filter(names.services),
        exclude: variables.service_filter(names.exclude_services),
    };
    check_cluster_arns(variables, names.clusters[0], &clusters.include.names, source);
    Scope { clusters, services }
}

/// Clusters given by ARN have to be of the account and region that is read: they are requested by
/// name there.
fn check_cluster_arns(
    variables: &mut Variables<'_>,
    variable: &str,
    clusters: &[ClusterRef],
    source: &Source,
) {
    let first = clusters.iter().find(|cluster| cluster.account().is_some());
    let account = source.account().or_else(|| first?.account());
    let region = source.region.as_deref().or_else(|| first?.region());
    for cluster in clusters.iter().filter(|cluster| cluster.account().is_some()) {
        if cluster.account() != account || cluster.region() != region {
            variables.add_problem(
                variable,
                &format!(
                    "holds {:?}, which is not of account {} and region {}, like the others of this \
                     environment",
                    cluster.given(),
                    account.unwrap_or_default(),
                    region.unwrap_or_default()
                ),
            );
        }
    }
}
