//! `envsnap check` of several environments: in their own regions and roles, and configured in SSM.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::check::{results, row};
use crate::command_line::text;
use crate::roles::{ASSUMABLE_ROLE, CALLER_ARN, DENIED_ROLE, NO_LIST_TASKS_ROLE, start_aws};
use crate::scripted::Scripted;

const SSM_PATH: &str = "/envsnap/environments";

/// The JSON document of `envsnap check` with these variables, and whether the exit code is 0.
async fn run_check(endpoint: &str, variables: &[(&str, &str)]) -> (Value, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_envsnap"));
    command
        .args(["check", "-o", "json"])
        .env_clear()
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "test")
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .envs(variables.iter().copied())
        .stdin(Stdio::null());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let document = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    (document, output.status.success())
}

/// Environments in two regions and in each of the roles.
fn environments_of_all_roles() -> Value {
    json!([
        {"name": "own", "clusters": "app"},
        {"name": "west", "clusters": "app", "region": "eu-west-1"},
        {"name": "ours", "clusters": "app", "role_arn": ASSUMABLE_ROLE, "external_id": "a1b2"},
        {"name": "ours-too", "clusters": "app", "role_arn": ASSUMABLE_ROLE, "external_id": "a1b2"},
        {"name": "closed", "clusters": "app", "role_arn": DENIED_ROLE},
        {"name": "narrow", "clusters": "app", "role_arn": NO_LIST_TASKS_ROLE},
    ])
}

#[tokio::test(flavor = "multi_thread")]
async fn each_account_region_and_role_has_its_own_check_rows() {
    let (endpoint, assumed) = start_aws().await;
    let (document, is_ok) =
        run_check(&endpoint, &[("ENVIRONMENTS", &environments_of_all_roles().to_string())]).await;
    assert!(!is_ok && document["ok"] == false, "{document:#}");
    let found = results(&document);
    let region = |action: &str, region: &str| format!("{action} ({region})");
    let role = |action: &str, role: &str| format!("{action} (eu-central-1, {role})");
    for (check, result) in [
        ("region".to_owned(), "OK"),
        (region("ecs:ListTasks", "eu-central-1"), "OK"),
        (region("ecs:ListTasks", "eu-west-1"), "OK"),
        (role("sts:AssumeRole", ASSUMABLE_ROLE), "OK"),
        (role("ecs:ListTasks", ASSUMABLE_ROLE), "OK"),
        (role("sts:AssumeRole", DENIED_ROLE), "FAILED"),
        (role("ecs:ListTasks", DENIED_ROLE), "SKIPPED"),
        (role("sts:AssumeRole", NO_LIST_TASKS_ROLE), "OK"),
        (role("ecs:ListTasks", NO_LIST_TASKS_ROLE), "FAILED"),
        (role("ecs:DescribeTasks", NO_LIST_TASKS_ROLE), "OK"),
        ("reading own".to_owned(), "OK"),
        ("reading west".to_owned(), "OK"),
        ("reading ours".to_owned(), "OK"),
        ("reading ours-too".to_owned(), "OK"),
        ("reading closed".to_owned(), "SKIPPED"),
        ("reading narrow".to_owned(), "SKIPPED"),
        ("environment closed".to_owned(), "SKIPPED"),
    ] {
        let wanted = format!("{check} {result}");
        let times = found.iter().filter(|found| **found == wanted).count();
        assert_eq!(times, 1, "{wanted}: {document:#}");
    }
    let failed = found.iter().filter(|result| result.ends_with("FAILED"));
    assert_eq!(failed.count(), 2, "{found:?}");
    assert_eq!(row(&document, "region")["detail"], "eu-central-1, eu-west-1");

    let closed = row(&document, &role("sts:AssumeRole", DENIED_ROLE));
    assert!(closed["remedy"].as_str().unwrap().contains("it has to trust"), "{closed}");
    let statement = json!({"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": DENIED_ROLE});
    assert_eq!(closed["statement"], statement);
    let narrow = row(&document, &role("ecs:ListTasks", NO_LIST_TASKS_ROLE));
    assert!(narrow["remedy"].as_str().unwrap().ends_with(NO_LIST_TASKS_ROLE), "{narrow}");
    let cluster = "arn:aws:ecs:eu-central-1:666666666666:cluster/*";
    assert_eq!(narrow["statement"]["Condition"]["ArnLike"]["ecs:cluster"], cluster);
    let external_id = Some("a1b2".to_owned());
    assert!(assumed.lock().unwrap().contains(&(ASSUMABLE_ROLE.to_owned(), external_id)));
    let deployment = document["deployment"].as_str().unwrap();
    let roles = format!("RoleArns={ASSUMABLE_ROLE},{DENIED_ROLE},{NO_LIST_TASKS_ROLE}");
    assert!(deployment.contains(&roles) && deployment.contains("Environments="), "{deployment}");
    assert!(!deployment.contains("KosliEnvironment"), "{deployment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rejected_credentials_skip_the_assume_role_check_of_each_role() {
    let (endpoint, _) = start_aws().await;
    let sts = Scripted::start().await;
    let expired = "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>\
                   <Code>ExpiredToken</Code><Message>It is too old</Message></Error></ErrorResponse>";
    sts.then(403, expired);
    let environments = environments_of_all_roles().to_string();
    let variables = [("ENVIRONMENTS", &*environments), ("AWS_ENDPOINT_URL_STS", &sts.url)];
    let (document, is_ok) = run_check(&endpoint, &variables).await;
    assert!(!is_ok);
    for role in [ASSUMABLE_ROLE, DENIED_ROLE, NO_LIST_TASKS_ROLE] {
        let skipped = row(&document, &format!("sts:AssumeRole (eu-central-1, {role})"));
        assert_eq!(skipped["result"], "SKIPPED");
        assert_eq!(skipped["detail"], "AWS does not accept the credentials");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn environments_from_ssm_are_checked_like_those_from_variables() {
    let (endpoint, _) = start_aws().await;
    let ssm = Scripted::start().await;
    let parameter = |name: &str, value: &Value| json!({"Name": format!("{SSM_PATH}/{name}"), "Type": "String", "Value": value.to_string()});
    ssm.then_json(
        200,
        &json!({"Parameters": [
            parameter("ours", &json!({"clusters": "app", "role_arn": ASSUMABLE_ROLE})),
            parameter("own", &json!({"clusters": "app"})),
            parameter("misspelt", &json!({"cluster": "app"})),
        ]}),
    );
    let variables = [("ENVIRONMENTS_SSM_PATH", SSM_PATH), ("AWS_ENDPOINT_URL_SSM", &ssm.url)];
    let (document, is_ok) = run_check(&endpoint, &variables).await;
    assert!(!is_ok, "{document:#}");
    let parameters = row(&document, "ssm:GetParametersByPath");
    assert_eq!(parameters["result"], "OK");
    assert_eq!(parameters["detail"], format!("2 environments and 1 not valid under {SSM_PATH}"));
    for check in [
        "ecs:ListTasks (eu-central-1)",
        &format!("sts:AssumeRole (eu-central-1, {ASSUMABLE_ROLE})"),
        "reading ours",
        "reading own",
    ] {
        assert_eq!(row(&document, check)["result"], "OK", "{document:#}");
    }
    let misspelt = row(&document, "reading misspelt");
    assert_eq!(misspelt["result"], "FAILED");
    assert!(misspelt["detail"].as_str().unwrap().contains("did you mean clusters?"), "{misspelt}");
    assert_eq!(row(&document, "environment own")["result"], "SKIPPED", "no server is configured");
    let deployment = document["deployment"].as_str().unwrap();
    assert!(deployment.contains(&format!("EnvironmentsPath={SSM_PATH}")), "{deployment}");
    assert!(deployment.contains(&format!("RoleArns={ASSUMABLE_ROLE}")), "{deployment}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unreadable_ssm_path_fails_its_check_and_skips_the_others_with_a_row_each() {
    let (endpoint, _) = start_aws().await;
    let ssm = Scripted::start().await;
    let denied = json!({"__type": "AccessDeniedException", "message": "not authorized"});
    ssm.then_json(400, &denied);
    let variables = [("ENVIRONMENTS_SSM_PATH", SSM_PATH), ("AWS_ENDPOINT_URL_SSM", &ssm.url)];
    let (document, is_ok) = run_check(&endpoint, &variables).await;
    assert!(!is_ok, "{document:#}");
    let parameters = row(&document, "ssm:GetParametersByPath");
    assert_eq!(parameters["result"], "FAILED");
    assert!(parameters["remedy"].as_str().unwrap().contains("ssm:GetParametersByPath"));
    let account = CALLER_ARN.split(':').nth(4).unwrap();
    let resource = format!("arn:aws:ssm:eu-central-1:{account}:parameter{SSM_PATH}");
    assert_eq!(parameters["statement"]["Resource"], resource);
    for check in ["ecs:ListTasks", "reading"] {
        let skipped = row(&document, check);
        assert_eq!(skipped["result"], "SKIPPED");
        assert_eq!(skipped["detail"], "the environments in SSM are not known");
    }
    let environment = row(&document, "environment");
    assert_eq!(environment["detail"], "no valid environment is configured");

    let (document, _) =
        run_check(&endpoint, &[&variables[..], &[("AWS_REGION", "")]].concat()).await;
    let region = row(&document, "region");
    assert_eq!(region["result"], "FAILED", "{document:#}");
    assert!(region["remedy"].as_str().unwrap().starts_with("Set AWS_REGION"), "{region}");
    assert_eq!(row(&document, "ssm:GetParametersByPath")["detail"], "no region is known");
}
