//! A real browser, driven over the web-driver protocol.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::programs::{command, eventually, free_port, path_of};

/// The key under which the protocol has an element's id.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    client: reqwest::Client,
    /// The session's address.
    url: String,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let profile = TempDir::new().unwrap();
        let port = free_port();
        let driver = command("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let server = format!("http://127.0.0.1:{port}");
        eventually(Duration::from_secs(30), "the driver is ready", async || {
            let answer = client.get(format!("{server}/status")).send().await;
            answer.map(drop).map_err(|error| error.to_string())
        })
        .await;
        let arguments = [
            "--headless",
            // Continuous integration runs as a superuser, for whom there is no sandbox.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--disable-background-networking",
            "--no-proxy-server",
            "--hide-scrollbars",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"binary": path_of("chromium"), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session =
            send(&client, Method::POST, &format!("{server}/session"), &capabilities).await;
        let url = format!("{server}/session/{}", session["sessionId"].as_str().unwrap());
        let browser = Self { client, url, _driver: driver, _profile: profile };
        // Where something is looked for, until when it may still come, in milliseconds.
        browser.post("timeouts", &json!({"implicit": 30_000})).await;
        browser
    }

    async fn post(&self, call: &str, body: &Value) -> Value {
        send(&self.client, Method::POST, &format!("{}/{call}", self.url), body).await
    }

    async fn get(&self, call: &str) -> String {
        let url = format!("{}/{call}", self.url);
        let answer = send(&self.client, Method::GET, &url, &Value::Null).await;
        answer.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn open(&self, url: &str) {
        self.post("url", &json!({"url": url})).await;
    }

    pub(crate) async fn address(&self) -> String {
        self.get("url").await
    }

    async fn find(&self, selector: &str) -> String {
        let found =
            self.post("element", &json!({"using": "css selector", "value": selector})).await;
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Clicks on what leads to another page, and waits for that page.
    pub(crate) async fn follow(&self, selector: &str) {
        let element = self.find(selector).await;
        self.leave(self.post(&format!("element/{element}/click"), &json!({}))).await;
    }

    /// The text of what has the focus.
    pub(crate) async fn focused_text(&self) -> String {
        let text = self.evaluate("return document.activeElement.textContent").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    pub(crate) async fn text(&self, selector: &str) -> String {
        let element = self.find(selector).await;
        self.get(&format!("element/{element}/text")).await
    }

    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        let element = self.find(selector).await;
        self.post(&format!("element/{element}/clear"), &json!({})).await;
        self.post(&format!("element/{element}/value"), &json!({"text": text})).await;
    }

    /// Presses what leads to another page, and waits for that page.
    pub(crate) async fn follow_key(&self, key: char) {
        self.leave(self.press(key)).await;
    }

    /// The driver may answer before the browser has begun to go where it was sent.
    async fn leave(&self, go: impl Future) {
        let left = self.find("html").await;
        go.await;
        let left = format!("{}/element/{left}/name", self.url);
        eventually(Duration::from_secs(30), "the page is left", async || {
            let answer = self.client.get(&left).send().await.unwrap();
            let gone = !answer.status().is_success();
            gone.then_some(()).ok_or_else(|| answer.status().to_string())
        })
        .await;
        self.find("footer").await;
    }

    /// Presses `key` where the focus is.
    pub(crate) async fn press(&self, key: char) {
        let actions = json!([
            {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key},
        ]);
        let keyboard = json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]});
        self.post("actions", &keyboard).await;
    }

    /// What the script `body` returns.
    pub(crate) async fn evaluate(&self, body: &str) -> Value {
        self.post("execute/sync", &json!({"script": body, "args": []})).await
    }

    /// Calls the browser's own protocol.
    pub(crate) async fn command(&self, name: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": name, "params": parameters})).await
    }

    /// The size of the window, in pixels, and the colours that the reader prefers.
    pub(crate) async fn look(&self, width: u32, scheme: &str) {
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.command("Emulation.setDeviceMetricsOverride", &metrics).await;
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.command("Emulation.setEmulatedMedia", &json!({"features": features})).await;
    }

    /// Writes a picture of the whole page to `file`.
    pub(crate) async fn picture(&self, file: &Path) {
        let root = "const root = document.documentElement;";
        let size = format!("{root} return [root.scrollWidth, root.scrollHeight]");
        let size = self.evaluate(&size).await;
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        self.capture(file, clip).await;
    }

    /// Writes a picture of the page from the top of one element to the end of another one, in twice
    /// the resolution.
    pub(crate) async fn detail(&self, file: &Path, [from, to]: [&str; 2]) {
        let body = format!(
            "const [from, to] = [{from:?}, {to:?}]
                 .map(selector => document.querySelector(selector).getBoundingClientRect());
             const top = from.top + window.scrollY - 12, left = from.left - 12;
             return {{x: left, y: top, width: from.width + 24, height: to.bottom - from.top + 24, scale: 2}}"
        );
        let clip = self.evaluate(&body).await;
        self.capture(file, clip).await;
    }

    async fn capture(&self, file: &Path, clip: Value) {
        let part = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.command("Page.captureScreenshot", &part).await;
        let png = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, png).unwrap();
    }

    /// What the page, or the browser about it, wrote to the console since the last call.
    pub(crate) async fn console(&self) -> Vec<String> {
        let lines = self.post("se/log", &json!({"type": "browser"})).await;
        lines.as_array().unwrap().iter().map(ToString::to_string).collect()
    }

    pub(crate) async fn quit(self) {
        send(&self.client, Method::DELETE, &self.url, &Value::Null).await;
    }
}

async fn send(client: &reqwest::Client, method: Method, url: &str, body: &Value) -> Value {
    let mut request = client.request(method, url);
    if !body.is_null() {
        request = request.json(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let mut answer: Value = answer.json().await.unwrap();
    assert!(status.is_success(), "{url} {body}: {answer}");
    answer["value"].take()
}
