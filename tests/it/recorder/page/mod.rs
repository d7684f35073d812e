//! The page, as a browser gets it.

mod access;
mod answers;
mod content;
mod hostile;
mod provenance;
mod size;

use reqwest::header::HeaderMap;
use reqwest::{Method, StatusCode};
use roxmltree::{Document, Node};
use serde_json::Value;

use super::server::{Recorder, digest, task};
use crate::harness::http_client;

/// Where links of services and task definitions lead: no other link leaves the recorder, except those that
/// a CI job reported.
const AWS_CONSOLE: &str = "https://eu-central-1.console.aws.amazon.com/ecs/v2/";

/// The response to a request for a page.
#[derive(Debug)]
pub(crate) struct Page {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

/// Requests a path, with HTTP basic authentication if there is a password.
async fn send(recorder: &Recorder, method: Method, path: &str, password: Option<&str>) -> Page {
    let client = http_client();
    let mut request = client.request(method, format!("{}{path}", recorder.url));
    if let Some(password) = password {
        request = request.basic_auth("anyone", Some(password));
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status(), answer.headers().clone());
    Page { status, headers, text: answer.text().await.unwrap() }
}

pub(crate) async fn get(recorder: &Recorder, path: &str) -> Page {
    send(recorder, Method::GET, path, None).await
}

impl Page {
    /// Empty if there is none.
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The page as well-formed XML: without its doctype, and with elements such as `meta` closed.
    pub(crate) fn xml(&self) -> String {
        let html = self.text.strip_prefix("<!DOCTYPE html>").unwrap();
        let tags = html.split('<').map(|tag| {
            let is_void = ["meta ", "link ", "input "].iter().any(|void| tag.starts_with(void));
            if is_void { tag.replacen('>', "/>", 1) } else { tag.to_owned() }
        });
        tags.collect::<Vec<_>>().join("<")
    }

    /// Everything that a person reads on it.
    pub(crate) fn words(&self) -> String {
        let xml = self.xml();
        words(Document::parse(&xml).unwrap().root())
    }

    /// The values of all attributes with this name.
    fn attributes(&self, name: &str) -> Vec<String> {
        let xml = self.xml();
        let document = Document::parse(&xml).unwrap();
        let values = document.descendants().filter_map(|node| node.attribute(name));
        values.map(str::to_owned).collect()
    }

    /// How many elements have this tag name.
    fn count(&self, element: &str) -> usize {
        let xml = self.xml();
        let document = Document::parse(&xml).unwrap();
        document.descendants().filter(|node| node.has_tag_name(element)).count()
    }
}

/// The text of a node and all nodes below, with one space between words.
pub(crate) fn words(node: Node<'_, '_>) -> String {
    let texts = node.descendants().filter(Node::is_text).filter_map(|text| text.text());
    texts.collect::<Vec<_>>().join(" ").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Tasks of a report: so many replicas of one artifact, whose fingerprint is made of `byte`.
fn replicas(name: &str, byte: u8, replicas: u32) -> Vec<Value> {
    (0..replicas).map(|id| task(id, name, &digest(byte), 1_661_161_157)).collect()
}

/// `acme/env` with a rollover of `web` in three snapshots, each but the last a minute long, and the
/// second confirmed after half of it.
async fn recorder_with_rollover() -> Recorder {
    let recorder = Recorder::start().await;
    recorder.create("env", Some(true)).await;
    let (old, new) =
        (replicas("reg.example.com/web:1", 1, 1), replicas("reg.example.com/web:2", 2, 3));
    let both = [old.clone(), new.clone()].concat();
    assert_eq!(recorder.report("env", &old).await, 201);
    recorder.advance(60.0);
    assert_eq!(recorder.report("env", &both).await, 201);
    recorder.advance(30.0);
    assert_eq!(recorder.report("env", &both).await, 200);
    recorder.advance(30.0);
    assert_eq!(recorder.report("env", &new).await, 201);
    recorder.advance(3_600.0);
    recorder
}
