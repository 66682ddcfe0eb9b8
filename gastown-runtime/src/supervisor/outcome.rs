//! What comes of starts and stops, what is seen of sessions, and how long things may take.

use std::time::Duration;

/// What came of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartOutcome {
    /// The session runs now.
    Started,
    /// The session ran already.
    AlreadyRunning,
    /// Another start or a stop overtook this one. No failure: the attempt is spent, nobody is to
    /// blame (spec 6.3).
    StartupAborted,
    /// Nothing was started, and nothing runs.
    Rejected {
        /// Why, for a person.
        reason: String,
    },
    /// Something may run: the start failed in an unclear way, or its deadline passed.
    Unknown {
        /// Why, for a person.
        reason: String,
    },
}

/// What came of a stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopOutcome {
    /// Nothing of the session runs.
    Stopped,
    /// Something may still run.
    Unknown {
        /// Why, for a person.
        reason: String,
    },
}

/// What was seen of a session from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// It does something.
    Active,
    /// It lives and does nothing.
    Idle,
    /// It ended.
    Exited,
}

/// How long things may take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorSettings {
    /// How long a start may take before its outcome is unknown; a first start fetches the whole
    /// repository.
    pub start_deadline: Duration,
    /// How long a stop may take before its outcome is unknown; longer than the runtime asks,
    /// waits and kills.
    pub stop_deadline: Duration,
    /// How long the delivery of a message may take.
    pub deliver_deadline: Duration,
    /// How long agents may take to wrap up before an eviction (spec 6.4).
    pub wrap_up_wait: Duration,
    /// How long the saving of one agent's work may take once it is its turn.
    pub save_deadline: Duration,
}

impl SupervisorSettings {
    /// Ten minutes to start, two to stop, ten seconds to deliver, five minutes to wrap up, one
    /// to save.
    #[must_use]
    pub fn usual() -> Self {
        Self {
            start_deadline: Duration::from_secs(10 * 60),
            stop_deadline: Duration::from_secs(2 * 60),
            deliver_deadline: Duration::from_secs(10),
            wrap_up_wait: Duration::from_secs(5 * 60),
            save_deadline: Duration::from_secs(60),
        }
    }
}
