use std::cell::RefCell;
use std::collections::BTreeSet;

use super::*;
use crate::ecs::ClusterRef;

const REQUIRED_VARIABLES: [(&str, &str); 3] =
    [("KOSLI_ENVIRONMENT", "aws-prod"), ("KOSLI_ORG", "cyber-dojo"), ("KOSLI_API_TOKEN", "t0k3n")];

/// The configuration of [`REQUIRED_VARIABLES`] and `variables`, which take precedence.
fn config(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    Config::from_lookup(|wanted| {
        variables
            .iter()
            .chain(&REQUIRED_VARIABLES)
            .find(|(name, _)| *name == wanted)
            .map(|(_, value)| (*value).to_owned())
    })
}

#[test]
fn unset_variables_have_their_default_in_the_configuration() {
    let config = config(&[]).unwrap();
    assert_eq!(config.host.as_str(), "https://app.kosli.com/");
    assert_eq!(config.org, "cyber-dojo");
    let environment = &config.environments[0];
    assert_eq!(environment.name, "aws-prod");
    assert!(!environment.auto_create);
    assert!(environment.scope.clusters.is_everything());
    assert!(environment.scope.services.is_everything());
    assert_eq!(
        config.policy,
        Policy { compare_replicas: true, heartbeat: None, recheck: Duration::ZERO, dry_run: false }
    );
}

#[test]
fn every_variable_sets_its_value_in_the_configuration() {
    let config = config(&[
        ("KOSLI_HOST", "http://127.0.0.1:8080/base/"),
        ("KOSLI_ORG", ""),
        ("KOSLI_OWNER", "acme"),
        ("KOSLI_API_TOKEN", " "),
        ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "/kosli/token"),
        ("ECS_CLUSTERS", "app, arn:aws:ecs:eu-central-1:274425519734:cluster/db,"),
        ("ECS_CLUSTERS_REGEX", "^a,b"),
        ("ECS_EXCLUDE", "x"),
        ("ECS_EXCLUDE_REGEX", "y"),
        ("ECS_SERVICES", "s"),
        ("ECS_SERVICES_REGEX", "t{1,2}"),
        ("ECS_EXCLUDE_SERVICES", "u"),
        ("ECS_EXCLUDE_SERVICES_REGEX", "v"),
        ("AUTO_CREATE_ENVIRONMENT", "True"),
        ("COMPARE_REPLICAS", "false"),
        ("HEARTBEAT", "1h"),
        ("RECHECK", "15m"),
        ("DRY_RUN", "true"),
        ("QUOTA_SHARE", "0.25"),
    ])
    .unwrap();
    assert!((config.quota_share - 0.25).abs() < f64::EPSILON);
    assert_eq!(config.host.as_str(), "http://127.0.0.1:8080/base/");
    assert_eq!(config.org, "acme");
    assert!(matches!(&config.token, TokenSetting::Parameter(name)
        if name.to_string() == "parameter /kosli/token"));
    let Scope { clusters, services } = &config.environments[0].scope;
    let names: Vec<_> = clusters.include.names.iter().map(ClusterRef::name).collect();
    assert_eq!(names, ["app", "db"]);
    assert_eq!(clusters.include.pattern.as_ref().unwrap().as_str(), "^a,b", "never split");
    assert_eq!(clusters.exclude.names[0].name(), "x");
    assert_eq!(clusters.exclude.pattern.as_ref().unwrap().as_str(), "y");
    assert_eq!(services.include.names, ["s"]);
    assert_eq!(services.include.pattern.as_ref().unwrap().as_str(), "t{1,2}");
    assert_eq!(services.exclude.names, ["u"]);
    assert_eq!(services.exclude.pattern.as_ref().unwrap().as_str(), "v");
    assert!(config.environments[0].auto_create);
    assert_eq!(
        config.policy,
        Policy {
            compare_replicas: false,
            heartbeat: Some(Duration::from_hours(1)),
            recheck: Duration::from_mins(15),
            dry_run: true
        }
    );
}

#[test]
fn configuration_error_names_the_variable_its_value_and_the_expected_value() {
    let cases = [
        ("KOSLI_ENVIRONMENT", "", "KOSLI_ENVIRONMENT is not set: it should be the environment's"),
        ("KOSLI_ENVIRONMENT", "-prod", "KOSLI_ENVIRONMENT is \"-prod\", but should be a name of"),
        ("KOSLI_ORG", " ", "KOSLI_ORG is not set: it should be the organization"),
        ("KOSLI_ORG", "..", "KOSLI_ORG is \"..\", but should be"),
        ("KOSLI_ORG", "a/b", "KOSLI_ORG is \"a/b\", but should be"),
        ("KOSLI_OWNER", "other", "KOSLI_ORG is \"cyber-dojo\" and KOSLI_OWNER"),
        ("KOSLI_HOST", "app.kosli.com", "KOSLI_HOST is \"app.kosli.com\", but should be a URL"),
        ("KOSLI_HOST", "ftp://x", "KOSLI_HOST is \"ftp://x\", but should be a URL"),
        ("KOSLI_HOST", "https://x?y", "without a query"),
        ("KOSLI_HOST", "http://app.kosli.com", "ALLOW_HTTP=true"),
        ("KOSLI_HOST", "http://127.0.0.1.evil.com", "ALLOW_HTTP=true"),
        ("KOSLI_API_TOKEN", "", "Neither KOSLI_API_TOKEN_SSM_PARAMETER_ARN nor KOSLI_API_TOKEN"),
        ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "/k", "are both set"),
        ("ECS_CLUSTERS", "app,b*", "ECS_CLUSTERS is \"app,b*\", but should be names"),
        ("ECS_CLUSTERS", "b*", "ECS_CLUSTERS_REGEX takes an expression"),
        ("ECS_CLUSTERS_REGEX", "a(", "ECS_CLUSTERS_REGEX is \"a(\", but should be one regular"),
        ("ECS_SERVICES", "a b", "ECS_SERVICES is \"a b\", but should be names"),
        ("ECS_EXCLUDE_SERVICES_REGEX", "[", "ECS_EXCLUDE_SERVICES_REGEX is \"[\""),
        (
            "AUTO_CREATE_ENVIRONMENT",
            "yes",
            "AUTO_CREATE_ENVIRONMENT is \"yes\", but should be true",
        ),
        ("COMPARE_REPLICAS", "1", "COMPARE_REPLICAS is \"1\", but should be true or false"),
        (
            "HEARTBEAT",
            "10s",
            "HEARTBEAT is \"10s\", but should be a duration of a minute or longer",
        ),
        ("HEARTBEAT", "hourly", "HEARTBEAT is \"hourly\", but should be a duration of a minute"),
        ("RECHECK", "-5m", "RECHECK is \"-5m\", but should be a duration like 15m"),
        ("RECHECK", "99999999999999999999h", "RECHECK is"),
        ("QUOTA_SHARE", "0.04", "QUOTA_SHARE is \"0.04\", but should be a number from 0.05 to 1"),
        ("ECS_CLUSTERS", " , ", "ECS_CLUSTERS is \",\", but should be names separated by commas"),
        ("QUOTA_SHARE", "50%", "QUOTA_SHARE is \"50%\""),
        ("QUOTA_SHARE", "NaN", "QUOTA_SHARE is \"NaN\""),
        ("DRY_RUN", "maybe", "DRY_RUN is \"maybe\", but should be true or false"),
        ("ALLOW_HTTP", "x", "ALLOW_HTTP is \"x\", but should be true or false"),
        ("INCLUDE_SCALING", "yes", "INCLUDE_SCALING is \"yes\", but should be true or false"),
        ("KOSLI_HTTP_PROXY", "proxy:x", "KOSLI_HTTP_PROXY is \"proxy:x\", but should be a proxy's"),
        ("HTTPS_PROXY", "http://", "HTTPS_PROXY is \"http://\", but should be a proxy's URL like"),
        ("https_proxy", "http://proxy:99999", "https_proxy is \"http://proxy:99999\", but"),
        ("HTTP_PROXY", "http://proxy:1/x", "HTTP_PROXY is \"http://proxy:1/x\", but should be a"),
        ("http_proxy", "not a proxy", "http_proxy is \"not a proxy\", but should be a proxy's"),
        ("ALL_PROXY", "socks5://proxy:1080", "a proxy of the kind socks5 is not supported"),
        ("all_proxy", "ftp://proxy", "a proxy of the kind ftp is not supported"),
    ];
    for (variable, value, expected) in cases {
        let error = config(&[(variable, value)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{variable}={value}: {error}");
    }
}

/// The configuration with this JSON in `ENVIRONMENTS`, and with these variables.
fn config_with_environments(json: &str, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut all = vec![("KOSLI_ENVIRONMENT", ""), ("ENVIRONMENTS", json)];
    all.extend(variables);
    config(&all)
}

#[test]
fn fields_of_environments_json_are_parsed_like_the_variables_of_a_single_environment() {
    let json = r#"[
        {"name": "prod", "clusters": ["app", "db"], "clusters_regex": "^a,b", "exclude": "x, z",
         "exclude_regex": "y", "services": "s", "services_regex": "t{1,2}",
         "exclude_services": ["u"], "exclude_services_regex": "v", "region": "us-gov-west-1",
         "role_arn": "arn:aws-us-gov:iam::274425519734:role/read/envsnap",
         "external_id": "a1b2:c3", "auto_create": false},
        {"name": "beta", "region": null}
    ]"#;
    let config = config_with_environments(json, &[("AUTO_CREATE_ENVIRONMENT", "true")]).unwrap();
    let [prod, beta] = &config.environments[..] else { panic!("{config:?}") };
    let Scope { clusters, services } = &prod.scope;
    let names =
        |names: &[ClusterRef]| names.iter().map(|n| n.name().to_owned()).collect::<Vec<_>>();
    let pattern = |pattern: &Option<regex_lite::Regex>| pattern.as_ref().unwrap().to_string();
    assert_eq!(names(&clusters.include.names), ["app", "db"]);
    assert_eq!(names(&clusters.exclude.names), ["x", "z"]);
    assert_eq!(
        (&*services.include.names, &*services.exclude.names),
        (&["s".to_owned()][..], &["u".to_owned()][..])
    );
    let filters = [&clusters.include.pattern, &clusters.exclude.pattern].map(pattern);
    assert_eq!(filters, ["^a,b", "y"]);
    let filters = [&services.include.pattern, &services.exclude.pattern].map(pattern);
    assert_eq!(filters, ["t{1,2}", "v"]);
    assert_eq!(prod.source.region.as_deref(), Some("us-gov-west-1"));
    assert_eq!(prod.source.account(), Some("274425519734"));
    assert_eq!(prod.source.role.as_ref().unwrap().external_id.as_deref(), Some("a1b2:c3"));
    assert_eq!((prod.auto_create, beta.auto_create), (false, true));
    assert_eq!((&*beta.name, &beta.source), ("beta", &Source::default()));
    assert!(beta.scope.clusters.is_everything() && beta.scope.services.is_everything());
}

#[test]
fn error_in_environments_json_names_the_index_and_field() {
    let arn =
        |account: &str, name: &str| format!("arn:aws:ecs:eu-central-1:{account}:cluster/{name}");
    let (ours, theirs) = (arn("274425519734", "app"), arn("123456789012", "app"));
    let mixed = format!(r#"[{{"name": "p", "clusters": ["{ours}", "{theirs}"]}}]"#);
    let elsewhere = format!(r#"[{{"name": "p", "clusters": "{ours}", "region": "eu-west-1"}}]"#);
    let role = r#""role_arn": "arn:aws:iam::123456789012:role/r""#;
    let foreign = format!(r#"[{{"name": "p", "clusters": "{ours}", {role}}}]"#);
    for (json, expected) in [
        ("[]", "ENVIRONMENTS should hold an environment at least"),
        ("{}", "ENVIRONMENTS should be a JSON array of objects like"),
        ("[1]", "ENVIRONMENTS should be a JSON array of objects like"),
        (r#"[{"name": "p", "name": "q"}]"#, "\"name\" is in an object twice"),
        ("[{\"name\": ", "EOF while parsing"),
        ("[{}]", "ENVIRONMENTS[0].name is not set: it should be the environment's name"),
        (r#"[{"name": 7}]"#, "ENVIRONMENTS[0].name is 7, but should be a text"),
        (r#"[{"name": "p"}, {"name": "p"}]"#, "ENVIRONMENTS[1].name is \"p\", but an environment"),
        (
            r#"[{"name": "p", "cluster": "a"}]"#,
            "ENVIRONMENTS[0].cluster is not a field of an environment: did you mean clusters? (the fields are name, clusters, clusters_regex, exclude, exclude_regex, services, services_regex, exclude_services, exclude_services_regex, region, role_arn, external_id, auto_create, include_scaling)",
        ),
        (r#"[{"name": "p", "clusters": ["a", 1]}]"#, "ENVIRONMENTS[0].clusters is [\"a\",1], but"),
        (
            r#"[{"name": "p", "clusters": []}]"#,
            "ENVIRONMENTS[0].clusters is [], but should be a list",
        ),
        (r#"[{"name": "p", "services": [" "]}]"#, "ENVIRONMENTS[0].services is [\" \"], but"),
        (r#"[{"name": "p", "clusters": "a*"}]"#, "clusters_regex takes an expression"),
        (r#"[{"name": "p", "services_regex": "("}]"#, "ENVIRONMENTS[0].services_regex is \"(\""),
        (r#"[{"name": "p", "region": "Frankfurt"}]"#, "an AWS region like eu-central-1"),
        (r#"[{"name": "p", "role_arn": "r"}]"#, "ENVIRONMENTS[0].role_arn is \"r\", but should be"),
        (r#"[{"name": "p", "external_id": "a1"}]"#, "but ENVIRONMENTS[0].role_arn is not"),
        (r#"[{"name": "p", "auto_create": "yes"}]"#, "ENVIRONMENTS[0].auto_create is \"yes\""),
        (&mixed, "which is not of account 274425519734 and region eu-central-1"),
        (&elsewhere, "which is not of account 274425519734 and region eu-west-1"),
        (&foreign, "which is not of account 123456789012"),
    ] {
        let error = config_with_environments(json, &[]).unwrap_err().to_string();
        assert!(error.contains(expected), "{json}: {error}");
    }
    let deep = format!("[{{\"name\": {}", "[".repeat(4_000));
    assert!(
        config_with_environments(&deep, &[]).unwrap_err().to_string().contains("recursion limit")
    );
}

#[test]
fn environments_json_together_with_a_variable_of_a_single_environment_is_an_error() {
    for variable in ["KOSLI_ENVIRONMENT", "ECS_CLUSTERS", "ECS_EXCLUDE_SERVICES_REGEX"] {
        let error = config(
            &[("KOSLI_ENVIRONMENT", ""), ("ENVIRONMENTS", r#"[{"name": "p"}]"#)]
                .into_iter()
                .filter(|(name, _)| *name != variable)
                .chain([(variable, "x")])
                .collect::<Vec<_>>(),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains(&format!("ENVIRONMENTS and {variable} are both set")), "{error}");
    }
}

#[test]
fn token_parameter_must_be_the_name_or_arn_of_an_ssm_parameter() {
    let with = |parameter: &str| {
        config(&[("KOSLI_API_TOKEN", ""), ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", parameter)])
    };
    for good in [
        "token",
        "/kosli/token",
        "/aws/reference/secretsmanager/kosli",
        "arn:aws-us-gov:ssm:us-gov-west-1:274425519734:parameter/kosli/token",
    ] {
        assert!(with(good).is_ok(), "{good}");
    }
    for bad in [
        "a b",
        "arn:aws:ssm:eu-central-1:274425519734:document/x",
        "arn:aws:ssm:",
        "arn:aws:secretsmanager:eu-central-1:274425519734:secret:kosli-a1b2c3",
    ] {
        assert!(with(bad).is_err(), "{bad}");
    }
    let secret = with("arn:aws:secretsmanager:eu-central-1:274425519734:secret:k").unwrap_err();
    assert!(secret.to_string().contains("/aws/reference/secretsmanager/NAME"), "{secret}");
}

#[test]
fn all_missing_variables_are_reported_in_one_error() {
    let error = Config::from_lookup(|_| None).unwrap_err().to_string();
    for variable in ["KOSLI_ENVIRONMENT", "KOSLI_ORG", "KOSLI_API_TOKEN"] {
        assert!(error.contains(variable), "{error}");
    }
}

#[test]
fn http_server_url_is_accepted_for_loopback_or_with_allow_http() {
    for good in ["http://localhost:8080", "http://127.8.0.1", "http://[::1]:80"] {
        assert!(config(&[("KOSLI_HOST", good)]).is_ok(), "{good}");
    }
    assert!(config(&[("KOSLI_HOST", "http://recorder"), ("ALLOW_HTTP", "true")]).is_ok());
}

#[test]
fn proxy_variables_take_a_url_or_host_and_port_and_only_kosli_http_proxy_is_kept() {
    for good in ["http://proxy:3128", "proxy.example.com:3128", "https://u:p%40ss@10.0.0.1", "p"] {
        for variable in ["KOSLI_HTTP_PROXY", "HTTPS_PROXY", "all_proxy"] {
            let proxy = config(&[(variable, good)]).unwrap().proxy;
            assert_eq!(proxy.is_some(), variable == "KOSLI_HTTP_PROXY", "{variable}={good}");
        }
    }
    let proxy = config(&[("KOSLI_HTTP_PROXY", "proxy:3128")]).unwrap().proxy.unwrap();
    assert_eq!(proxy.as_str(), "http://proxy:3128/");
}

#[test]
fn misspelt_variable_is_reported_together_with_the_other_errors() {
    let variables = |more: &[(&str, &str)]| {
        let all = REQUIRED_VARIABLES.iter().chain(more);
        Config::from_variables(&all.map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect())
    };
    assert!(variables(&[("ECS_CLUSTERS", "app"), ("ECS_CLUSTER", " ")]).is_ok(), "not set");
    let error = variables(&[("ECS_CLUSTER", "app")]).unwrap_err().to_string();
    assert!(error.contains("rename it to ECS_CLUSTERS, or remove it"), "{error}");
    let error = variables(&[("ECS_CLUSTER", "app"), ("HEARTBEAT", "x")]).unwrap_err().to_string();
    assert!(error.contains("ECS_CLUSTERS") && error.contains("HEARTBEAT is"), "{error}");
}

#[test]
fn include_scaling_is_unset_by_default_and_its_field_takes_precedence_over_the_variable() {
    assert_eq!(config(&[]).unwrap().environments[0].include_scaling, None);
    let off = config(&[("INCLUDE_SCALING", "false")]).unwrap();
    assert_eq!(off.environments[0].include_scaling, Some(false));
    let json = r#"[{"name": "a"}, {"name": "b", "include_scaling": true}]"#;
    let two = config_with_environments(json, &[("INCLUDE_SCALING", "false")]).unwrap().environments;
    assert_eq!((two[0].include_scaling, two[1].include_scaling), (Some(false), Some(true)));
}

#[test]
fn configuration_errors_and_debug_output_contain_no_token_and_no_password() {
    for url in ["u:s3#cr3t@proxy:x", "http://proxy:x?t=s3cr3t@t", "http://u:s3?cr3t@proxy"] {
        for variable in ["KOSLI_HOST", "KOSLI_HTTP_PROXY", "HTTPS_PROXY"] {
            let error = config(&[(variable, url)]).unwrap_err().to_string();
            assert!(!error.contains("s3") && !error.contains("cr3t"), "{variable}: {error}");
        }
    }
    let error = config(&[("KOSLI_API_TOKEN", "s3cr3t s3cr3t")]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    let error = config(&[("KOSLI_HOST", "https://user:s3cr3t@app.kosli.com")]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    let error = config(&[("KOSLI_HOST", "https://app.kosli.com/?token=s3cr3t")]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    let misplaced = ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "{\"token\": \"s3cr3t\"}");
    let error = config(&[("KOSLI_API_TOKEN", ""), misplaced]).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("s3cr3t"), "{error}");
    let misplaced = ("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", "s3cr3t");
    let by_name = config(&[("KOSLI_API_TOKEN", ""), misplaced]).unwrap();
    assert!(!format!("{by_name:?}").contains("s3cr3t"), "{by_name:?}");
    let twice = [("KOSLI_API_TOKEN", "s3cr3t-t0k3n"), ("HEARTBEAT", "s3cr3t-t0k3n")];
    let error = config(&twice).unwrap_err().to_string();
    assert!(error.contains("HEARTBEAT is \"[token]\""), "{error}");
    let config = config(&[("KOSLI_API_TOKEN", "s3cr3t")]).unwrap();
    assert!(!format!("{config:?}").contains("s3cr3t"));
}

#[test]
fn table_of_variables_lists_exactly_those_that_the_configuration_reads() {
    let documented: BTreeSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
    assert_eq!(documented.len(), VARIABLES.len(), "one of them is listed twice");
    let requested = RefCell::new(BTreeSet::new());
    let _incomplete = Config::from_lookup(|name| {
        requested.borrow_mut().insert(name.to_owned());
        None
    });
    // Proxy variables may also be lower case.
    let requested: BTreeSet<_> =
        requested.take().iter().map(|name| name.to_ascii_uppercase()).collect();
    assert_eq!(requested, documented.into_iter().map(str::to_owned).collect());
}

#[test]
fn setting_a_variable_to_its_documented_default_does_not_change_the_configuration() {
    let plain = format!("{:?}", config(&[]).unwrap());
    let mut checked = 0;
    for variable in VARIABLES {
        if let DefaultValue::Literal(value) = variable.default {
            let explicit = format!("{:?}", config(&[(variable.name, value)]).unwrap());
            assert_eq!(explicit, plain, "{} set to its default", variable.name);
            checked += 1;
        }
    }
    assert!(checked >= 8, "only {checked}");
}

#[test]
fn every_field_in_the_table_is_known_in_environments_json() {
    let every: serde_json::Map<_, _> =
        FIELDS.iter().map(|field| (field.name.to_owned(), serde_json::json!(1))).collect();
    let json = serde_json::json!([every]).to_string();
    let error = config_with_environments(&json, &[]).unwrap_err().to_string();
    assert_eq!(error.matches(" is 1, but should be ").count(), FIELDS.len(), "{error}");
}

#[test]
fn environments_ssm_path_excludes_other_environment_variables_and_a_token_below_it() {
    const PATH_VARIABLE: &str = "ENVIRONMENTS_SSM_PATH";
    let of = |path: &str, token: &str, more: &[(&str, &str)]| {
        let mut all =
            vec![("KOSLI_ENVIRONMENT", ""), (PATH_VARIABLE, path), ("KOSLI_API_TOKEN", "")];
        all.push(("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", token));
        all.splice(0..0, more.iter().copied());
        config(&all)
    };
    let good = of("/envsnap/environments/", "/envsnap/token", &[]).unwrap();
    let creation = CreationPolicy { auto_create: false, include_scaling: None };
    let path = EnvironmentsPath { path: "/envsnap/environments".to_owned(), creation };
    assert_eq!(good.environments_path, Some(path));
    assert!(good.environments.is_empty());
    assert!(of("/envsnap/environments", "/envsnap/environments-token", &[]).is_ok());
    let arn = "arn:aws:ssm:eu-central-1:274425519734:parameter/envsnap/environments/token";
    for (path, token, more, expected) in [
        ("/e", "/e/token", vec![], "the parameter of the API token is under it"),
        ("/envsnap/environments", arn, vec![], "the parameter of the API token is under it"),
        ("e", "/t", vec![], "ENVIRONMENTS_SSM_PATH is \"e\", but should be a path"),
        ("/a//b", "/t", vec![], "but should be a path"),
        ("/", "/t", vec![], "but should be a path"),
        ("/e", "/t", vec![("ENVIRONMENTS", "[]")], "and ENVIRONMENTS are both set"),
        ("/e", "/t", vec![("ECS_CLUSTERS", "app")], "and ECS_CLUSTERS are both set"),
        ("/e", "/t", vec![("KOSLI_ENVIRONMENT", "e")], "and KOSLI_ENVIRONMENT are both set"),
    ] {
        let error = of(path, token, &more).unwrap_err().to_string();
        assert!(error.contains(expected), "{path} {token}: {error}");
    }
}

#[test]
fn list_is_accepted_for_names_and_refused_for_an_expression() {
    for field in ["clusters", "exclude", "services", "exclude_services"] {
        let of = |field: &str| {
            let json = serde_json::json!([{"name": "prod", field: ["^a", "^b"]}]).to_string();
            config_with_environments(&json, &[]).map_err(|error| error.to_string())
        };
        let names = serde_json::json!([{"name": "prod", field: ["a", "b"]}]).to_string();
        assert!(config_with_environments(&names, &[]).is_ok(), "{field}");
        let error = of(&format!("{field}_regex")).unwrap_err();
        assert!(error.contains("should be one regular expression, such as ^a|^b"), "{error}");
    }
}
