//! Process groups: what a session started is ended as a whole.

use std::time::Duration;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::Child;
use tokio::time::{Instant, sleep};

use super::process_table;

/// How often it is looked whether a group that was killed is gone: there is nothing to wait on
/// for processes that are not our children.
const GONE_POLL: Duration = Duration::from_millis(10);
/// How long a killed group may take to be gone; the kernel needs milliseconds, a process that
/// hangs in a file system longer.
const GONE_WAIT_MAX: Duration = Duration::from_secs(10);

/// A process group by the number of its leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group(Pid);

impl Group {
    /// The group that `child` leads, unless it was waited for already.
    pub(crate) fn of(child: &Child) -> Option<Self> {
        Self::from_number(i32::try_from(child.id()?).ok()?)
    }

    /// A group by number. The numbers 0 and 1 mean something else to `kill` and are none.
    pub(crate) fn from_number(number: i32) -> Option<Self> {
        (number > 1)
            .then(|| Pid::from_raw(number))
            .flatten()
            .map(Self)
    }

    pub(crate) fn number(self) -> i32 {
        self.0.as_raw_nonzero().get()
    }

    /// Asks every process of the group to end.
    pub(crate) fn terminate(self) {
        self.signal(Signal::TERM);
    }

    /// Ends every process of the group.
    pub(crate) fn kill(self) {
        self.signal(Signal::KILL);
    }

    fn signal(self, signal: Signal) {
        match kill_process_group(self.0, signal) {
            // Gone already is what was wanted.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => tracing::warn!(group = self.number(), %error, "could not signal a group"),
        }
    }

    /// Whether anything of the group still runs. Zombies don't: they only wait to be collected,
    /// perhaps by a parent that never will.
    pub(crate) fn is_alive(self) -> bool {
        match test_kill_process_group(self.0) {
            Err(Errno::SRCH) => false,
            Ok(()) | Err(_) => process_table::group_runs(self.number()),
        }
    }

    /// Waits until nothing of the group runs; false when it took too long.
    pub(crate) async fn gone(self) -> bool {
        self.gone_within(GONE_WAIT_MAX).await
    }

    /// Waits until nothing of the group runs, for at most `wait`.
    pub(crate) async fn gone_within(self, wait: Duration) -> bool {
        let deadline = Instant::now().checked_add(wait);
        while self.is_alive() {
            if deadline.is_none_or(|deadline| Instant::now() >= deadline) {
                return false;
            }
            sleep(GONE_POLL).await;
        }
        true
    }

    /// Asks, waits for at most `wait`, kills, and waits until it is gone; false when something
    /// may still run.
    pub(crate) async fn end(self, wait: Duration) -> bool {
        self.terminate();
        if self.gone_within(wait).await {
            return true;
        }
        self.kill();
        self.gone().await
    }
}

/// Kills a child's group when dropped, so that a cancelled command leaves nothing behind.
///
/// Drop it before the child: until the child is waited for, its number is not given away.
#[derive(Debug)]
pub(crate) struct GroupGuard(Option<Group>);

impl GroupGuard {
    pub(crate) fn of(child: &Child) -> Self {
        Self(Group::of(child))
    }

    /// The child was waited for: the number is no longer its own.
    pub(crate) fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for GroupGuard {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            group.kill();
        }
    }
}

#[cfg(test)]
pub(crate) async fn wait_until_gone_for_tests(pid: i32) {
    let group = Group::from_number(pid).unwrap();
    let runs = || {
        process_table::start_time(group.number())
            .is_some_and(|_| process_table::is_running(group.number()))
    };
    while runs() {
        sleep(GONE_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;
    use tokio::io::AsyncReadExt;
    use tokio::process::Command;

    #[test]
    fn a_group_is_never_ours_everybodys_or_inits() {
        for number in [-5, -1, 0, 1] {
            assert_eq!(Group::from_number(number), None);
        }
    }

    #[tokio::test]
    async fn a_group_ends_with_its_children_even_those_that_ignore_being_asked() {
        // The leader says when its stubborn child is set up.
        let script = "(trap '' TERM; echo up; while :; do sleep 1000; done) & wait";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let group = Group::of(&child).unwrap();
        let mut up = [0; 3];
        child
            .stdout
            .take()
            .unwrap()
            .read_exact(&mut up)
            .await
            .unwrap();
        assert!(group.is_alive());
        let (ended, _) = tokio::join!(group.end(Duration::from_millis(50)), child.wait());
        assert!(ended);
        assert!(!group.is_alive());
    }
}
