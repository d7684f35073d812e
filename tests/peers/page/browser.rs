//! A headless browser, driven over the `WebDriver` protocol.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Child;

use crate::programs::{command, eventually, free_port, program_path};

/// The JSON field in which the `WebDriver` protocol has an element's id.
const ELEMENT_ID: &str = "element-6066-11e4-a52e-4f735466cecf";

/// A session of Chromium with one window and a new profile.
pub(crate) struct Browser {
    client: reqwest::Client,
    /// The URL of the `WebDriver` session.
    session_url: String,
    _driver: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts `chromedriver`, and with it the browser.
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
            let response = client.get(format!("{server}/status")).send().await;
            response.map(drop).map_err(|error| error.to_string())
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
            "goog:chromeOptions": {"binary": program_path("chromium"), "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let session =
            send(&client, Method::POST, &format!("{server}/session"), &capabilities).await;
        let session_url = format!("{server}/session/{}", session["sessionId"].as_str().unwrap());
        let browser = Self { client, session_url, _driver: driver, _profile: profile };
        // How long the driver waits for an element that is not there yet, in milliseconds.
        browser.post("timeouts", &json!({"implicit": 30_000})).await;
        browser
    }

    /// Sends a command of the session with `POST`, and returns its result.
    async fn post(&self, command: &str, body: &Value) -> Value {
        send(&self.client, Method::POST, &format!("{}/{command}", self.session_url), body).await
    }

    /// Sends a command of the session with `GET`, and returns its result, a string.
    async fn get(&self, command: &str) -> String {
        let url = format!("{}/{command}", self.session_url);
        let response = send(&self.client, Method::GET, &url, &Value::Null).await;
        response.as_str().unwrap_or_default().to_owned()
    }

    /// Navigates to `url`.
    pub(crate) async fn open(&self, url: &str) {
        self.post("url", &json!({"url": url})).await;
    }

    /// The address of the page that is open.
    pub(crate) async fn current_url(&self) -> String {
        self.get("url").await
    }

    /// The id of the first element that the CSS selector matches. Waits until there is one.
    async fn find_element(&self, selector: &str) -> String {
        let found =
            self.post("element", &json!({"using": "css selector", "value": selector})).await;
        found[ELEMENT_ID].as_str().unwrap().to_owned()
    }

    /// Clicks on an element that leads to another page, and waits until that page is loaded.
    pub(crate) async fn click_and_wait_for_page(&self, selector: &str) {
        let element = self.find_element(selector).await;
        self.act_and_wait_for_page(self.post(&format!("element/{element}/click"), &json!({})))
            .await;
    }

    /// The text of the element that has the focus.
    pub(crate) async fn focused_element_text(&self) -> String {
        let text = self.run_script("return document.activeElement.textContent").await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// The visible text of the first element that the CSS selector matches.
    pub(crate) async fn element_text(&self, selector: &str) -> String {
        let element = self.find_element(selector).await;
        self.get(&format!("element/{element}/text")).await
    }

    /// Replaces the text of an input field.
    pub(crate) async fn fill_field(&self, selector: &str, text: &str) {
        let element = self.find_element(selector).await;
        self.post(&format!("element/{element}/clear"), &json!({})).await;
        self.post(&format!("element/{element}/value"), &json!({"text": text})).await;
    }

    /// Presses a key that leads to another page, and waits until that page is loaded.
    pub(crate) async fn press_key_and_wait_for_page(&self, key: char) {
        self.act_and_wait_for_page(self.press_key(key)).await;
    }

    /// Awaits `action`, and waits until the present page is replaced by another one and that one is loaded.
    /// The driver may respond to the action before the browser begins to navigate.
    async fn act_and_wait_for_page(&self, action: impl Future) {
        let old_root = self.find_element("html").await;
        action.await;
        let old_root_url = format!("{}/element/{old_root}/name", self.session_url);
        eventually(Duration::from_secs(30), "the page is left", async || {
            let response = self.client.get(&old_root_url).send().await.unwrap();
            let gone = !response.status().is_success();
            gone.then_some(()).ok_or_else(|| response.status().to_string())
        })
        .await;
        self.find_element("footer").await;
    }

    /// Presses `key`, a character or a `WebDriver` key code, which goes to the element with the focus.
    pub(crate) async fn press_key(&self, key: char) {
        let actions = json!([
            {"type": "keyDown", "value": key}, {"type": "keyUp", "value": key},
        ]);
        let keyboard = json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]});
        self.post("actions", &keyboard).await;
    }

    /// Runs JavaScript, the body of a function, in the page, and returns what it returns.
    pub(crate) async fn run_script(&self, body: &str) -> Value {
        self.post("execute/sync", &json!({"script": body, "args": []})).await
    }

    /// Sends a command of the browser's own debugging protocol, and returns its result.
    pub(crate) async fn devtools_command(&self, name: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": name, "params": parameters})).await
    }

    /// Sets the width of the window, in pixels, and the preferred colour scheme, `light` or `dark`.
    pub(crate) async fn emulate_display(&self, width: u32, color_scheme: &str) {
        let metrics =
            json!({"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": false});
        self.devtools_command("Emulation.setDeviceMetricsOverride", &metrics).await;
        let features = json!([{"name": "prefers-color-scheme", "value": color_scheme}]);
        self.devtools_command("Emulation.setEmulatedMedia", &json!({"features": features})).await;
    }

    /// Writes a screenshot of the whole page to `file`, as PNG.
    pub(crate) async fn save_screenshot(&self, file: &Path) {
        let root = "const root = document.documentElement;";
        let size = format!("{root} return [root.scrollWidth, root.scrollHeight]");
        let size = self.run_script(&size).await;
        let clip = json!({"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1});
        self.save_screenshot_of_clip(file, clip).await;
    }

    /// Writes a screenshot from the top of one element to the bottom of another one, at twice the resolution.
    /// Both are CSS selectors.
    pub(crate) async fn save_screenshot_of_range(&self, file: &Path, [from, to]: [&str; 2]) {
        let body = format!(
            "const [from, to] = [{from:?}, {to:?}]
                 .map(selector => document.querySelector(selector).getBoundingClientRect());
             const top = from.top + window.scrollY - 12, left = from.left - 12;
             return {{x: left, y: top, width: from.width + 24, height: to.bottom - from.top + 24, scale: 2}}"
        );
        let clip = self.run_script(&body).await;
        self.save_screenshot_of_clip(file, clip).await;
    }

    /// Writes a screenshot of the rectangle `clip` of the page: its `x`, `y`, `width`, `height` and `scale`.
    async fn save_screenshot_of_clip(&self, file: &Path, clip: Value) {
        let part = json!({"format": "png", "captureBeyondViewport": true, "clip": clip});
        let taken = self.devtools_command("Page.captureScreenshot", &part).await;
        let png = STANDARD.decode(taken["data"].as_str().unwrap()).unwrap();
        std::fs::write(file, png).unwrap();
    }

    /// The lines of the browser's console since the last call, such as errors of scripts and of requests.
    pub(crate) async fn take_console_lines(&self) -> Vec<String> {
        let lines = self.post("se/log", &json!({"type": "browser"})).await;
        lines.as_array().unwrap().iter().map(ToString::to_string).collect()
    }

    /// Ends the session, and with it the browser.
    pub(crate) async fn quit(self) {
        send(&self.client, Method::DELETE, &self.session_url, &Value::Null).await;
    }
}

/// Sends a `WebDriver` request, which must succeed, and returns the `value` of its response.
async fn send(client: &reqwest::Client, method: Method, url: &str, body: &Value) -> Value {
    let mut request = client.request(method, url);
    if !body.is_null() {
        request = request.json(body);
    }
    let response = request.send().await.unwrap();
    let status = response.status();
    let mut response: Value = response.json().await.unwrap();
    assert!(status.is_success(), "{url} {body}: {response}");
    response["value"].take()
}
