//! A clock, a forge and a container that do as they are told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::forges::{CreateBranchRequest, MergeRequest, ObserveRequest, VerifyRequest};
use gastown_core::{
    Forge, ForgeError, MergeOutcome, Observation, Timestamp, TownId, VerifyOutcome,
};

use crate::clock::Clock;
use crate::ports::{Container, PortError};

/// A wall clock that follows tokio's and can jump.
#[derive(Clone)]
pub(in crate::driver::tests) struct TestClock {
    begin: tokio::time::Instant,
    jumped: Arc<Mutex<Duration>>,
}

impl TestClock {
    pub(in crate::driver::tests) fn new() -> Self {
        Self {
            begin: tokio::time::Instant::now(),
            jumped: Arc::default(),
        }
    }

    pub(in crate::driver::tests) fn jump(&self, span: Duration) {
        *self.jumped.lock().unwrap() += span;
    }

    /// Takes back what it jumped.
    pub(in crate::driver::tests) fn jump_back(&self) {
        *self.jumped.lock().unwrap() = Duration::ZERO;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let begin: Timestamp = "2026-04-04T12:00:00Z".parse().unwrap();
        begin.plus(self.begin.elapsed() + *self.jumped.lock().unwrap())
    }

    fn monotonic(&self) -> Duration {
        self.begin.elapsed()
    }
}

/// A forge on which everything that is asked for is so, or that never answers.
#[derive(Default)]
pub(in crate::driver::tests) struct Willing {
    hangs: AtomicBool,
    panics: AtomicBool,
    /// How often a branch was asked for.
    pub(in crate::driver::tests) branches: AtomicUsize,
}

impl Willing {
    pub(in crate::driver::tests) fn refuse_to_answer(&self, hangs: bool) {
        self.hangs.store(hangs, Ordering::Relaxed);
    }

    pub(in crate::driver::tests) fn panic_once(&self) {
        self.panics.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl Forge for Willing {
    async fn observe(&self, _: ObserveRequest) -> Result<Observation, ForgeError> {
        Err(ForgeError::UnrecognizedUrl)
    }

    async fn merge(&self, _: MergeRequest) -> MergeOutcome {
        MergeOutcome::Error {
            error: ForgeError::UnrecognizedUrl,
        }
    }

    async fn verify_merge(&self, _: VerifyRequest) -> VerifyOutcome {
        VerifyOutcome::Unknown
    }

    async fn create_branch(&self, _: CreateBranchRequest) -> Result<(), ForgeError> {
        self.branches.fetch_add(1, Ordering::Relaxed);
        let panics = self.panics.swap(false, Ordering::Relaxed);
        assert!(!panics, "an adapter with a fault");
        if self.hangs.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}

/// A container whose tokens live as long as they say.
#[derive(Default)]
pub(in crate::driver::tests) struct Tokens {
    /// When each refresh of the container's token was asked for.
    pub(in crate::driver::tests) refreshed: Mutex<Vec<tokio::time::Instant>>,
    /// When each renewal of the model's token was asked for, and until when it is good.
    pub(in crate::driver::tests) renewed: Mutex<Vec<Timestamp>>,
    pub(in crate::driver::tests) llm_expiry: Mutex<Option<Timestamp>>,
}

#[async_trait]
impl Container for Tokens {
    async fn refresh_token(&self, _: &TownId) -> Result<Option<Timestamp>, PortError> {
        let now = tokio::time::Instant::now();
        self.refreshed.lock().unwrap().push(now);
        Ok(None)
    }

    async fn renew_llm_token(&self, _: &TownId) -> Result<Option<Timestamp>, PortError> {
        let mut expiry = self.llm_expiry.lock().unwrap();
        self.renewed.lock().unwrap().extend(*expiry);
        *expiry = expiry.map(|at| at.plus(Duration::from_secs(30 * 24 * 3_600)));
        Ok(*expiry)
    }

    async fn stop(&self, _: &TownId) -> Result<(), PortError> {
        Ok(())
    }
}
