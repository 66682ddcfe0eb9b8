//! Branches: who moves them, and what that does to pull requests.

use std::collections::BTreeSet;

use super::super::FakeError;
use super::super::git;
use super::super::pull_request::{Happened, PullState, TimelineItem, Verdict};
use super::super::webhooks;
use super::{DEFAULT_BRANCH, Repository};

impl Repository {
    /// The newest commit of a branch.
    ///
    /// # Errors
    /// [`FakeError`] if git can't be run.
    pub fn head(&self, branch: &str) -> Result<Option<String>, FakeError> {
        Ok(self.git.branches()?.get(branch).cloned())
    }

    pub(in crate::fake_github) fn need_head(&self, branch: &str) -> Result<String, FakeError> {
        let name = self.full_name();
        self.head(branch)?
            .ok_or_else(|| FakeError::new(format!("{name} has no branch {branch}")))
    }

    /// Commits files to a branch, which begins at the default branch where it is new. An empty
    /// text removes a file.
    ///
    /// # Errors
    /// [`FakeError`] if git can't be run.
    pub fn push(&mut self, branch: &str, files: &[(&str, &str)]) -> Result<String, FakeError> {
        let from = match self.head(branch)? {
            Some(head) => head,
            None => self.need_head(DEFAULT_BRANCH)?,
        };
        let message = format!("Change {}", files.first().map_or("nothing", |it| it.0));
        let commit = self.git.write(Some(&from), files, &message)?;
        self.git.set_branch(branch, &commit)?;
        self.refresh()?;
        Ok(commit)
    }

    /// The parents of the newest commit of a branch.
    ///
    /// # Errors
    /// [`FakeError`] if there is no such branch.
    pub fn parents_of(&self, branch: &str) -> Result<Vec<String>, FakeError> {
        self.git.parents(&self.need_head(branch)?)
    }

    /// Deletes a branch.
    ///
    /// # Errors
    /// [`FakeError`] if git can't be run.
    pub fn delete_branch(&mut self, branch: &str) -> Result<(), FakeError> {
        self.git.delete_branch(branch)?;
        self.refresh()
    }

    /// Takes note of what git has: pushes arrive from outside, too.
    pub(in crate::fake_github) fn refresh(&mut self) -> Result<(), FakeError> {
        let branches = self.git.branches()?;
        if branches == self.known_branches {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.known_branches, branches.clone());
        let names: BTreeSet<&String> = before.keys().chain(branches.keys()).collect();
        for name in names {
            let (old, new) = (before.get(name), branches.get(name));
            if old != new {
                self.tell(webhooks::push(self, name, old, new));
                self.branch_moved(name, new)?;
            }
        }
        Ok(())
    }

    fn branch_moved(&mut self, branch: &str, head: Option<&String>) -> Result<(), FakeError> {
        let open: Vec<u64> = self
            .pulls
            .values()
            .filter(|it| it.state == PullState::Open)
            .map(|it| it.number)
            .collect();
        for number in open {
            let pull = self.need_pull(number)?;
            let is_head = pull.head_branch == branch && pull.fork.is_none();
            let is_base = pull.base_branch == branch;
            match head {
                Some(head) if is_head => self.head_moved(number, head)?,
                Some(head) if is_base => self.base_moved(number, head)?,
                Some(_) => {}
                // Without its branch there is nothing to merge.
                None if is_head => self.close(number)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Moves the head of a pull request from a fork.
    ///
    /// # Errors
    /// [`FakeError`] if there is none.
    pub fn push_to_fork(
        &mut self,
        number: u64,
        files: &[(&str, &str)],
    ) -> Result<String, FakeError> {
        let from = self.need_pull(number)?.head_sha.clone();
        let head = self.git.write(Some(&from), files, "More")?;
        self.head_moved(number, &head)?;
        Ok(head)
    }

    pub(super) fn head_moved(&mut self, number: u64, head: &str) -> Result<(), FakeError> {
        let lag = self.settings.mergeability_lag_reads;
        let base = self.need_pull(number)?.base_branch.clone();
        let dismisses = self.rules.get(&base).is_some_and(|it| it.dismiss_stale);
        let pull = self.need_pull(number)?;
        let (before, is_queued) = (pull.head_sha.clone(), pull.queued_at.is_some());
        // A changed head leaves the queue.
        if is_queued {
            self.dequeue(number, "UNKNOWN_REMOVAL_REASON")?;
        }
        let what = if git::contains(&*self.git, head, &before)? {
            Happened::Pushed {
                commit: head.to_owned(),
            }
        } else {
            Happened::ForcePushed
        };
        let at = self.now();
        self.change(number, "synchronize", |it| {
            it.timeline.push(TimelineItem { at, what });
            it.head_sha = head.to_owned();
            it.reads_until_known = lag;
            for thread in &mut it.threads {
                thread.outdated = true;
            }
            if dismisses {
                for review in &mut it.reviews {
                    review.dismissed |= review.verdict == Verdict::Approve;
                }
            }
        })
    }

    pub(super) fn base_moved(&mut self, number: u64, base: &str) -> Result<(), FakeError> {
        let (now, lag) = (self.now(), self.settings.mergeability_lag_reads);
        let head = self.need_pull(number)?.head_sha.clone();
        let is_merged = git::contains(&*self.git, base, &head)?;
        let pull = self.need_pull(number)?;
        pull.base_sha = base.to_owned();
        pull.reads_until_known = lag;
        if is_merged {
            // Its commits came to the base branch by another way; no queue needs to merge them.
            let is_queued = pull.queued_at.is_some();
            pull.merge_commit = Some(base.to_owned());
            pull.merged_at = Some(now);
            if is_queued {
                self.dequeue(number, "ALREADY_MERGED")?;
            }
            self.change(number, "closed", |it| it.state = PullState::Merged)?;
        }
        Ok(())
    }
}
