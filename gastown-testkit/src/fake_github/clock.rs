//! The time of the fake.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// The time of the fake: a script moves it, or somebody tells it. Clones are one clock.
#[derive(Clone)]
pub struct FakeClock(Source);

#[derive(Clone)]
enum Source {
    Script(Arc<Mutex<DateTime<Utc>>>),
    Told(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>),
}

impl fmt::Debug for FakeClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FakeClock({})", self.now())
    }
}

impl FakeClock {
    /// A clock that stands still until it is moved.
    #[must_use]
    pub fn scripted(start: DateTime<Utc>) -> Self {
        Self(Source::Script(Arc::new(Mutex::new(start))))
    }

    /// The clock of somebody else, the machine's say.
    pub fn told_by(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Source::Told(Arc::new(now)))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        match &self.0 {
            Source::Script(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
            Source::Told(now) => now(),
        }
    }

    /// Moves a scripted clock forward; somebody else's is left alone.
    pub fn advance(&self, span: Duration) {
        let Source::Script(time) = &self.0 else {
            return;
        };
        let mut time = time.lock().unwrap_or_else(PoisonError::into_inner);
        let span = TimeDelta::from_std(span).unwrap_or(TimeDelta::MAX);
        *time = time.checked_add_signed(span).unwrap_or(*time);
    }
}
