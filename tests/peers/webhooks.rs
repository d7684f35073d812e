//! Webhooks, received by a program that checks signatures with the library `standardwebhooks`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::programs::{ProgramOutput, command, envsnap, eventually, free_port};

/// Listens on the port of its first argument, and writes each message whose signature and time are
/// right to the file of its second argument. The third one is the secret.
const RECEIVER: &str = "
import http.server, json, sys
from standardwebhooks import Webhook, WebhookVerificationError
port, inbox, secret = int(sys.argv[1]), sys.argv[2], sys.argv[3]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        try:
            message = Webhook(secret).verify(body, dict((k.lower(), v) for k, v in self.headers.items()))
            status = 204
        except WebhookVerificationError as error:
            message, status = {'refused': str(error)}, 401
        with open(inbox, 'a') as file:
            file.write(json.dumps([self.headers['webhook-id'], message]) + '\\n')
        self.send_response(status)
        self.end_headers()
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(('127.0.0.1', port), Handler).serve_forever()
";

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A folder with the secret, what was received, and the clock of the recorder and of the receiver.
struct Scene {
    folder: TempDir,
    port: u16,
    /// The library by which programs replace the clock.
    faketime: String,
}

impl Scene {
    async fn new() -> Self {
        let library =
            Command::new("faketime").args(["-f", "+0", "printenv", "LD_PRELOAD"]).output();
        let faketime = String::from_utf8(library.await.unwrap().stdout).unwrap().trim().to_owned();
        let scene = Self { folder: TempDir::new().unwrap(), port: free_port(), faketime };
        let secret = scene.folder.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        scene.set_clock(0);
        scene
    }

    /// Seconds ahead of the clock of this host, for all programs.
    fn set_clock(&self, seconds: u32) {
        // Replaced at once: the programs read it at any time.
        let new = self.folder.path().join("clock.new");
        std::fs::write(&new, format!("+{seconds}")).unwrap();
        std::fs::rename(new, self.folder.path().join("clock")).unwrap();
    }

    fn with_clock<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        // The monotonic clock as well: an hour passes, and the clock is not set.
        command
            .env("LD_PRELOAD", &self.faketime)
            .env("FAKETIME_TIMESTAMP_FILE", self.folder.path().join("clock"))
            .env("FAKETIME_NO_CACHE", "1")
            .stdin(Stdio::null())
    }

    async fn recorder(&self) -> Recorder {
        let mut serve = envsnap();
        serve
            .args(["serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(self.folder.path().join("snapshots.db"))
            .args(["--webhook", &format!("http://127.0.0.1:{}/hook", self.port)])
            .arg("--webhook-secret-file")
            .arg(self.folder.path().join("secret"));
        let mut process = self.with_clock(&mut serve).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        loop {
            let line = log.next_line().await.unwrap().unwrap();
            if let Some((_, url)) = line.split_once(" on ") {
                return Recorder { url: url.to_owned(), log, _process: process };
            }
        }
    }

    async fn receiver(&self) -> Child {
        let mut python = command("readers-python");
        python.args(["-c", RECEIVER, &self.port.to_string()]).arg(self.inbox()).arg(SECRET);
        let receiver = self.with_clock(&mut python).spawn().unwrap();
        eventually(Duration::from_secs(30), "the receiver listens", async || {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
        receiver
    }

    fn inbox(&self) -> std::path::PathBuf {
        self.folder.path().join("inbox")
    }

    /// The identifier and the content of each message so far.
    fn received(&self) -> Vec<(String, Value)> {
        received(&self.inbox())
    }

    async fn wait_for(&self, count: usize) -> Vec<(String, Value)> {
        eventually(Duration::from_mins(1), "messages arrive", async || {
            let received = self.received();
            if received.len() >= count { Ok(received) } else { Err(format!("{received:?}")) }
        })
        .await
    }
}

fn received(inbox: &Path) -> Vec<(String, Value)> {
    let lines = std::fs::read_to_string(inbox).unwrap_or_default();
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

struct Recorder {
    url: String,
    log: Lines<BufReader<ChildStderr>>,
    _process: Child,
}

impl Recorder {
    async fn put(&self, path: &str, body: &Value) {
        let url = format!("{}/api/v2/environments/acme{path}", self.url);
        let answer = reqwest::Client::new().put(url).body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
    }

    /// Version `number` of `web` replaces what ran.
    async fn deploy(&self, number: u32) {
        let entry = json!({
            "taskArn": "a", "digests": {format!("web:{number}"): format!("{number:064x}")},
            "creationTimestamp": 1,
        });
        self.put("/env/report/ECS", &json!({"artifacts": [entry]})).await;
    }

    async fn logged_within(&mut self, text: &str, time: Duration) -> bool {
        tokio::time::timeout(time, self.logged(text)).await.is_ok()
    }

    /// Waits for a line of the log. Requests wake the recorder after its clock has jumped.
    async fn logged(&mut self, text: &str) {
        let ready = format!("{}/ready", self.url);
        loop {
            tokio::select! {
                line = self.log.next_line() => {
                    if line.unwrap().unwrap().contains(text) {
                        return;
                    }
                }
                () = tokio::time::sleep(Duration::from_millis(200)) => {
                    drop(reqwest::get(&ready).await.unwrap());
                }
            }
        }
    }
}

fn event(message: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&message["event_type"]), text(&message["artifact"]["name"]))
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn a_receiver_that_was_down_for_an_hour_gets_everything_once_and_in_order() {
    let scene = Scene::new().await;
    let mut recorder = scene.recorder().await;
    recorder.put("", &json!({"name": "env", "type": "ECS", "description": ""})).await;
    let mut receiver = scene.receiver().await;
    recorder.deploy(1).await;
    let first = scene.wait_for(1).await;
    assert_eq!(event(&first[0].1), "ARTIFACT_STARTED web:1");
    receiver.kill().await.unwrap();

    // All of it before the clock jumps, after which the recorder takes no reports, and cannot save how
    // far the webhook has come: it compares the clock with one that faketime does not replace.
    for number in 2..=13 {
        recorder.deploy(number).await;
    }
    // Over an hour without a receiver: twelve attempts, at most five minutes apart. The recorder may
    // begin to wait only after the clock has jumped, and then waits for the next jump.
    let mut clock = 0;
    for _ in 0..12 {
        while !recorder.logged_within("trying again", Duration::from_secs(2)).await {
            clock += 301;
            scene.set_clock(clock);
        }
        clock += 301;
        scene.set_clock(clock);
    }
    assert!(clock > 3_600);
    assert_eq!(scene.received().len(), 1);

    let _receiver = scene.receiver().await;
    while scene.received().len() == 1 {
        clock += 301;
        scene.set_clock(clock);
        let gave_up = recorder.logged_within("gave up", Duration::from_secs(2)).await;
        assert!(!gave_up && clock < 20 * 3_600, "after {clock} seconds");
    }
    let messages = scene.wait_for(1 + 24).await;
    let mut ids: Vec<_> = messages.iter().map(|(id, _)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 1 + 24, "each message once");
    assert_eq!(messages.len(), ids.len());
    for (number, pair) in (2..=13).zip(messages[1..].chunks(2)) {
        // Those of one snapshot are in the order of the artifacts.
        let mut events: Vec<_> = pair.iter().map(|(_, message)| event(message)).collect();
        events.sort();
        let (old, new) = (number - 1, number);
        let expected =
            [format!("ARTIFACT_EXITED web:{old}"), format!("ARTIFACT_STARTED web:{new}")];
        assert_eq!(events, expected);
    }
}

/// The library refuses what the receiver should refuse: the check above is one.
#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn another_secret_and_an_old_message_are_refused() {
    let scene = Scene::new().await;
    let _receiver = scene.receiver().await;
    let python = "
import sys, datetime, urllib.request
from standardwebhooks import Webhook
url, secret, minutes = sys.argv[1], sys.argv[2], int(sys.argv[3])
at = datetime.datetime.now(tz=datetime.timezone.utc) - datetime.timedelta(minutes=minutes)
headers = {'webhook-id': 'a', 'webhook-timestamp': str(int(at.timestamp())),
           'webhook-signature': Webhook(secret).sign('a', at, '{}')}
request = urllib.request.Request(url, b'{}', headers)
try:
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code)
";
    let url = format!("http://127.0.0.1:{}/", scene.port);
    let other = "whsec_AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (secret, minutes, status) in
        [(SECRET, "0", "204"), (other, "0", "401"), (SECRET, "6", "401")]
    {
        let mut send = command("readers-python");
        send.args(["-c", python, &url, secret, minutes]);
        assert_eq!(
            ProgramOutput::wait(&mut send).await.success().trim(),
            status,
            "{secret} {minutes}"
        );
    }
}
