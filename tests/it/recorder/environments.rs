use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::schema;
use super::server::{Recorder, digest, task};

#[tokio::test]
async fn get_environment_returns_exactly_the_documented_fields() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(true)).await;
    let answer = recorder.get("/environments/acme/aws-prod").await;
    assert_eq!(
        answer.documented("Environment"),
        json!({
            "org": "acme", "name": "aws-prod", "type": "ECS", "description": "d",
            "last_modified_at": 1_661_161_162.5, "last_reported_at": null,
            "last_changed_at": null, "state": null, "include_scaling": true, "tags": {},
            "policies": null, "included_environments": null,
        })
    );
}

#[tokio::test]
async fn put_of_an_existing_environment_changes_only_the_given_settings() {
    let recorder = Recorder::start().await;
    let save = async |body: Value| {
        let answer = recorder.put("/environments/acme", body.to_string()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let shown = recorder.get("/environments/acme/aws-prod").await.body;
        ["description", "include_scaling", "policies"].map(|field| shown[field].clone())
    };
    let environment = |more: Value| {
        let mut body = json!({"name": "aws-prod", "type": "ECS", "description": "d"});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    assert_eq!(save(environment(json!({}))).await, [json!("d"), json!(true), json!(null)]);
    assert_eq!(
        save(environment(json!({"include_scaling": false, "policies": ["p"]}))).await,
        [json!("d"), json!(false), json!(["p"])]
    );
    assert_eq!(
        save(environment(json!({"description": "e", "include_scaling": null}))).await,
        [json!("e"), json!(false), json!(["p"])]
    );
    assert_eq!(
        save(environment(json!({"include_scaling": true, "policies": []}))).await,
        [json!("d"), json!(true), json!([])]
    );
}

#[tokio::test]
async fn the_type_of_an_environment_cannot_change() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    let body = json!({"name": "aws-prod", "type": "logical", "description": ""}).to_string();
    let answer = recorder.put("/environments/acme", body).await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer.message(),
        "Environment named 'aws-prod' for organization 'acme' is of type 'ECS', not 'logical'"
    );
}

#[tokio::test]
async fn creating_an_environment_of_an_unsupported_type_is_refused_with_the_reason() {
    let recorder = Recorder::start().await;
    for kind in ["K8S", "S3", "lambda", "server", "docker", "azure-apps", "cloud-run"] {
        let body = json!({"name": "other", "type": kind, "description": ""}).to_string();
        let refused = recorder.put("/environments/acme", body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{kind}");
        let reason = refused.body["errors"]["type"].as_str().unwrap();
        assert!(reason.contains(&format!("cannot be {kind}: this recorder takes")), "{reason}");
    }
    assert_eq!(recorder.get("/environments/acme").await.body, json!([]));
}

#[tokio::test]
async fn patch_of_an_environment_changes_only_the_given_settings() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", Some(true)).await;
    let path = "/api/v2/environments/acme/aws-prod";
    let change = async |body: Value| {
        recorder.advance(1.0);
        recorder.send(Method::PATCH, path, Some("any"), body.to_string()).await
    };
    let shown = async || {
        let shown = recorder.get("/environments/acme/aws-prod").await.body;
        ["description", "include_scaling", "policies", "last_modified_at"]
            .map(|field| shown[field].clone())
    };
    let start = 1_661_161_162.5;
    let cases = [
        (json!({"description": "e"}), json!(["e", true, null, start + 1.0])),
        (json!({"include_scaling": false}), json!(["e", false, null, start + 2.0])),
        (json!({"policies": ["p"]}), json!(["e", false, ["p"], start + 3.0])),
        (json!({"description": null, "policies": null}), json!(["e", false, ["p"], start + 3.0])),
        (json!({}), json!(["e", false, ["p"], start + 3.0])),
    ];
    let mut head = None;
    for (body, expected) in cases {
        let changed = change(body.clone()).await;
        assert_eq!((changed.status, &changed.body), (StatusCode::OK, &json!("OK")), "{body}");
        assert_eq!(json!(shown().await), expected, "{body}");
        head = changed.head;
    }
    assert!(head.unwrap().starts_with("org=acme; seq=4;"), "what changes nothing is no entry");
    for (body, field) in [
        (json!({"name": "x"}), "name"),
        (json!({"type": "ECS"}), "type"),
        (json!({"description": 1}), "description"),
        (json!({"policies": "p"}), "policies"),
    ] {
        let refused = change(body).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST);
        assert!(refused.body["errors"][field].is_string(), "{refused:?}");
    }
    let nowhere = "/api/v2/environments/acme/nowhere";
    let missing = recorder.send(Method::PATCH, nowhere, Some("any"), "{}").await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn environment_of_another_organization_is_404_and_not_listed() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    let other = recorder.get("/environments/other/aws-prod").await;
    assert_eq!(other.status, StatusCode::NOT_FOUND);
    assert_eq!(
        other.message(),
        "Environment named 'aws-prod' does not exist for organization 'other'"
    );
    assert_eq!(recorder.get("/environments/other").await.body, json!([]));

    let body = json!({"name": "aws-prod", "type": "ECS", "description": ""}).to_string();
    let refused = recorder.put("/environments/no%2Forg", body).await;
    assert_eq!(refused.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn environments_are_listed_by_name_whole_or_in_pages() {
    let recorder = Recorder::start().await;
    for name in ["c", "a", "e", "b", "d"] {
        recorder.create(name, None).await;
    }
    let names = |list: &Value| -> String {
        list.as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect()
    };
    assert_eq!(names(&recorder.get("/environments/acme").await.body), "abcde");

    let cases = [
        ("page=1&per_page=2", "ab", 3, json!(null), json!(2)),
        ("page=3&per_page=2", "e", 3, json!(2), json!(null)),
        ("page=9&per_page=2", "", 3, json!(8), json!(null)),
        ("page=1", "abcde", 1, json!(null), json!(null)),
        ("per_page=4", "abcd", 2, json!(null), json!(2)),
        ("page=4294967295&per_page=4294967295", "", 1, json!(4_294_967_294_u32), json!(null)),
    ];
    for (query, expected, pages, previous, next) in cases {
        let page = recorder.get(&format!("/environments/acme?{query}")).await.body;
        assert_eq!(names(&page["environments"]), expected, "{query}");
        assert_eq!((&page["total_count"], &page["total_pages"]), (&json!(5), &json!(pages)));
        for (link, number) in [("prev", previous), ("next", next)] {
            let expected = number.as_u64().map(|number| {
                format!("/api/v2/environments/acme?page={number}&per_page={}", page["per_page"])
            });
            assert_eq!(page["_links"][link], json!(expected), "{query}");
        }
    }
    for query in ["page=0", "per_page=0", "page=x", "page=-1", "page=4294967296", "page="] {
        let refused = recorder.get(&format!("/environments/acme?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn environment_list_is_filtered_and_sorted_by_query_parameters() {
    let recorder = Recorder::start().await;
    for (name, kind) in
        [("Prod-eu", "ECS"), ("prod-us", "ECS"), ("staging", "logical"), ("beta", "logical")]
    {
        let body = json!({"name": name, "type": kind, "description": ""}).to_string();
        recorder.put("/environments/acme", body).await;
        recorder.advance(1.0);
    }
    recorder.report("prod-us", &[task(1, "web", &digest(1), 10)]).await;
    recorder.advance(1.0);
    recorder.report("Prod-eu", &[task(1, "web", &digest(1), 10)]).await;
    recorder.advance(1.0);
    recorder.report("prod-us", &[task(1, "web", &digest(1), 10)]).await;

    let all = "Prod-eu beta prod-us staging";
    let cases = [
        ("", all),
        ("?", all),
        ("?name=", all),
        ("?name=PROD", "Prod-eu prod-us"),
        ("?name=prod-e", "Prod-eu"),
        ("?name=%25", ""),
        ("?name=_", ""),
        ("?name=nowhere", ""),
        ("?type=ECS", "Prod-eu prod-us"),
        ("?type=K8S&type=logical", "beta staging"),
        ("?type=S3", ""),
        ("?name=a&type=logical", "beta staging"),
        ("?tag=team", ""),
        ("?tag=team:x&name=prod", ""),
        ("?space_id=1", ""),
        ("?sort=name", all),
        ("?sort=name&sort_direction=desc", "staging prod-us beta Prod-eu"),
        ("?sort_direction=desc", "staging prod-us beta Prod-eu"),
        ("?sort=last_modified_at", "staging beta Prod-eu prod-us"),
        ("?sort=last_modified_at&sort_direction=desc", "prod-us Prod-eu beta staging"),
        // What never changed comes last.
        ("?sort=last_changed_at", "prod-us Prod-eu beta staging"),
        ("?sort=last_changed_at&sort_direction=desc", "Prod-eu prod-us beta staging"),
        ("?unknown=1", all),
    ];
    for (query, expected) in cases {
        let list = recorder.get(&format!("/environments/acme{query}")).await;
        assert_eq!(list.status, StatusCode::OK, "{query} {list:?}");
        let names: Vec<_> = list.body.as_array().unwrap().iter().map(|it| &it["name"]).collect();
        let expected: Vec<_> = expected.split_whitespace().collect();
        assert_eq!(names, expected, "{query}");
        for environment in list.body.as_array().unwrap() {
            schema::check("Environment", environment);
        }
    }

    let page = recorder.get("/environments/acme?name=prod&page=1&per_page=1&type=ECS").await.body;
    assert_eq!((&page["total_count"], &page["total_pages"]), (&json!(2), &json!(2)));
    let next = page["_links"]["next"].as_str().unwrap().strip_prefix("/api/v2").unwrap();
    let next = recorder.get(next).await.body;
    assert_eq!((&next["page"], &next["total_count"]), (&json!(2), &json!(2)));
    assert_eq!(next["environments"][0]["name"], "prod-us");
    let none = recorder.get("/environments/acme?page=1&tag=x").await.body;
    assert_eq!((&none["total_count"], &none["environments"]), (&json!(0), &json!([])));
}

#[tokio::test]
async fn invalid_parameters_of_the_environment_list_are_refused_by_name() {
    let recorder = Recorder::start().await;
    for (query, field, said) in [
        ("type=ecs", "type", "must be one of K8S, ECS, S3"),
        ("type=ECS&type=x", "type", "must be one of"),
        ("sort=type", "sort", "must be one of name, last_modified_at, last_changed_at"),
        ("sort_direction=up", "sort_direction", "must be one of asc, desc, not 'up'"),
        ("page=0", "page", "must be a whole number from 1"),
        ("per_page=1.5", "per_page", "not '1.5'"),
    ] {
        let refused = recorder.get(&format!("/environments/acme?{query}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(refused.message(), "Input payload validation failed");
        let problem = refused.body["errors"][field].as_str().unwrap();
        assert!(problem.contains(said), "{query}: {problem}");
    }
    let refused = recorder.get("/environments/acme?page=x&sort=x&type=x").await;
    let fields: Vec<_> = refused.body["errors"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["page", "sort", "type"]);
}

#[tokio::test]
async fn unknown_routes_wrong_methods_and_invalid_utf8_in_paths_get_json_errors() {
    let recorder = Recorder::start().await;
    recorder.create("aws-prod", None).await;
    let cases = [
        (Method::GET, "/api", 404),
        (Method::GET, "/api/v2", 404),
        (Method::GET, "/api/v2/nothing/acme", 404),
        (Method::PUT, "/api/v2/environments/acme/aws-prod/unarchive", 404),
        (Method::GET, "/api/v2/environments/acme/aws-prod/events/1", 404),
        (Method::GET, "/api/v2/snapshots/acme", 404),
        (Method::GET, "/api/v2/snapshots/acme/aws-prod/1/2", 404),
        (Method::GET, "/api/v2/env-diff", 404),
        (Method::GET, "/api/v2/environments/acme/aws-prod/archive", 405),
        (Method::POST, "/api/v2/environments/acme/aws-prod/rename", 405),
        (Method::PUT, "/api/v2/environments/acme/aws-prod/events", 405),
        (Method::PUT, "/api/v2/snapshots/acme/aws-prod", 405),
        (Method::PUT, "/api/v2/env-diff/acme", 405),
        (Method::DELETE, "/api/v2/environments/acme", 405),
        (Method::POST, "/api/v2/environments/acme/aws-prod/report/ECS", 405),
        (Method::GET, "/api/v2/environments/acme/%ff", 400),
        (Method::GET, "/api/v2/environments/%ff", 400),
        (Method::GET, "/api/v2/snapshots/acme/%ff", 400),
        (Method::GET, "/api/v2/snapshots/acme/aws-prod/%ff", 400),
        (Method::GET, "/api/v2/env-diff/%ff?snappish1=a&snappish2=b", 400),
    ];
    for (method, path, status) in cases {
        let answer = recorder.send(method, path, None, "").await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
        assert!(!answer.message().is_empty(), "{path}");
    }
}
