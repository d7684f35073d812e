//! Webhooks, received by a program that checks signatures with the library `standardwebhooks`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr};

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
        self.send_response(status)
        self.end_headers()
        # Now the response is sent: whoever reads the file may end this program.
        with open(inbox, 'a') as file:
            file.write(json.dumps([self.headers['webhook-id'], message]) + '\\n')
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(('127.0.0.1', port), Handler).serve_forever()
";

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A directory with the secret, the recorder's database, and the messages that were received.
struct Fixture {
    directory: TempDir,
    /// Where the receiver listens.
    port: u16,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { directory: TempDir::new().unwrap(), port: free_port() };
        let secret = fixture.directory.path().join("secret");
        std::fs::write(&secret, SECRET).unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        fixture
    }

    async fn start_recorder(&self) -> Recorder {
        let mut serve = envsnap();
        serve
            .args(["serve", "--listen", "127.0.0.1:0", "--db"])
            .arg(self.directory.path().join("snapshots.db"))
            .args(["--webhook", &format!("http://127.0.0.1:{}/hook", self.port)])
            .arg("--webhook-secret-file")
            .arg(self.directory.path().join("secret"))
            .stdin(Stdio::null())
            .stderr(Stdio::piped());
        let mut process = serve.spawn().unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        loop {
            let line = log.next_line().await.unwrap().unwrap();
            if let Some((_, url)) = line.split_once(" on ") {
                return Recorder { url: url.to_owned(), log, _process: process };
            }
        }
    }

    async fn start_receiver(&self) -> Child {
        let mut python = command("readers-python");
        python.args(["-c", RECEIVER, &self.port.to_string()]).arg(self.inbox()).arg(SECRET);
        let receiver = python.stdin(Stdio::null()).spawn().unwrap();
        eventually(Duration::from_secs(30), "the receiver listens", async || {
            let connected = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await;
            connected.map(drop).map_err(|error| error.to_string())
        })
        .await;
        receiver
    }

    fn inbox(&self) -> std::path::PathBuf {
        self.directory.path().join("inbox")
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

    /// Waits for a line of the log that contains `text`.
    async fn wait_for_log_line(&mut self, text: &str) {
        while !self.log.next_line().await.unwrap().unwrap().contains(text) {}
    }
}

fn event(message: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    format!("{} {}", text(&message["event_type"]), text(&message["artifact"]["name"]))
}

#[tokio::test]
#[ignore = "needs the programs that tests/peers/setup installs"]
async fn receiver_that_was_down_gets_each_message_once_and_in_order() {
    let fixture = Fixture::new();
    let mut recorder = fixture.start_recorder().await;
    recorder.put("", &json!({"name": "env", "type": "ECS", "description": ""})).await;
    let mut receiver = fixture.start_receiver().await;
    recorder.deploy(1).await;
    let first = fixture.wait_for(1).await;
    assert_eq!(event(&first[0].1), "ARTIFACT_STARTED web:1");
    receiver.kill().await.unwrap();

    for number in 2..=13 {
        recorder.deploy(number).await;
    }
    for _ in 0..3 {
        recorder.wait_for_log_line("trying again").await;
    }
    assert_eq!(fixture.received().len(), 1);

    let _receiver = fixture.start_receiver().await;
    let messages = fixture.wait_for(1 + 24).await;
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
    let fixture = Fixture::new();
    let _receiver = fixture.start_receiver().await;
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
    let url = format!("http://127.0.0.1:{}/", fixture.port);
    let other = "whsec_AAKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    for (secret, minutes, status) in
        [(SECRET, "0", "204"), (other, "0", "401"), (SECRET, "6", "401")]
    {
        let mut send = command("readers-python");
        send.args(["-c", python, &url, secret, minutes]);
        assert_eq!(
            ProgramOutput::run(&mut send).await.success().trim(),
            status,
            "{secret} {minutes}"
        );
    }
}
