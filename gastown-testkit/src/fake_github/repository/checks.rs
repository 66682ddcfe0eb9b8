//! Check runs and commit statuses.

use std::collections::BTreeMap;

use super::super::pull_request::{CheckRun, CommitStatus, Conclusion, StatusState};
use super::super::webhooks;
use super::Repository;

impl Repository {
    /// Reports a check run on a commit. A run of that name, App and workflow is brought up to
    /// date if it still runs, else a new one begins; no conclusion: it runs.
    pub fn report_check(
        &mut self,
        commit: &str,
        name: &str,
        app: i64,
        conclusion: Option<Conclusion>,
    ) -> u64 {
        let now = self.now();
        let running = self.checks.iter_mut().find(|it| {
            it.commit == commit && it.name == name && it.app == app && it.conclusion.is_none()
        });
        let id = match running {
            Some(run) => {
                run.conclusion = conclusion;
                run.completed_at = conclusion.map(|_| now);
                run.id
            }
            None => {
                let id = self.next_id();
                self.checks.push(CheckRun {
                    id,
                    name: name.to_owned(),
                    app,
                    commit: commit.to_owned(),
                    workflow: None,
                    conclusion,
                    started_at: now,
                    completed_at: conclusion.map(|_| now),
                });
                id
            }
        };
        self.tell(webhooks::check_run(self, id));
        id
    }

    /// The check runs, oldest first.
    #[must_use]
    pub fn checks(&self) -> &[CheckRun] {
        &self.checks
    }

    /// The check runs, to be changed without anybody hearing of it.
    pub fn checks_mut(&mut self) -> &mut Vec<CheckRun> {
        &mut self.checks
    }

    /// Reports a commit status.
    pub fn report_status(&mut self, commit: &str, context: &str, state: StatusState) -> u64 {
        let id = self.next_id();
        self.statuses.push(CommitStatus {
            id,
            context: context.to_owned(),
            commit: commit.to_owned(),
            state,
            at: self.now(),
        });
        self.tell(webhooks::status(self, id));
        id
    }

    /// The newest status of each context on a commit, by context.
    pub(in crate::fake_github) fn statuses_of(&self, commit: &str) -> Vec<&CommitStatus> {
        let mut newest: BTreeMap<&str, &CommitStatus> = BTreeMap::new();
        for status in self.statuses.iter().filter(|it| it.commit == commit) {
            newest.insert(&status.context, status);
        }
        newest.into_values().collect()
    }
}
