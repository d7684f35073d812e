//! The API token in everything that the program writes, looked for in every failure.

use std::io::Read;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use envsnap::config::Config;
use envsnap::report::ConnectedReporter;
use envsnap::standin::{Fault, Operation, StandIn};
use serde_json::json;

use crate::harness::{ENVIRONMENT, app, aws};
use crate::runtime_api::Function;
use crate::scripted::Scripted;

/// API token with characters that JSON strings and URLs escape.
const TOKEN: &str = "s3cr3t/T0k+en\"of\\acme==";

/// The token as it is, percent-encoded and in Base64, as it may appear within a longer text.
fn token_encodings() -> Vec<String> {
    let in_url = |hex: fn(u8) -> String| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let byte = |b| if plain(b) { char::from(b).to_string() } else { hex(b) };
        TOKEN.bytes().map(byte).collect::<String>()
    };
    let mut forms = vec![
        TOKEN.to_owned(),
        in_url(|byte| format!("%{byte:02X}")),
        in_url(|byte| format!("%{byte:02x}")),
        // A piece that no form changes.
        "s3cr3t".to_owned(),
        "S3CR3T".to_owned(),
    ];
    for before in 0..3 {
        // The characters that hold nothing but bits of the token.
        let text = base64(&[vec![0; before], TOKEN.as_bytes().to_vec()].concat());
        forms.push(text[(before * 8).div_ceil(6)..(before + TOKEN.len()) * 8 / 6].to_owned());
    }
    forms
}

fn base64(bytes: &[u8]) -> String {
    const BASE64_DIGITS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    bytes
        .chunks(3)
        .flat_map(|chunk| {
            let byte = |at| u32::from(*chunk.get(at).unwrap_or(&0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            [18, 12, 6, 0].map(|shift| char::from(BASE64_DIGITS[(bits >> shift) as usize & 63]))
        })
        .collect()
}

#[track_caller]
fn assert_no_token(text: &str, place: &str) {
    // However often a text was written as JSON into another, only backslashes came with it.
    let unescaped = text.replace('\\', "");
    for form in token_encodings() {
        let found = text.contains(&form) || unescaped.contains(&form.replace('\\', ""));
        let line = unescaped.lines().find(|line| line.contains(&form.replace('\\', "")));
        assert!(!found, "{place} holds {form}: {}", line.unwrap_or(text));
    }
}

#[test]
fn assert_no_token_panics_on_plain_json_escaped_base64_and_percent_encoded_token() {
    let json = json!({"message": format!("Bearer {TOKEN}")}).to_string();
    for text in [
        format!("Bearer {TOKEN}"),
        json.clone(),
        json!({ "log": json }).to_string(),
        base64(format!("x:{TOKEN}").as_bytes()),
        base64(format!("xy:{TOKEN}").as_bytes()),
        base64(TOKEN.as_bytes()),
        "?t=s3cr3t%2FT0k%2Ben%22of%5Cacme%3D%3D".to_owned(),
    ] {
        let found = std::panic::catch_unwind(|| assert_no_token(&text, "it"));
        assert!(found.is_err(), "{text}");
    }
}

/// The Lambda function's process, whose responses, standard output and standard error are kept, to
/// be searched for the token.
struct CapturedFunction {
    function: Function,
    answers: Vec<String>,
    /// Standard output and standard error, read as they come: a full pipe would stop the function.
    written: [JoinHandle<String>; 2],
}

fn read_to_end_in_thread(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        from.read_to_string(&mut text).unwrap();
        text
    })
}

impl CapturedFunction {
    /// Starts the function with the endpoints of ECS and SSM, the URL of the server, and more
    /// environment variables.
    async fn start(ecs: &str, ssm: &str, server: &str, more: &[(&str, &str)]) -> Self {
        let mut variables = vec![
            ("AWS_ENDPOINT_URL", ecs),
            ("AWS_ENDPOINT_URL_SSM", ssm),
            ("AWS_REGION", "eu-central-1"),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_MAX_ATTEMPTS", "1"),
            ("KOSLI_HOST", server),
            ("KOSLI_ORG", "acme"),
            ("KOSLI_ENVIRONMENT", ENVIRONMENT),
            ("ECS_CLUSTERS", "app"),
            ("RECHECK", "0s"),
            ("QUOTA_SHARE", "1"),
            ("RUST_LOG", "trace"),
            ("RUST_BACKTRACE", "full"),
            ("AWS_LAMBDA_LOG_LEVEL", "TRACE"),
        ];
        variables.extend(more);
        let mut function = Function::start_with(&variables, Stdio::piped()).await;
        let out = read_to_end_in_thread(function.child.stdout.take().unwrap());
        let err = read_to_end_in_thread(function.child.stderr.take().unwrap());
        Self { function, answers: Vec::new(), written: [out, err] }
    }

    /// The body of the response to this event, which is kept for the search.
    async fn invoke(&mut self, event: &str, timeout: Duration) -> &str {
        let invocation = self.function.invoke_within(event, timeout).await;
        self.answers.push(invocation.body.to_string());
        self.answers.last().unwrap()
    }

    /// Ends the process, and panics if the token is in a response or in its output.
    fn kill_and_assert_no_token(mut self, place: &str) {
        self.function.child.kill().unwrap();
        self.function.child.wait().unwrap();
        let [out, err] = self.written.map(|text| text.join().unwrap());
        assert!(!self.answers.is_empty() && !out.is_empty(), "{place}: there is nothing to search");
        for answer in &self.answers {
            assert_no_token(answer, &format!("{place}: an answer"));
        }
        assert_no_token(&out, &format!("{place}: standard output"));
        assert_no_token(&err, &format!("{place}: standard error"));
    }
}

/// Lambda timeout that is long enough for the first attempt of a call, and too short for retries.
const FIRST_ATTEMPT_TIMEOUT: Duration = Duration::from_millis(1_700);
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn token_echoed_by_a_failing_server_is_not_in_responses_or_logs() {
    let ecs = StandIn::start(app()).await.unwrap();
    let server = Scripted::start().await;
    server.environment_is(&json!({"name": TOKEN, "type": "ECS", "include_scaling": true}));
    let given = [("KOSLI_API_TOKEN", TOKEN)];
    let mut searched = CapturedFunction::start(&ecs.endpoint(), "", &server.url, &given).await;
    searched.invoke("{}", FIRST_ATTEMPT_TIMEOUT).await;

    let in_url = &token_encodings()[1];
    let echo = [
        format!("you sent Authorization: Bearer {TOKEN}"),
        json!({"message": format!("Bearer {TOKEN}"), "errors": {TOKEN: TOKEN}}).to_string(),
        json!({"message": {"authorization": TOKEN}}).to_string(),
        format!("<a href=\"/login?token={in_url}\">Sign in</a>"),
        format!("AUTHORIZATION: BEARER {}", TOKEN.to_uppercase()),
        format!("Basic {}", base64(format!("user:{TOKEN}").as_bytes())),
        // Cut within the token.
        format!("{}{TOKEN}", "x".repeat(490)),
    ];
    let location = format!("https://elsewhere.example/?token={in_url}");
    for body in &echo {
        for status in [200, 301, 400, 401, 403, 404, 409, 429, 500, 501, 503] {
            let headers =
                [("retry-after", "3600"), ("location", location.as_str()), ("x-echo", in_url)];
            server.then_with(status, &headers, body.clone());
            let answer = searched.invoke("{}", INVOCATION_TIMEOUT).await;
            assert!(answer.contains("errorType"), "{status} {answer}");
        }
        // A snapshot that is read, and a report that is not taken.
        let latest = json!({"index": 1, "type": "ECS", "artifacts": []});
        server.then_json(200, &latest).then_json(200, &latest).then(400, body.clone());
        assert!(searched.invoke("{}", INVOCATION_TIMEOUT).await.contains("record what runs"));
    }
    let other = json!({"index": 1, "type": format!("K8S {TOKEN}"), "artifacts": []});
    server.then_json(200, &other);
    searched.invoke("{}", INVOCATION_TIMEOUT).await;
    let named = json!({"index": 1, "type": "ECS", "artifacts": [
        {"name": TOKEN, "fingerprint": TOKEN, "annotation": {"now": 1}}]});
    server.then_json(200, &named).then(201, "\"OK\"");
    searched.invoke("{}", INVOCATION_TIMEOUT).await;
    server.then_never();
    searched.invoke("{}", FIRST_ATTEMPT_TIMEOUT).await;
    searched.kill_and_assert_no_token("the server");
}

#[tokio::test]
async fn token_is_not_in_responses_or_logs_if_ecs_fails_or_the_event_is_invalid() {
    let ecs = StandIn::start(app()).await.unwrap();
    let server = Scripted::start().await;
    let given = [("KOSLI_API_TOKEN", TOKEN)];
    let mut searched = CapturedFunction::start(&ecs.endpoint(), "", &server.url, &given).await;
    for fault in [
        Fault::AccessDenied,
        Fault::throttling(),
        Fault::server_error(),
        Fault::html(),
        Fault::empty(),
        Fault::HalfAnswer,
        Fault::Reset,
        Fault::NoResponse,
        Fault::json("{\"taskArns\": 7}"),
    ] {
        ecs.faults(|faults| {
            faults.always(Operation::ListTasks, fault.clone());
        });
        let answer = searched.invoke("{}", FIRST_ATTEMPT_TIMEOUT).await;
        assert!(answer.contains("errorType"), "{fault:?} {answer}");
    }
    let deep = "[".repeat(1 << 20);
    for event in ["[]", "{\"forse\": 1}", "{\"environment\": \"e\"}", "{\"source\": \"x\"}", &deep]
    {
        assert!(searched.invoke(event, INVOCATION_TIMEOUT).await.contains("errorType"));
    }
    drop(ecs);
    searched.invoke("{}", FIRST_ATTEMPT_TIMEOUT).await;
    searched.kill_and_assert_no_token("ECS and events");
}

#[tokio::test]
async fn token_is_not_in_responses_or_logs_if_its_ssm_parameter_is_invalid_or_denied() {
    let parameter = |value: &str| json!({"Parameter": {"Name": TOKEN, "Value": value}});
    let refused = |code: &str, name: &str| {
        let message = format!("not authorized: ssm:GetParameter on parameter/{name}");
        json!({"__type": code, "message": message})
    };
    for (name, status, body) in [
        ("/kosli/token", 200, parameter(TOKEN)),
        ("/kosli/token", 200, parameter(&format!("{{\"token\": \"{TOKEN}\"}}"))),
        ("/kosli/token", 200, parameter(&format!("{TOKEN} {TOKEN}"))),
        ("/kosli/token", 200, json!({"Parameter": {"Value": {"token": TOKEN}}})),
        ("/kosli/token", 200, json!(TOKEN)),
        ("/kosli/token", 400, refused("ParameterNotFound", "kosli/token")),
        (
            TOKEN_LIKE_PARAMETER_NAME,
            400,
            refused("AccessDeniedException", TOKEN_LIKE_PARAMETER_NAME),
        ),
        (TOKEN_LIKE_PARAMETER_NAME, 200, parameter("")),
    ] {
        let ecs = StandIn::start(app()).await.unwrap();
        let (ssm, server) = (Scripted::start().await, Scripted::start().await);
        for _ in 0..8 {
            ssm.then_json(status, &body);
            server.then(403, format!("Bearer {TOKEN}"));
        }
        let by_name = [("KOSLI_API_TOKEN_SSM_PARAMETER_ARN", name)];
        let mut searched =
            CapturedFunction::start(&ecs.endpoint(), &ssm.url, &server.url, &by_name).await;
        let answer = searched.invoke("{}", INVOCATION_TIMEOUT).await;
        assert!(answer.contains("errorType"), "{answer}");
        assert!(ssm.received().len() > 1, "SSM was called");
        searched.kill_and_assert_no_token(name);
    }
}

/// A token that could be the name of an SSM parameter.
const TOKEN_LIKE_PARAMETER_NAME: &str = "s3cr3tT0kenOfAcme";

#[tokio::test]
async fn token_is_not_in_errors_of_an_invalid_configuration() {
    let in_host = format!("https://user:{TOKEN}@app.kosli.com");
    let in_query = format!("https://app.kosli.com/?token={TOKEN}");
    let json = json!({"token": TOKEN}).to_string();
    let in_list = json!([{"name": TOKEN, TOKEN: TOKEN, "region": TOKEN}]).to_string();
    let parameter = "KOSLI_API_TOKEN_SSM_PARAMETER_ARN";
    let cases: &[&[(&str, &str)]] = &[
        &[(parameter, TOKEN)],
        &[(parameter, &json)],
        &[(parameter, TOKEN), ("KOSLI_API_TOKEN", TOKEN)],
        &[("KOSLI_API_TOKEN", &json)],
        &[("KOSLI_API_TOKEN", "s3cr3t s3cr3t")],
        &[("KOSLI_HOST", &in_host), ("KOSLI_API_TOKEN", TOKEN)],
        &[("KOSLI_HOST", &in_query), ("KOSLI_API_TOKEN", TOKEN)],
        &[("HEARTBEAT", TOKEN), ("KOSLI_ORG", TOKEN), ("KOSLI_API_TOKEN", TOKEN)],
        &[("ECS_CLUSTERS", TOKEN), ("ECS_CLUSTERS_REGEX", "("), ("KOSLI_API_TOKEN", TOKEN)],
        &[("KOSLI_ENVIRONMENT", ""), ("ENVIRONMENTS", &in_list), ("KOSLI_API_TOKEN", TOKEN)],
    ];
    for case in cases {
        let mut searched = CapturedFunction::start("", "", "http://127.0.0.1:9", case).await;
        let answer = searched.invoke("{}", INVOCATION_TIMEOUT).await;
        assert!(answer.contains("ConfigError"), "{answer}");
        searched.kill_and_assert_no_token(case[0].0);
    }
}

#[tokio::test]
async fn token_is_not_in_envsnap_report_output_nor_in_debug_output_of_config_and_reporter() {
    let ecs = StandIn::start(app()).await.unwrap();
    let server = Scripted::start().await;
    let endpoint = ecs.endpoint();
    let variables = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test"),
        ("KOSLI_HOST", server.url.as_str()),
        ("KOSLI_ORG", "acme"),
        ("KOSLI_ENVIRONMENT", ENVIRONMENT),
        ("KOSLI_API_TOKEN", TOKEN),
        ("ECS_CLUSTERS", "app"),
        ("RUST_LOG", "trace"),
    ];
    for (status, format) in [(401, "json"), (400, "table"), (200, "json")] {
        server.then(status, format!("Bearer {TOKEN}"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_envsnap"));
        command.args(["report", "--explain", "-o", format]).env_clear().envs(variables);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(!output.status.success());
        for text in [output.stdout, output.stderr] {
            assert_no_token(&String::from_utf8_lossy(&text), "envsnap report");
        }
    }

    let lookup = |name: &str| {
        variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    let config = Config::from_lookup(lookup).unwrap();
    assert_no_token(&format!("{config:?} {config:#?}"), "the configuration");
    let reporter = ConnectedReporter::connect(config, &aws(&endpoint)).await.unwrap();
    reporter.warm_up().await;
    assert_no_token(&format!("{reporter:?} {reporter:#?}"), "the reporter");
}
