//! Agents that do as they are told.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::events::ProcessStatus;
use gastown_core::{
    AgentId, AgentMessage, AgentRuntime, AgentRuntimeError, SavedWork, SessionId, StartRequest,
    TownId,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::PATIENCE;

/// Agents that start at once, or never answer.
#[derive(Default)]
pub(in crate::driver::tests) struct Agents {
    hangs: AtomicBool,
    /// How long a start takes until its session runs.
    start_takes: Mutex<Duration>,
    stops_hang: AtomicBool,
    /// How long a stop takes until its session has ended.
    stop_takes: Mutex<Duration>,
    questions_hang: AtomicBool,
    /// What the preflight finds missing.
    missing: Mutex<Option<String>>,
    /// The starts that are refused, the next one first.
    refusals: Mutex<Vec<AgentRuntimeError>>,
    /// The town whose starts never return.
    hangs_in: Mutex<BTreeSet<TownId>>,
    asked: Notify,
    asked_starts: Mutex<usize>,
    started: Notify,
    running: Mutex<Vec<SessionId>>,
    starts: Mutex<Vec<SessionId>>,
    seen: Mutex<usize>,
    /// What is said of sessions that do not run.
    status: Mutex<Option<ProcessStatus>>,
    requests: Mutex<Vec<StartRequest>>,
    asked_to_leave: Mutex<Vec<SessionId>>,
    saved: Mutex<Vec<SessionId>>,
    forgotten: Mutex<Vec<AgentId>>,
}

impl Agents {
    pub(in crate::driver::tests) fn refuse_to_answer(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }

    pub(in crate::driver::tests) fn hang_in(&self, town: TownId) {
        self.hangs_in.lock().unwrap().insert(town);
    }

    pub(in crate::driver::tests) fn let_starts_take(&self, span: Duration) {
        *self.start_takes.lock().unwrap() = span;
    }

    pub(in crate::driver::tests) fn let_stops_hang(&self, hang: bool) {
        self.stops_hang.store(hang, Ordering::Relaxed);
    }

    pub(in crate::driver::tests) fn let_stops_take(&self, span: Duration) {
        *self.stop_takes.lock().unwrap() = span;
    }

    /// Nobody is told what runs and what is kept.
    pub(in crate::driver::tests) fn answer_no_questions(&self) {
        self.questions_hang.store(true, Ordering::Relaxed);
    }

    async fn may_answer(&self) {
        if self.questions_hang.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    pub(in crate::driver::tests) fn miss(&self, tools: Option<&str>) {
        *self.missing.lock().unwrap() = tools.map(String::from);
    }

    pub(in crate::driver::tests) fn refuse_next_start(&self, error: AgentRuntimeError) {
        self.refusals.lock().unwrap().push(error);
    }

    /// How many starts were asked for, whatever came of them.
    pub(in crate::driver::tests) fn asked_starts(&self) -> usize {
        *self.asked_starts.lock().unwrap()
    }

    pub(in crate::driver::tests) async fn asked(&self) {
        timeout(PATIENCE, self.asked.notified()).await.unwrap();
    }

    /// Every start that was carried out, in order.
    pub(in crate::driver::tests) fn requests(&self) -> Vec<StartRequest> {
        self.requests.lock().unwrap().clone()
    }

    pub(in crate::driver::tests) fn running(&self) -> Vec<SessionId> {
        self.running.lock().unwrap().clone()
    }

    pub(in crate::driver::tests) fn asked_to_leave(&self) -> Vec<SessionId> {
        self.asked_to_leave.lock().unwrap().clone()
    }

    pub(in crate::driver::tests) fn saved(&self) -> Vec<SessionId> {
        self.saved.lock().unwrap().clone()
    }

    pub(in crate::driver::tests) fn forgotten(&self) -> Vec<AgentId> {
        self.forgotten.lock().unwrap().clone()
    }

    pub(in crate::driver::tests) fn starts(&self) -> usize {
        self.starts.lock().unwrap().len()
    }

    pub(in crate::driver::tests) fn end(&self, session: &SessionId) {
        self.running
            .lock()
            .unwrap()
            .retain(|running| running != session);
    }

    pub(in crate::driver::tests) fn set_status(&self, status: ProcessStatus) {
        *self.status.lock().unwrap() = Some(status);
    }

    pub(in crate::driver::tests) async fn next_start(&self) -> SessionId {
        loop {
            let next = {
                let mut seen = self.seen.lock().unwrap();
                let next = self.starts.lock().unwrap().get(*seen).cloned();
                *seen += usize::from(next.is_some());
                next
            };
            match next {
                Some(session) => return session,
                None => timeout(PATIENCE, self.started.notified())
                    .await
                    .expect("no start"),
            }
        }
    }
}

#[async_trait]
impl AgentRuntime for Agents {
    async fn preflight(&self) -> Result<(), AgentRuntimeError> {
        match self.missing.lock().unwrap().clone() {
            Some(tools) => Err(AgentRuntimeError::MissingTools { tools }),
            None => Ok(()),
        }
    }

    async fn start(&self, request: StartRequest) -> Result<(), AgentRuntimeError> {
        *self.asked_starts.lock().unwrap() += 1;
        self.asked.notify_one();
        let town_id = &request.session.town_id;
        let hangs = self.hangs_in.lock().unwrap().contains(town_id);
        if hangs || self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        if let Some(error) = self.refusals.lock().unwrap().pop() {
            return Err(error);
        }
        let takes = *self.start_takes.lock().unwrap();
        sleep(takes).await;
        self.running.lock().unwrap().push(request.session.clone());
        self.requests.lock().unwrap().push(request.clone());
        self.starts.lock().unwrap().push(request.session);
        self.started.notify_one();
        Ok(())
    }

    async fn stop(&self, session: &SessionId, _: &str) -> Result<(), AgentRuntimeError> {
        if self.stops_hang.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let takes = *self.stop_takes.lock().unwrap();
        sleep(takes).await;
        self.end(session);
        Ok(())
    }

    async fn wrap_up(&self, session: &SessionId, _: &str) -> Result<(), AgentRuntimeError> {
        self.asked_to_leave.lock().unwrap().push(session.clone());
        Ok(())
    }

    async fn save_work(
        &self,
        session: &SessionId,
        _: Duration,
    ) -> Result<Option<SavedWork>, AgentRuntimeError> {
        let runs = self.running.lock().unwrap().contains(session);
        assert!(!runs, "saved while it runs");
        self.saved.lock().unwrap().push(session.clone());
        Ok(Some(SavedWork {
            branch: Some("kept".into()),
            commit: Some("c0ffee".into()),
            aside: None,
        }))
    }

    async fn kept(&self, _: &TownId) -> Vec<AgentId> {
        self.may_answer().await;
        vec!["stranger".parse().unwrap()]
    }

    async fn forget(&self, _: &TownId, agent: &AgentId) -> Result<(), AgentRuntimeError> {
        self.forgotten.lock().unwrap().push(agent.clone());
        Ok(())
    }

    async fn status(&self, session: &SessionId) -> ProcessStatus {
        self.may_answer().await;
        if self.running.lock().unwrap().contains(session) {
            return ProcessStatus::Running;
        }
        self.status
            .lock()
            .unwrap()
            .unwrap_or(ProcessStatus::NotFound)
    }

    async fn deliver(&self, _: &SessionId, _: AgentMessage) -> Result<(), AgentRuntimeError> {
        Ok(())
    }
}
