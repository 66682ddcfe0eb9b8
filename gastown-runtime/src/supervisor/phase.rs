//! Where an agent's session is in its life.

/// Where an agent's session is in its life (spec 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing is known of a session.
    #[default]
    Absent,
    /// A start is under way.
    Starting,
    /// The session runs and does something.
    Running,
    /// The session runs and does nothing.
    Idle,
    /// A stop is under way, or the undoing of a start.
    Stopping,
    /// The session ended.
    Exited,
    /// The session did not start, or it is not known whether it runs.
    Failed,
}

impl Phase {
    /// Every phase.
    pub const ALL: [Phase; 7] = [
        Self::Absent,
        Self::Starting,
        Self::Running,
        Self::Idle,
        Self::Stopping,
        Self::Exited,
        Self::Failed,
    ];

    /// The legal transitions, as one table (design 4).
    #[must_use]
    pub const fn may_become(self, to: Phase) -> bool {
        use Phase::{Absent, Exited, Failed, Idle, Running, Starting, Stopping};
        matches!(
            (self, to),
            // A stop may come for a session of which only the runtime knows.
            (Absent | Exited | Failed, Starting | Stopping)
                | (Starting, Running | Exited | Stopping | Failed)
                | (Running, Idle | Stopping | Exited)
                | (Idle, Running | Stopping | Exited)
                | (Stopping, Exited | Failed)
                // An unknown start turns out to have worked, or to be over.
                | (Failed, Running | Idle | Exited)
        )
    }

    /// Whether the session is known to run.
    #[must_use]
    pub const fn is_running(self) -> bool {
        matches!(self, Self::Running | Self::Idle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of spec 6.3 by hand: rows are from, columns are to, in the order of `ALL`.
    #[test]
    fn the_table_is_the_specs() {
        let expected = [
            ".s..p..", // absent: may start, may be stopped
            "..r.pef", // starting: runs, is undone, ends at once, fails
            "...ipe.", // running
            "..r.pe.", // idle
            ".....ef", // stopping
            ".s..p..", // exited
            ".sripe.", // failed: may turn out to run
        ];
        for (from, row) in Phase::ALL.into_iter().zip(expected) {
            for (to, mark) in Phase::ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.may_become(to), mark != '.', "{from:?} -> {to:?}");
            }
        }
    }
}
