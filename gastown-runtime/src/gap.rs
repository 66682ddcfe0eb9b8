//! Times in which the host saw nothing: it slept, or its clock jumped (spec 1.8, 6.2).

use std::time::Duration;

use gastown_core::Timestamp;
use gastown_core::events::ObservationGap;

/// How far wall and monotonic clock may drift apart before it is a gap (spec 6.2).
const DRIFT_MAX: Duration = Duration::from_secs(10);

/// Compares wall and monotonic clock from look to look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gaps {
    wall: Timestamp,
    monotonic: Duration,
}

impl Gaps {
    pub(crate) fn new(wall: Timestamp, monotonic: Duration) -> Self {
        Self { wall, monotonic }
    }

    /// The gap since the last look, if the clocks drifted apart: the monotonic one stands still
    /// while the host sleeps, the wall clock jumps when it is set.
    pub(crate) fn look(&mut self, wall: Timestamp, monotonic: Duration) -> Option<ObservationGap> {
        let before = std::mem::replace(self, Self { wall, monotonic });
        let elapsed = monotonic.saturating_sub(before.monotonic);
        let expected = before.wall.plus(elapsed);
        let drift = wall.since(expected).max(expected.since(wall));
        (drift > DRIFT_MAX).then_some(ObservationGap {
            from: before.wall.min(wall),
            to: wall,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_ten_seconds_of_drift_either_way_is_a_gap() {
        let begin = Timestamp::from_millis(1_000_000_000);
        let cases: [(i64, u64, bool); 6] = [
            (60_000, 60_000, false),
            (70_000, 60_000, false),
            (70_001, 60_000, true),
            (50_000, 60_000, false),
            (49_999, 60_000, true),
            (-1, 0, false),
        ];
        for (wall, monotonic, expected) in cases {
            let mut gaps = Gaps::new(begin, Duration::from_secs(5));
            let wall = Timestamp::from_millis(1_000_000_000 + wall);
            let gap = gaps.look(
                wall,
                Duration::from_secs(5) + Duration::from_millis(monotonic),
            );
            assert_eq!(gap.is_some(), expected, "{wall}");
            assert!(gap.is_none_or(|gap| gap.from <= gap.to && gap.to == wall));
            // It is reported once.
            let later = Duration::from_secs(5) + Duration::from_millis(monotonic);
            assert_eq!(gaps.look(wall, later), None);
        }
    }
}
