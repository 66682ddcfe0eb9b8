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

use std::io::{BufRead, BufReader};
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

/// An agent that says over HTTP, with its own token, what it does; tries what it may not; and
/// shows what it was answered.
const AGENT: &str = r#"
exec 3>&1 1>&2
read -r start
echo '{"type":"heartbeat"}' >&3
post() { curl -s -o /dev/null -w '%{http_code}' -X POST -H "Authorization: Bearer $HOST_TOKEN" -d "$2" "$1"; }
own=$(post "$HOST_TOWN_URL/commands/gt_status" '{"message":"over HTTP"}')
other=$(post "${HOST_TOWN_URL%/t1}/t2/commands/gt_status" '{"message":"not mine"}')
sling=$(post "$HOST_TOWN_URL/sling" '{"rig_id":"r1","title":"Mine"}')
post "$HOST_TOWN_URL/commands/gt_status" '{"message":"'"$own $other $sling"'"}' >/dev/null
read -r stop
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
            "agent": ["sh", agent],
            "metrics_token": METRICS,
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
async fn an_agents_token_is_good_for_its_own_session_and_town() {
    if Command::new("curl").arg("--version").output().is_err() {
        println!("skipped: the agent of this test speaks HTTP by curl, which is not installed");
        return;
    }
    let service = Service::start();
    service.add_rigs("t1", ANN).await;
    service.sling(ANN, "t1", "r1").await;
    let begin = Instant::now();
    let message = loop {
        let (_, text) = service.get(ANN, "/towns/t1/status").await;
        let view: Value = serde_json::from_str(&text).unwrap();
        let message = view["agents"][0]["status_message"]
            .as_str()
            .unwrap_or_default();
        if message.starts_with("200") {
            break message.to_owned();
        }
        assert!(begin.elapsed() < PATIENCE, "{view}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(
        message, "200 404 422",
        "own town, another town, a command that is not its own"
    );
    let (status, metrics) = service.get(METRICS, "/metrics").await;
    assert_eq!(status, StatusCode::OK);
    for line in [
        "gastown_towns_open 2",
        "gastown_effects_total{kind=\"start_agent\",outcome=\"done\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
    assert_eq!(service.get(ANN, "/metrics").await.0, StatusCode::FORBIDDEN);
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
    assert!(service.end(), "it did not end in order");
}
