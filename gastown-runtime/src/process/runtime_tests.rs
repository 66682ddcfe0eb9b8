//! Real processes, real repositories.

use std::time::Duration;

use super::*;
use crate::credentials::{CredentialsError, NoCredentials};
use crate::output::{AgentExit, AgentOutputKind};
use crate::process::CommandTemplate;
use crate::process::process_table;
use crate::protocol::{BAD_LINES_IN_A_ROW_MAX, LINE_BYTES_MAX};
use crate::testing::{Origin, session_id, start_request};
use gastown_core::events::ExitStatus;
use gastown_core::{NudgeId, NudgeTier};
use serde_json::json;

/// Only a test that fails waits this long.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Bench {
    pub(super) dir: tempfile::TempDir,
    pub(super) origin: Origin,
    pub(super) runtime: ProcessRuntime,
    pub(super) outputs: mpsc::Receiver<AgentOutput>,
}

pub(super) fn settings(dir: &Path, script: &str) -> ProcessSettings {
    let agent = dir.join("agent.sh");
    std::fs::write(&agent, script).unwrap();
    let words = ["sh", agent.to_str().unwrap(), "{role}"];
    let mut settings = ProcessSettings::new(dir.join("run"), CommandTemplate::new(words).unwrap());
    settings.tools.clear();
    settings.terminate_wait = Duration::from_millis(200);
    settings
}

impl Bench {
    pub(super) async fn new(script: &str) -> Self {
        Self::with(script, Arc::new(NoCredentials), PATIENCE).await
    }

    async fn with(script: &str, credentials: Arc<dyn Credentials>, stop_wait: Duration) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let origin = Origin::new(&dir.path().join("origin"));
        let mut settings = settings(dir.path(), script);
        settings.stop_wait = stop_wait;
        let (runtime, outputs) = ProcessRuntime::open(settings, credentials).await.unwrap();
        Self {
            dir,
            origin,
            runtime,
            outputs,
        }
    }

    pub(super) fn request(&self, session: u64) -> StartRequest {
        let mut request = start_request("t1", "a1", session);
        request.git_url = self.origin.url();
        request
    }

    pub(super) async fn next(&mut self) -> AgentOutputKind {
        let output = timeout(PATIENCE, self.outputs.recv()).await.unwrap();
        output.unwrap().kind
    }

    async fn exit(&mut self) -> AgentExit {
        let output = self.next().await;
        let AgentOutputKind::Exited(exit) = output else {
            panic!("expected the exit, got {output:?}");
        };
        exit
    }

    fn log(&self, session: u64) -> String {
        let path = format!("run/logs/t1/a1/{session}.log");
        std::fs::read_to_string(self.dir.path().join(path)).unwrap()
    }
}

/// An agent that beats once it was started and then does what it is told.
pub(super) const BEATS: &str = r#"read -r start; echo '{"type":"heartbeat"}'; "#;

#[tokio::test]
async fn an_agent_is_told_beats_calls_and_exits() {
    let script = format!(
        r#"{BEATS}
        echo "$start" >&2
        echo '{{"type":"tool","id":5,"name":"gt_done","input":{{"branch":"work"}}}}'
        read -r result; echo "$result" >&2
        read -r message; echo "$message" >&2
        echo '{{"type":"log","text":"bye"}}'
        exit 0"#
    );
    let mut bench = Bench::new(&script).await;
    let request = bench.request(7);
    bench.runtime.start(request.clone()).await.unwrap();
    assert!(matches!(bench.next().await, AgentOutputKind::Heartbeat(_)));
    let AgentOutputKind::Tool(call) = bench.next().await else {
        panic!("expected the call");
    };
    assert_eq!(
        (call.name.as_str(), call.input["branch"].as_str()),
        ("gt_done", Some("work"))
    );
    // Starting what runs is a no-op: there is one process, and it has heard one start.
    bench.runtime.start(request.clone()).await.unwrap();
    assert_eq!(
        bench.runtime.status(&request.session).await,
        ProcessStatus::Running
    );
    call.reply.accept(json!({"made": ["m1"]}));
    let message = AgentMessage {
        nudge_id: NudgeId::new("n1").unwrap(),
        tier: NudgeTier::Warn,
        text: "Hello?".into(),
    };
    bench
        .runtime
        .deliver(&request.session, message.clone())
        .await
        .unwrap();
    let exit = bench.exit().await;
    assert_eq!((exit.status, exit.asked), (ExitStatus::Completed, false));
    assert_eq!(
        bench.runtime.status(&request.session).await,
        ProcessStatus::Exited
    );
    let error = bench
        .runtime
        .deliver(&request.session, message)
        .await
        .unwrap_err();
    assert!(matches!(error, AgentRuntimeError::NotRunning));
    let log = bench.log(7);
    for line in [
        r#"err {"type":"start","agent_id":"a1","session":7,"role":"polecat","#,
        r#"err {"type":"result","id":5,"ok":true,"value":{"made":["m1"]}}"#,
        r#"err {"type":"message","nudge_id":"n1","tier":"warn","text":"Hello?"}"#,
        "log bye",
        "host ended: exited with status 0",
    ] {
        assert!(log.contains(line), "{line}\n--\n{log}");
    }
}

#[tokio::test]
async fn an_agent_that_is_asked_to_stop_may_wrap_up() {
    let script = format!(r#"{BEATS} read -r stop; echo "$stop" >&2; exit 3"#);
    let mut bench = Bench::new(&script).await;
    bench.runtime.start(bench.request(1)).await.unwrap();
    bench.next().await;
    let session = session_id("t1", "a1", 1);
    bench.runtime.stop(&session, "enough").await.unwrap();
    let exit = bench.exit().await;
    assert_eq!(
        (exit.reason.as_str(), exit.asked),
        ("exited with status 3", true)
    );
    assert!(
        bench
            .log(1)
            .contains(r#"err {"type":"stop","reason":"enough"}"#)
    );
    // Of what has ended, stopping is a no-op.
    bench.runtime.stop(&session, "again").await.unwrap();
}

#[tokio::test]
async fn an_agent_that_ignores_everything_is_killed_with_all_its_children() {
    // One child stays in the group, the other leaves it.
    let script = format!(
        r#"trap '' TERM
        sleep 1000 & echo $! > "$PWD/../in"
        setsid sleep 1000 & echo $! > "$PWD/../out"
        {BEATS}
        while :; do sleep 1000; done"#
    );
    let mut bench = Bench::with(&script, Arc::new(NoCredentials), Duration::from_millis(50)).await;
    bench.runtime.start(bench.request(1)).await.unwrap();
    bench.next().await;
    let session = session_id("t1", "a1", 1);
    let worktrees = bench.runtime.worktree(&session).unwrap();
    let pid = |file: &str| -> i32 {
        let path = worktrees.parent().unwrap().join(file);
        std::fs::read_to_string(path)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let (inside, outside) = (pid("in"), pid("out"));
    assert!(process_table::is_running(inside));
    bench.runtime.stop(&session, "enough").await.unwrap();
    assert!(
        !process_table::is_running(inside),
        "stopped means that nothing runs"
    );
    super::super::group::wait_until_gone_for_tests(outside).await;
    let exit = bench.exit().await;
    assert_eq!((exit.status, exit.asked), (ExitStatus::Failed, true));
}

#[tokio::test]
async fn garbage_is_named_and_too_much_of_it_ends_the_session() {
    let script = format!(
        r#"{BEATS}
        echo 'warning: unused'
        echo '{{"type":"heartbeat"}}'
        i=0; while [ $i -lt 100 ]; do echo "garbage $i"; i=$((i+1)); done
        sleep 1000"#
    );
    let mut bench = Bench::new(&script).await;
    bench.runtime.start(bench.request(1)).await.unwrap();
    bench.next().await;
    let AgentOutputKind::Violation(violation) = bench.next().await else {
        panic!("expected a violation");
    };
    let text = violation.to_string();
    let expected = "agent a1 of town t1, session 1, line 2: expected one JSON object per line: ";
    assert!(text.starts_with(expected), "{text}");
    assert!(matches!(bench.next().await, AgentOutputKind::Heartbeat(_)));
    for in_a_row in 1..=BAD_LINES_IN_A_ROW_MAX {
        let AgentOutputKind::Violation(violation) = bench.next().await else {
            panic!("expected a violation");
        };
        assert_eq!(violation.in_a_row, in_a_row);
    }
    let exit = bench.exit().await;
    assert_eq!((exit.status, exit.asked), (ExitStatus::Failed, false));
    assert!(
        exit.reason.contains("wrote 20 lines in a row"),
        "{}",
        exit.reason
    );
    assert!(bench.log(1).contains("bad warning: unused"));
}

struct OneToken;

#[async_trait]
impl Credentials for OneToken {
    async fn of_session(
        &self,
        _: &StartRequest,
    ) -> Result<BTreeMap<String, Secret>, CredentialsError> {
        Ok([("API_TOKEN".to_owned(), Secret::new("tok-12345678"))].into())
    }

    async fn of_repository(&self, _: &TownId, _: &str) -> Result<Option<Secret>, CredentialsError> {
        Ok(None)
    }
}

#[tokio::test]
async fn an_agent_gets_its_secrets_and_its_log_does_not() {
    let script = format!(
        r#"{BEATS}
        test "$API_TOKEN" = tok-12345678 || exit 1
        test -z "$CARGO_MANIFEST_DIR" || exit 2
        echo "token $API_TOKEN" >&2; echo "organization ${{GASTOWN_ORGANIZATION_ID-none}}" >&2
        echo "garbage $API_TOKEN""#
    );
    let mut bench = Bench::with(&script, Arc::new(OneToken), PATIENCE).await;
    bench.runtime.start(bench.request(1)).await.unwrap();
    bench.next().await;
    bench.next().await;
    assert_eq!(bench.exit().await.reason, "exited with status 0");
    let log = bench.log(1);
    assert!(
        log.contains("err token [redacted]\nerr organization none"),
        "{log}"
    );
    assert!(!log.contains("tok-12345678"), "{log}");
    let mut request = bench.request(2);
    request.organization_id = Some("org-7".into());
    bench.runtime.start(request).await.unwrap();
    while !matches!(bench.next().await, AgentOutputKind::Exited(_)) {}
    assert!(bench.log(2).contains("err organization org-7"));
}

#[tokio::test]
async fn a_later_session_replaces_an_earlier_one_and_never_the_other_way() {
    let script = format!(r#"{BEATS} read -r stop; exit 0"#);
    let mut bench = Bench::new(&script).await;
    bench.runtime.start(bench.request(1)).await.unwrap();
    bench.next().await;
    bench.runtime.start(bench.request(2)).await.unwrap();
    assert!(
        bench.exit().await.asked,
        "the first ended before the second began"
    );
    bench.next().await;
    let error = bench.runtime.start(bench.request(1)).await.unwrap_err();
    assert!(matches!(error, AgentRuntimeError::Rejected { .. }));
    assert_eq!(
        bench.runtime.status(&session_id("t1", "a1", 2)).await,
        ProcessStatus::Running
    );
    assert_eq!(
        bench.runtime.status(&session_id("t1", "a1", 1)).await,
        ProcessStatus::Exited
    );
    assert_eq!(
        bench.runtime.status(&session_id("t1", "a1", 3)).await,
        ProcessStatus::NotFound
    );
    assert_eq!(bench.runtime.stop_all("the end").await, []);
    assert!(bench.exit().await.asked);
}

#[tokio::test]
async fn what_can_not_start_is_rejected_and_leaves_nothing() {
    let mut bench = Bench::new("exit 0").await;
    let mut request = bench.request(1);
    request.git_url = bench.dir.path().join("nowhere").display().to_string();
    let error = bench.runtime.start(request).await.unwrap_err().to_string();
    assert!(
        error.starts_with("could not start the session: `git fetch"),
        "{error}"
    );
    let words = CommandTemplate::new(["/no/such/agent"]).unwrap();
    bench.runtime.settings.command = words;
    let error = bench.runtime.start(bench.request(2)).await.unwrap_err();
    let expected = "could not start the session: could not run /no/such/agent: \
                    No such file or directory (os error 2)";
    assert_eq!(error.to_string(), expected);
    let missing = bench.runtime.preflight().await.unwrap_err();
    assert_eq!(
        missing.to_string(),
        "missing on this machine: /no/such/agent"
    );
    assert_eq!(
        bench.runtime.status(&session_id("t1", "a1", 2)).await,
        ProcessStatus::NotFound
    );
}

#[tokio::test]
async fn a_directory_is_used_by_one_process_at_a_time() {
    let bench = Bench::new("exit 0").await;
    let settings = settings(bench.dir.path(), "exit 0");
    let again = ProcessRuntime::open(settings.clone(), Arc::new(NoCredentials)).await;
    let error = again.err().unwrap().to_string();
    assert!(
        error.ends_with("run is in use by another process"),
        "{error}"
    );
    drop(bench.runtime);
    assert!(
        ProcessRuntime::open(settings, Arc::new(NoCredentials))
            .await
            .is_ok()
    );
}

/// A process group such as a host that was killed leaves behind.
fn leftover(environment: &[(&str, &str)]) -> Child {
    Command::new("sh")
        .args(["-c", "sleep 1000 & wait"])
        .process_group(0)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .envs(environment.iter().copied())
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn what_a_killed_host_left_running_is_ended_before_anything_starts() {
    let dir = tempfile::tempdir().unwrap();
    let settings = settings(dir.path(), "exit 0");
    std::fs::create_dir_all(settings.dir.join("sessions")).unwrap();
    let records = Records::new(settings.dir.join("sessions"));
    let write = |agent: &str, child: &Child| {
        let pid = i32::try_from(child.id().unwrap()).unwrap();
        let record = SessionRecord::new(&session_id("t1", agent, 4), pid);
        records.write(&record).unwrap();
        record
    };
    let mut recorded = leftover(&[]);
    write("a1", &recorded);
    let path = settings.dir.canonicalize().unwrap();
    let mut unrecorded = leftover(&[(environment::DIRECTORY, path.to_str().unwrap())]);
    // The number was given to somebody else since.
    let mut innocent = leftover(&[]);
    let record = write("a2", &innocent);
    let reused = SessionRecord {
        start_time: record.start_time.map(|time| time - 1),
        ..record
    };
    records.write(&reused).unwrap();
    let credentials = Arc::new(NoCredentials);
    let (opened, ended, stray) = tokio::join!(
        ProcessRuntime::open(settings, credentials),
        timeout(PATIENCE, recorded.wait()),
        timeout(PATIENCE, unrecorded.wait()),
    );
    let (runtime, _outputs) = opened.unwrap();
    assert!(!ended.unwrap().unwrap().success());
    assert!(!stray.unwrap().unwrap().success());
    assert_eq!(
        innocent.try_wait().unwrap(),
        None,
        "it is nobody's leftover"
    );
    let status = runtime.status(&session_id("t1", "a1", 4)).await;
    assert_eq!(status, ProcessStatus::Exited);
    Group::of(&innocent).unwrap().kill();
    innocent.wait().await.unwrap();
}

#[tokio::test]
async fn a_session_that_is_asked_to_wrap_up_ends_by_itself_and_its_work_is_saved() {
    let script = format!(r#"{BEATS} echo half > half.txt; read -r stop; echo "$stop" >&2; exit 0"#);
    let mut bench = Bench::new(&script).await;
    let request = bench.request(1);
    let session = &request.session;
    bench.runtime.start(request.clone()).await.unwrap();
    assert!(matches!(bench.next().await, AgentOutputKind::Heartbeat(_)));
    let error = bench
        .runtime
        .save_work(session, PATIENCE)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("runs"), "{error}");
    bench
        .runtime
        .wrap_up(session, "the container goes away")
        .await
        .unwrap();
    let exit = bench.exit().await;
    assert_eq!((exit.status, exit.asked), (ExitStatus::Completed, true));
    assert!(
        bench
            .log(1)
            .contains(r#"{"type":"stop","reason":"the container goes away"}"#)
    );
    let saved = bench
        .runtime
        .save_work(session, PATIENCE)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(saved.branch.as_deref(), Some("work"));
    let bare = PathBuf::from(bench.origin.url());
    assert_eq!(
        crate::testing::git(&bare, &["show", "work:half.txt"]),
        "half"
    );
    let error = bench.runtime.wrap_up(session, "again").await.unwrap_err();
    assert!(matches!(error, AgentRuntimeError::NotRunning));
    // Of an agent that is gone for good nothing stays but what its branch has.
    let (town, agent) = (&session.town_id, &session.agent_id);
    assert_eq!(bench.runtime.kept(town).await, std::slice::from_ref(agent));
    bench.runtime.forget(town, agent).await.unwrap();
    assert_eq!(bench.runtime.kept(town).await, []);
    assert!(!bench.dir.path().join("run/logs/t1/a1").exists());
    assert_eq!(bench.runtime.status(session).await, ProcessStatus::NotFound);
}

#[tokio::test]
async fn a_result_that_does_not_fit_into_a_line_is_a_refusal() {
    let script = format!(
        r#"{BEATS}
        echo '{{"type":"tool","id":5,"name":"gt_mail_check","input":{{}}}}'
        read -r result; echo "$result" >&2
        exit 0"#
    );
    let mut bench = Bench::new(&script).await;
    bench.runtime.start(bench.request(1)).await.unwrap();
    assert!(matches!(bench.next().await, AgentOutputKind::Heartbeat(_)));
    let AgentOutputKind::Tool(call) = bench.next().await else {
        panic!("expected the call");
    };
    call.reply.accept(json!("x".repeat(LINE_BYTES_MAX)));
    assert_eq!(bench.exit().await.status, ExitStatus::Completed);
    let log = bench.log(1);
    assert!(log.contains(r#""id":5,"ok":false"#), "{log}");
    assert!(log.contains("the call was carried out"), "{log}");
}

#[tokio::test]
async fn a_start_that_does_not_fit_into_a_line_is_refused_before_anything_is_made_for_it() {
    let bench = Bench::new("exit 0").await;
    let mut request = bench.request(1);
    request.prompt = "x".repeat(LINE_BYTES_MAX);
    let error = bench.runtime.start(request.clone()).await.unwrap_err();
    assert!(
        matches!(&error, AgentRuntimeError::Rejected { reason } if reason.contains("does not fit")),
        "{error}"
    );
    let worktree = bench.runtime.worktree(&request.session).unwrap();
    assert!(!worktree.exists());
    let status = bench.runtime.status(&request.session).await;
    assert_eq!(status, ProcessStatus::NotFound);
}

/// What the core leaves of a start is what a line has room for.
#[test]
fn the_longest_start_of_a_town_fits_into_a_line() {
    let text = serde_json::to_string(&"\u{1}".repeat(64 * 1024)).unwrap();
    let branch = "\u{1}".repeat(1_024);
    let mut town = String::from(
        "town config.organization_id=ORG config.default_model=ORG
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=1
        bead b1 issue in_progress title=Triage created_by=patrol rig_id=r1 labels=[\"gt:triage\"]\n",
    );
    let longest = serde_json::to_string(&"\u{1}".repeat(2_000)).unwrap();
    town = town.replace("ORG", &longest);
    for request in 0..50 {
        town.push_str(&format!(
            "bead q{request} issue open title=x body={text} rig_id=r1 labels=[\"gt:triage-request\"] metadata.triage_type=stuck_agent metadata.agent_id=a2\n"
        ));
    }
    let start = gastown_core::effects::StartAgent {
        agent_id: "a1".parse().unwrap(),
        bead_id: "b1".parse().unwrap(),
        rig_id: "r1".parse().unwrap(),
        session: 1,
        attempt: 1,
    };
    let town = gastown_core::testing::town(&town);
    let mut request = gastown_core::start_request(&town, &start).unwrap();
    (request.branch, request.target_branch) = (branch.clone(), branch);
    let line = ToAgent::from(Start::from(&request)).to_line().unwrap();
    assert!(line.len() > LINE_BYTES_MAX / 8, "{}", line.len());
}
