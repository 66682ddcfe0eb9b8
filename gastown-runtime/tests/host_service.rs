//! The example service as people use it: over HTTP, with a real client and real agents.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::disallowed_methods,
    reason = "helpers of a test are tests, too"
)]

#[path = "support/example.rs"]
mod example;
#[path = "support/git.rs"]
mod git;

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::example::example;
use crate::git::origin;

/// Only a test that fails waits this long.
const PATIENCE: Duration = Duration::from_secs(120);
const ANN: &str = "token-of-ann-0123456789";
const BOB: &str = "token-of-bob-0123456789";
const EVE: &str = "token-of-eve-0123456789";
const METRICS: &str = "token-of-metrics-012345";
const HOOK: &str = "the secret of the hook";

/// An agent that hands its token to the test, which speaks for it, and runs until it is told to
/// end.
const AGENT: &str = r#"
exec 3>&1 1>&2
read -r start
echo '{"type":"heartbeat"}' >&3
echo "$HOST_TOKEN" >"$1/$GASTOWN_RIG_ID.partial"
mv "$1/$GASTOWN_RIG_ID.partial" "$1/$GASTOWN_RIG_ID.token"
exec 4<&0
{ read -r stop <&4; : >"$1/$GASTOWN_RIG_ID.end"; } &
while ! test -e "$1/$GASTOWN_RIG_ID.end"; do sleep 0.05; done
kill $! 2>/dev/null
exit 0
"#;

struct Service {
    child: Child,
    address: String,
    dir: tempfile::TempDir,
    client: reqwest::Client,
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Service {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let agent = dir.path().join("agent.sh");
        std::fs::write(&agent, AGENT).unwrap();
        let config = json!({
            "listen": "127.0.0.1:0",
            "dir": dir.path().join("data"),
            "agent": ["sh", agent, dir.path()],
            "metrics_token": METRICS,
            "drain_seconds": 1,
            "towns": [
                {"id": "t1", "webhook_secret": HOOK, "people": [
                    {"name": "ann", "token": ANN},
                    {"name": "bob", "token": BOB, "rig_id": "r1"},
                ]},
                {"id": "t2", "people": [{"name": "eve", "token": EVE}]},
            ],
        });
        let path = dir.path().join("config.json");
        std::fs::write(&path, config.to_string()).unwrap();
        let mut child = Command::new(example("host_service"))
            .arg(&path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Self {
            child,
            address,
            dir,
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    async fn get(&self, token: &str, path: &str) -> (StatusCode, String) {
        let request = self.client.get(format!("http://{}{path}", self.address));
        let answer = request.bearer_auth(token).send().await.unwrap();
        (answer.status(), answer.text().await.unwrap())
    }

    async fn post(&self, token: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let request = self.client.post(format!("http://{}{path}", self.address));
        let answer = request.bearer_auth(token).json(&body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }

    async fn add_rigs(&self, town: &str, token: &str) {
        for rig in ["r1", "r2"] {
            let rig = json!({"rig_id": rig, "name": rig, "git_url": origin_of(self, rig), "default_branch": "main"});
            let path = format!("/towns/{town}/commands/add_rig");
            let (status, answer) = self.post(token, &path, rig).await;
            assert_eq!(status, StatusCode::OK, "{answer}");
        }
    }

    async fn sling(&self, token: &str, town: &str, rig: &str) -> (StatusCode, Value) {
        let path = format!("/towns/{town}/sling");
        self.post(token, &path, json!({"rig_id": rig, "title": "Fix it"}))
            .await
    }

    /// The token of the session that works on an issue of a rig.
    async fn agent_token(&self, rig: &str) -> String {
        let path = self.dir.path().join(format!("{rig}.token"));
        let token = until("the agent has begun", async || {
            std::fs::read_to_string(&path).ok()
        });
        token.await.trim().to_owned()
    }

    async fn status(&self) -> Value {
        let (status, text) = self.get(ANN, "/towns/t1/status").await;
        assert_eq!(status, StatusCode::OK, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    fn end(mut self) -> bool {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

async fn until<T>(what: &str, mut found: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = found().await {
            return found;
        }
        assert!(begin.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn origin_of(service: &Service, rig: &str) -> String {
    let dir = service.dir.path().join(rig);
    if dir.exists() {
        return dir.join("origin.git").display().to_string();
    }
    std::fs::create_dir(&dir).unwrap();
    origin(&dir).display().to_string()
}

#[tokio::test]
async fn people_reach_their_town_and_rig_and_nothing_else() {
    let service = Service::start();
    service.add_rigs("t1", ANN).await;
    let (status, receipt) = service.sling(ANN, "t1", "r2").await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let bead = receipt["made"][0].as_str().unwrap().to_owned();
    // Another town looks as if it were not there; a wrong token gets nothing.
    for path in [
        "/towns/t1/status",
        "/towns/t1/dry-run",
        &format!("/towns/t1/beads/{bead}"),
    ] {
        assert_eq!(
            service.get(EVE, path).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
        assert_eq!(
            service.get("wrong", path).await.0,
            StatusCode::UNAUTHORIZED,
            "{path}"
        );
        assert_eq!(
            service.get(METRICS, path).await.0,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    let missing = service.get(EVE, "/towns/no-such-town/status").await;
    assert_eq!(missing, service.get(EVE, "/towns/t1/status").await);
    assert_eq!(
        service.sling(EVE, "t1", "r1").await.0,
        StatusCode::NOT_FOUND
    );
    // Bob is of one rig: of that he does and sees everything, of the other nothing.
    let (status, _) = service.sling(BOB, "t1", "r1").await;
    assert_eq!(status, StatusCode::OK);
    let (status, refusal) = service.sling(BOB, "t1", "r2").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refusal}");
    let close = json!({"bead_id": bead});
    let (status, refusal) = service
        .post(BOB, "/towns/t1/commands/close_bead", close)
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{refusal}");
    let path = format!("/towns/t1/beads/{bead}");
    assert_eq!(service.get(BOB, &path).await.0, StatusCode::NOT_FOUND);
    assert_eq!(
        service.get(BOB, "/towns/t1/status").await.0,
        StatusCode::FORBIDDEN
    );
    // Nobody speaks for somebody else.
    let forged = json!({"rig_id": "r1", "title": "x", "caller": {"kind": "host"}});
    let (status, refusal) = service.post(BOB, "/towns/t1/sling", forged).await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refusal["field"], "caller", "{refusal}");
    let (status, text) = service.get(ANN, "/towns/t1/status").await;
    assert_eq!(status, StatusCode::OK);
    let view: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(view["rigs"].as_array().unwrap().len(), 2, "{view}");
    assert_eq!(view["status"]["state"], "running", "{view}");
    let (status, text) = service.get(ANN, &path).await;
    let view: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (status, &view["record"]["id"]),
        (StatusCode::OK, &json!(bead))
    );
    assert!(!view["events"].as_array().unwrap().is_empty(), "{view}");
    // Its agent has begun, or is about to: both can be said.
    let (status, text) = service.get(ANN, &format!("{path}/explain")).await;
    let explained: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(explained["explanation"]["bead_id"], json!(bead));
    let explain = format!("{path}/explain");
    assert_eq!(service.get(BOB, &explain).await.0, StatusCode::NOT_FOUND);
    let (status, text) = service.get(ANN, "/towns/t1/dry-run").await;
    let dry: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(dry["actions"].is_array(), "{dry}");
    // The breaker is the whole town's, and so no business of one rig's.
    let (status, refusal) = service
        .post(BOB, "/towns/t1/commands/probe", json!({}))
        .await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(
        refusal["message"].as_str().unwrap().contains("whole town"),
        "{refusal}"
    );
    assert!(service.end(), "it did not end in order");
}

#[tokio::test]
async fn an_agent_reaches_its_own_work_and_nothing_of_another_rig_or_town() {
    let service = Service::start();
    service.add_rigs("t1", ANN).await;
    let mut beads = Vec::new();
    for rig in ["r1", "r2"] {
        let (status, receipt) = service.sling(ANN, "t1", rig).await;
        assert_eq!(status, StatusCode::OK, "{receipt}");
        beads.push(receipt["made"][0].as_str().unwrap().to_owned());
    }
    let (own, other) = (
        service.agent_token("r1").await,
        service.agent_token("r2").await,
    );
    assert_ne!(own, other);
    let view = service.status().await;
    let agent_of = |rig: &str| {
        let agents = view["agents"].as_array().unwrap();
        let agent = agents.iter().find(|agent| agent["rig_id"] == rig).unwrap();
        agent["agent_id"].as_str().unwrap().to_owned()
    };
    let said = json!({"message": "over HTTP"});
    let status = |town: &str| format!("/towns/{town}/commands/gt_status");
    let (code, answer) = service.post(&own, &status("t1"), said.clone()).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    let (code, _) = service.post(&own, &status("t2"), said.clone()).await;
    assert_eq!(code, StatusCode::NOT_FOUND);
    // What names something of another rig is refused, and so is what is not an agent's to do.
    let mail = json!({"to": agent_of("r2"), "subject": "x", "body": "y"});
    let molecule = json!({"bead_id": beads[1], "steps": [{"title": "x"}]});
    let triage = json!({"request_id": beads[1], "action": "DISCARD", "notes": "x"});
    let close = json!({"bead_id": beads[1]});
    let issue = json!({"rig_id": "r2", "title": "x"});
    let forged = json!({"message": "x", "caller": {"kind": "agent", "id": agent_of("r2")}});
    for (command, input) in [
        ("gt_mail_send", mail),
        ("gt_create_molecule", molecule),
        ("gt_triage_resolve", triage),
        ("gt_close_bead", close.clone()),
        ("close_bead", close),
        ("gt_sling", issue),
        ("gt_status", forged),
        (
            "add_rig",
            json!({"rig_id": "r9", "name": "x", "git_url": "/x", "default_branch": "main"}),
        ),
    ] {
        let path = format!("/towns/t1/commands/{command}");
        let (code, refusal) = service.post(&own, &path, input).await;
        assert_eq!(
            code,
            StatusCode::UNPROCESSABLE_ENTITY,
            "{command}: {refusal}"
        );
    }
    for path in [
        "/towns/t1/status".to_owned(),
        "/towns/t1/dry-run".to_owned(),
        format!("/towns/t1/beads/{}", beads[0]),
        format!("/towns/t1/beads/{}/explain", beads[1]),
        "/metrics".to_owned(),
    ] {
        let (code, _) = service.get(&own, &path).await;
        assert_eq!(code, StatusCode::FORBIDDEN, "{path}");
    }
    let view = service.status().await;
    let messages = view["agents"].as_array().unwrap().iter();
    let said: Vec<_> = messages
        .map(|agent| agent["status_message"].as_str())
        .collect();
    assert_eq!(said.iter().flatten().collect::<Vec<_>>(), [&"over HTTP"]);
    let (_, text) = service
        .get(ANN, &format!("/towns/t1/beads/{}", beads[1]))
        .await;
    let untouched: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(untouched["record"]["status"], "in_progress", "{untouched}");
    assert!(service.end(), "it did not end in order");
}

#[tokio::test]
async fn the_token_of_a_session_that_ended_is_void() {
    let service = Service::start();
    service.add_rigs("t1", ANN).await;
    service.sling(ANN, "t1", "r1").await;
    let token = service.agent_token("r1").await;
    let path = "/towns/t1/commands/gt_done";
    let (code, answer) = service.post(&token, path, json!({"branch": "work"})).await;
    assert_eq!(code, StatusCode::OK, "{answer}");
    let beat = async || {
        let path = "/towns/t1/commands/gt_status";
        service
            .post(&token, path, json!({"message": "still here"}))
            .await
            .0
    };
    assert_eq!(beat().await, StatusCode::OK, "it has not ended yet");
    // It ends in order; the town's record of it stays as it is.
    std::fs::write(service.dir.path().join("r1.end"), "").unwrap();
    let void = async || (beat().await == StatusCode::UNAUTHORIZED).then_some(());
    until("its token is void", void).await;
    let (code, _) = service.get(&token, "/towns/t1/status").await;
    assert_eq!(code, StatusCode::UNAUTHORIZED);
    assert!(service.end(), "it did not end in order");
}

#[tokio::test]
async fn metrics_are_for_their_own_token() {
    let service = Service::start();
    service.add_rigs("t1", ANN).await;
    service.sling(ANN, "t1", "r1").await;
    service.agent_token("r1").await;
    let started = "gastown_effects_total{kind=\"start_agent\",outcome=\"done\"} 1";
    until("the start is counted", async || {
        let (status, metrics) = service.get(METRICS, "/metrics").await;
        assert_eq!(status, StatusCode::OK);
        assert!(metrics.contains("gastown_towns_open 2"), "{metrics}");
        metrics.contains(started).then_some(())
    })
    .await;
    assert_eq!(service.get(ANN, "/metrics").await.0, StatusCode::FORBIDDEN);
    assert!(service.end(), "it did not end in order");
}

#[tokio::test]
async fn a_client_that_never_finishes_does_not_keep_the_service_from_ending() {
    let service = Service::start();
    let mut stuck = std::net::TcpStream::connect(&service.address).unwrap();
    let half = format!(
        "POST /towns/t1/sling HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ANN}\r\n\
         content-length: 100\r\n\r\n{{"
    );
    stuck.write_all(half.as_bytes()).unwrap();
    // The service has read it before it is told to end.
    assert_eq!(service.get(ANN, "/health").await.0, StatusCode::OK);
    assert!(service.end(), "it did not end in order");
}

#[tokio::test]
async fn webhooks_are_taken_by_their_signature_alone() {
    let service = Service::start();
    let body = json!({
        "action": "synchronize", "number": 7, "pull_request": {"number": 7},
        "repository": {"full_name": "acme/api"},
    })
    .to_string();
    let sign = |secret: &str| {
        let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(body.as_bytes());
        let hex = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        format!("sha256={hex}")
    };
    for (town, signature, expected) in [
        ("t1", sign(HOOK), StatusCode::ACCEPTED),
        ("t1", sign(HOOK), StatusCode::ACCEPTED),
        ("t1", sign("guessed"), StatusCode::UNAUTHORIZED),
        ("t2", sign(HOOK), StatusCode::UNAUTHORIZED),
        ("t3", sign(HOOK), StatusCode::UNAUTHORIZED),
    ] {
        let url = format!("http://{}/towns/{town}/webhooks/github", service.address);
        let request = service.client.post(url).body(body.clone());
        let answer = request
            .header("content-type", "application/json")
            .header("x-github-event", "pull_request")
            .header("x-github-delivery", "d-1")
            .header("x-hub-signature-256", signature)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), expected, "{town}");
    }
    // One event reached its town: the second delivery is the first one again.
    let taken = async || {
        let (_, metrics) = service.get(METRICS, "/metrics").await;
        let mut lines = metrics.lines().map(String::from);
        lines.find(|line| line.starts_with("gastown_events_total{type=\"webhook\""))
    };
    let line = until("the webhook is taken", taken).await;
    assert!(line.ends_with(" 1"), "{line}");
    assert!(service.end(), "it did not end in order");
}
