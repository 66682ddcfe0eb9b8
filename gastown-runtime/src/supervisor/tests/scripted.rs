//! A runtime that does as it is told.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::events::ProcessStatus;
use gastown_core::{AgentMessage, AgentRuntime, AgentRuntimeError, SessionId, StartRequest};
use tokio::time::sleep;

/// How a start ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum End {
    Ok,
    Rejected,
    Unknown,
    Hangs,
}

/// How one start goes: so long until the session exists, so long until the start returns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Script {
    pub(super) create_after: u64,
    pub(super) return_after: u64,
    pub(super) end: End,
}

pub(super) const SWIFT: Script = Script {
    create_after: 1,
    return_after: 1,
    end: End::Ok,
};

#[derive(Default)]
pub(super) struct Scripted {
    pub(super) scripts: Mutex<Vec<Script>>,
    pub(super) running: Mutex<BTreeSet<u64>>,
    pub(super) created: Mutex<Vec<u64>>,
    pub(super) stop_hangs: AtomicBool,
    /// Sessions that were created and have ended, by whatever.
    pub(super) ended: Mutex<Vec<u64>>,
    /// Failures that were handed to a start.
    pub(super) failures: Mutex<usize>,
}

impl Scripted {
    pub(super) fn running(&self) -> Vec<u64> {
        self.running.lock().unwrap().iter().copied().collect()
    }

    /// A session that an earlier host started.
    pub(super) fn leave(&self, session: u64) {
        self.running.lock().unwrap().insert(session);
        self.created.lock().unwrap().push(session);
    }

    pub(super) fn end(&self, session: u64) {
        if self.running.lock().unwrap().remove(&session) {
            self.ended.lock().unwrap().push(session);
        }
    }
}

#[async_trait]
impl AgentRuntime for Scripted {
    async fn preflight(&self) -> Result<(), AgentRuntimeError> {
        Ok(())
    }

    async fn start(&self, request: StartRequest) -> Result<(), AgentRuntimeError> {
        sleep(Duration::from_millis(1)).await;
        let session = request.session.session;
        if self.running().contains(&session) {
            return Ok(());
        }
        let script = self.scripts.lock().unwrap().pop().unwrap_or(SWIFT);
        sleep(Duration::from_millis(script.create_after)).await;
        let reason = || "scripted".to_owned();
        if script.end == End::Rejected {
            *self.failures.lock().unwrap() += 1;
            return Err(AgentRuntimeError::Rejected { reason: reason() });
        }
        {
            let mut running = self.running.lock().unwrap();
            assert!(
                running.is_empty(),
                "{session} would be a twin of {running:?}"
            );
            running.insert(session);
            self.created.lock().unwrap().push(session);
        }
        sleep(Duration::from_millis(script.return_after)).await;
        match script.end {
            End::Ok | End::Rejected => Ok(()),
            End::Unknown => Err(AgentRuntimeError::Unknown { reason: reason() }),
            End::Hangs => std::future::pending().await,
        }
    }

    async fn stop(&self, session: &SessionId, _: &str) -> Result<(), AgentRuntimeError> {
        sleep(Duration::from_millis(3)).await;
        if self.stop_hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        self.end(session.session);
        Ok(())
    }

    async fn status(&self, session: &SessionId) -> ProcessStatus {
        match self.running().contains(&session.session) {
            true => ProcessStatus::Running,
            false => ProcessStatus::NotFound,
        }
    }

    async fn deliver(&self, _: &SessionId, _: AgentMessage) -> Result<(), AgentRuntimeError> {
        std::future::pending().await
    }
}
