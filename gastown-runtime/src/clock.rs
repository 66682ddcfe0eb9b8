//! The only place that asks a clock (design 5).

use std::time::{Duration, SystemTime};

use gastown_core::Timestamp;

/// Where the runtime takes the time from.
///
/// # To ensure correctness
/// - `monotonic` never goes back; `now` may, as wall clocks do. The runtime compares the two to
///   find out that the host slept (spec 6.2).
pub trait Clock: Send + Sync + 'static {
    /// The wall clock's time.
    fn now(&self) -> Timestamp;

    /// The time since any fixed point; never goes back, and may stand still while the host sleeps.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks. The monotonic one is tokio's, so that tests can pause it.
#[derive(Debug, Clone)]
pub struct SystemClock {
    begin: tokio::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            begin: tokio::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the place that may")]
    fn now(&self) -> Timestamp {
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A clock before 1970 is broken in a way that only shows as a very old time.
        let millis = since_1970.map_or(0, |span| i64::try_from(span.as_millis()).unwrap_or(0));
        Timestamp::from_millis(millis)
    }

    fn monotonic(&self) -> Duration {
        self.begin.elapsed()
    }
}

/// How long ago a file was written, by the clock that file systems use; none of one of a time to
/// come.
#[expect(clippy::disallowed_methods, reason = "this is the place that may")]
pub(crate) fn file_age(written: SystemTime) -> Option<Duration> {
    SystemTime::now().duration_since(written).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_wall_clock_is_in_this_century_and_the_other_follows_tokio() {
        let clock = SystemClock::new();
        let year_2020: Timestamp = "2020-01-01T00:00:00Z".parse().unwrap();
        assert!(clock.now() > year_2020);
        let before = clock.monotonic();
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.monotonic() - before, Duration::from_secs(5));
    }
}
