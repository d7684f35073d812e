//! What a history does to its organization.

use fastrand::Rng;
use reqwest::Method;
use serde_json::{Value, json};

use super::model::{Organization, Running};
use crate::recorder::server::{digest, task};

/// The environment that is created first and never changed: saving it as it is returns the head of the
/// ledger without adding an entry.
pub(super) const HOME: &str = "home";

const ENVIRONMENT_NAMES: [&str; 4] = [HOME, "beta", "prod", "test"];

/// The token with which a request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token {
    Admin,
    Reporter,
}

impl Token {
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Admin => "an-admin",
            Self::Reporter => "the-reporter",
        }
    }

    /// The secret.
    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Admin => "admin-0123456789",
            Self::Reporter => "reporter-0123456789",
        }
    }
}

/// A write request to the environments of an organization.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operation {
    Save { name: String, description: String, include_scaling: Option<bool>, by: Token },
    Change { name: String, description: Option<String>, include_scaling: Option<bool> },
    Rename { name: String, new_name: String },
    Archive { name: String },
    Report { name: String, running: Running, heartbeat: Option<u32>, expected_index: Option<usize> },
}

/// What is sent: a request to a path below `/api/v2`.
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) token: Token,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: String,
}

fn one_of(random: &mut Rng, names: &[&str]) -> String {
    names[random.usize(..names.len())].to_owned()
}

fn random_description(random: &mut Rng) -> String {
    one_of(random, &["", "what customers see"])
}

fn random_flag(random: &mut Rng) -> Option<bool> {
    [None, Some(true), Some(false)][random.usize(..3)]
}

/// Often the same as `before`, or with one or a few artifacts changed.
fn random_running(random: &mut Rng, before: &Running) -> Running {
    let mut running = before.clone();
    for _ in 0..[0, 0, 1, 1, 2, 4][random.usize(..6)] {
        // Those from 200 on have no known fingerprint.
        let id = [0, 1, 2, 3, 4, 200, 201][random.usize(..7)];
        match random.u64(..4) {
            0 => drop(running.remove(&id)),
            replicas => drop(running.insert(id, replicas)),
        }
    }
    running
}

impl Operation {
    /// Creates [`HOME`] the first time, and changes nothing after that.
    pub(super) fn save_home_environment() -> Self {
        Self::Save {
            name: HOME.to_owned(),
            description: String::new(),
            include_scaling: Some(true),
            by: Token::Admin,
        }
    }

    pub(super) fn random(random: &mut Rng, model: &Organization) -> Self {
        let mut name = one_of(random, &ENVIRONMENT_NAMES);
        // Most of what is done is done to what is there.
        if random.u8(..8) > 0 && model.find(&name).is_none() {
            HOME.clone_into(&mut name);
        }
        let others = &ENVIRONMENT_NAMES[1..];
        match random.u8(..20) {
            0..=11 => {
                let environment = model.find(&name);
                let before = environment.map(super::model::Environment::running);
                let count = environment.map_or(0, |environment| environment.snapshots.len());
                Self::Report {
                    name,
                    running: random_running(random, &before.unwrap_or_default()),
                    // None of them ends near a sum of `faults::CLOCK_JUMPS`.
                    heartbeat: [None, Some(60), Some(3_600)][random.usize(..3)],
                    expected_index: [None, None, Some(count), Some(count + 1)][random.usize(..4)],
                }
            }
            12..=15 => Self::Save {
                name: one_of(random, others),
                description: random_description(random),
                include_scaling: random_flag(random),
                by: if random.bool() { Token::Admin } else { Token::Reporter },
            },
            16 | 17 => Self::Change {
                name: one_of(random, others),
                description: random.bool().then(|| random_description(random)),
                include_scaling: random_flag(random),
            },
            18 => Self::Rename {
                name: one_of(random, others),
                new_name: one_of(random, &ENVIRONMENT_NAMES),
            },
            _ => Self::Archive { name: one_of(random, others) },
        }
    }

    pub(super) fn request(&self, org: &str) -> Request {
        let to = |method, path: String, body: &Value| Request {
            method,
            path: format!("/environments/{org}{path}"),
            token: Token::Admin,
            headers: Vec::new(),
            body: body.to_string(),
        };
        match self {
            Self::Save { name, description, include_scaling, by } => {
                let mut body = json!({"name": name, "type": "ECS", "description": description});
                if let Some(include_scaling) = include_scaling {
                    body["include_scaling"] = json!(include_scaling);
                }
                Request { token: *by, ..to(Method::PUT, String::new(), &body) }
            }
            Self::Change { name, description, include_scaling } => {
                let body = json!({"description": description, "include_scaling": include_scaling});
                to(Method::PATCH, format!("/{name}"), &body)
            }
            Self::Rename { name, new_name } => {
                to(Method::PUT, format!("/{name}/rename"), &json!({"new_name": new_name}))
            }
            Self::Archive { name } => to(Method::PUT, format!("/{name}/archive"), &json!({})),
            Self::Report { name, running, heartbeat, expected_index } => {
                let body = json!({"artifacts": tasks(running)});
                let mut headers = Vec::new();
                if let Some(heartbeat) = heartbeat {
                    headers.push(("x-envsnap-heartbeat", heartbeat.to_string()));
                }
                if let Some(index) = expected_index {
                    headers.push(("if-match", format!("\"{index}\"")));
                }
                let request = to(Method::PUT, format!("/{name}/report/ECS"), &body);
                Request { token: Token::Reporter, headers, ..request }
            }
        }
    }
}

/// A task of a report for each replica.
fn tasks(running: &Running) -> Vec<Value> {
    let replicas = running.iter().flat_map(|(id, count)| (0..*count).map(move |n| (*id, n)));
    let tasks = (0..).zip(replicas).map(|(number, (id, _))| {
        task(number, &artifact_name(id), &artifact_fingerprint(id), 1_661_161_157)
    });
    tasks.collect()
}

pub(super) fn artifact_name(id: u8) -> String {
    format!("app/image-{id:03}")
}

/// Empty if it is not known.
pub(super) fn artifact_fingerprint(id: u8) -> String {
    if id < 200 { digest(id) } else { String::new() }
}
