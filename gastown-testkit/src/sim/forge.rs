//! A forge of its own: branches, pull requests with checks and reviewers, and the moods of a service
//! far away.

use std::collections::BTreeMap;

use gastown_core::forges::{
    Checks, ChecksState, Decision, Dequeued, Feedback, MergeQueue, Mergeable, PrState,
};
use gastown_core::{
    ForgeError, MergeOutcome, Observation, Review, Rig, Settings, Timestamp, VerifyOutcome,
};

use super::dice::Dice;
use super::rates::Rates;
use crate::waiting::Turn;

/// A pull request as it really is.
#[derive(Debug, Clone)]
pub(crate) struct Pr {
    pub(crate) url: String,
    pub(crate) repository: String,
    pub(crate) branch: String,
    pub(crate) base: String,
    pub(crate) head: String,
    pub(crate) state: PrState,
    pub(crate) merge_commit: Option<String>,
    pub(crate) conflict: bool,
    pub(crate) behind: bool,
    pub(crate) threads: u32,
    /// When the checks of this head report, and what.
    pub(crate) checks_at: u64,
    pub(crate) checks: ChecksState,
    pub(crate) decision: Option<Decision>,
    pub(crate) decision_head: Option<String>,
    pub(crate) draft: bool,
    pub(crate) queue: MergeQueue,
    /// How this head left the queue.
    pub(crate) dequeued: Option<Dequeued>,
    pub(crate) heads: u64,
    /// Each look takes longer than the time between two of them.
    pub(crate) slow: bool,
}

/// Everything that the forge holds.
#[derive(Debug, Default)]
pub(crate) struct Forge {
    pub(crate) prs: BTreeMap<String, Pr>,
    /// Repository, branch and target of each merge without a pull request: the last commit, and the head
    /// of the branch that it has.
    landed: BTreeMap<(String, String, String), (String, u64)>,
    /// How often somebody worked on each branch of each repository.
    heads: BTreeMap<(String, String), u64>,
    count: u64,
    /// Until when it answers with nothing but this.
    pub(crate) outage: Option<(u64, ForgeError)>,
}

/// One look at a pull request, and when it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) with_feedback: bool,
    /// Its number.
    pub(crate) n: u64,
    pub(crate) now: u64,
    pub(crate) wall: Timestamp,
}

const MINUTE: u64 = 60_000;
const HOUR: u64 = 60 * MINUTE;

impl Forge {
    fn next(&mut self) -> u64 {
        self.count = self.count.saturating_add(1);
        self.count
    }

    /// Opens a pull request, or gives the one that is open for the branch.
    pub(crate) fn open(
        &mut self,
        repository: &str,
        branch: &str,
        base: &str,
        now: u64,
        dice: &mut Dice,
        rates: &Rates,
    ) -> String {
        let there = self.prs.values().find(|pr| {
            pr.repository == repository && pr.branch == branch && pr.state == PrState::Open
        });
        if let Some(pr) = there {
            return pr.url.clone();
        }
        let number = self.next();
        let url = format!("https://github.com/{repository}/pull/{number}");
        let mut pr = Pr {
            url: url.clone(),
            repository: repository.into(),
            branch: branch.into(),
            base: base.into(),
            head: String::new(),
            state: PrState::Open,
            merge_commit: None,
            conflict: false,
            behind: false,
            threads: 0,
            checks_at: 0,
            checks: ChecksState::Passing,
            decision: None,
            decision_head: None,
            draft: false,
            queue: MergeQueue::None,
            dequeued: None,
            heads: 0,
            slow: dice.happens(rates.pr_slow, "looks take minutes", &url, 0),
        };
        pr.push(now, dice, rates);
        self.prs.insert(url.clone(), pr);
        url
    }

    /// The open pull request of a branch.
    pub(crate) fn open_of(&mut self, repository: &str, branch: &str) -> Option<&mut Pr> {
        self.prs.values_mut().find(|pr| {
            pr.repository == repository && pr.branch == branch && pr.state == PrState::Open
        })
    }

    /// Somebody works on a branch, which gets a new head.
    pub(crate) fn works(&mut self, repository: &str, branch: &str) {
        let branch = (repository.into(), branch.into());
        *self.heads.entry(branch).or_default() += 1;
    }

    fn head(&self, repository: &str, branch: &str) -> u64 {
        let branch = (repository.into(), branch.into());
        self.heads.get(&branch).copied().unwrap_or(0)
    }

    /// Merges a branch into another without a pull request.
    pub(crate) fn land(&mut self, repository: &str, branch: &str, target: &str) -> String {
        if let VerifyOutcome::Landed { commit } = self.verify(repository, branch, target) {
            return commit;
        }
        let number = self.next();
        let commit = format!("landed{number}");
        let head = self.head(repository, branch);
        let way = (repository.into(), branch.into(), target.into());
        self.landed.insert(way, (commit.clone(), head));
        self.works(repository, target);
        commit
    }

    /// Whether a branch, as it is now, was merged into its target.
    pub(crate) fn verify(&self, repository: &str, branch: &str, target: &str) -> VerifyOutcome {
        let way = (repository.into(), branch.into(), target.into());
        match self.landed.get(&way) {
            Some((commit, head)) if *head == self.head(repository, branch) => {
                VerifyOutcome::Landed {
                    commit: commit.clone(),
                }
            }
            _ => VerifyOutcome::Absent,
        }
    }

    /// Whether the work of a review really is on its target, in its rig's repository where one is
    /// known.
    pub(crate) fn has_merged(&self, review: &Review, rig: Option<&Rig>) -> bool {
        let repository = rig.map(|rig| format!("acme/{}", rig.id));
        let is_there = |other: &str| repository.as_ref().is_none_or(|of| of == other);
        let by_pull_request = self
            .prs
            .values()
            .any(|pr| pr.merge_commit.is_some() && is_there(&pr.repository) && pr.is_of(review));
        let mut landed = self.landed.iter();
        by_pull_request
            || landed.any(|((repository, branch, target), (_, head))| {
                is_there(repository)
                    && *branch == review.branch
                    && *target == review.target_branch
                    && *head == self.head(repository, branch)
            })
    }

    /// A pull request becomes merged; others of the repository may no longer fit.
    pub(crate) fn merged(&mut self, url: &str, dice: &mut Dice, rates: &Rates) -> String {
        let number = self.next();
        let commit = format!("merge{number}");
        let Some(pr) = self.prs.get_mut(url) else {
            return commit;
        };
        if let Some(commit) = &pr.merge_commit {
            return commit.clone();
        }
        pr.state = PrState::Merged;
        pr.merge_commit = Some(commit.clone());
        pr.queue = MergeQueue::None;
        let repository = pr.repository.clone();
        for pr in self.prs.values_mut() {
            if pr.repository == repository && pr.state == PrState::Open {
                let of = pr.url.clone();
                pr.conflict |= dice.happens(rates.conflicts, "a conflict", &of, number);
                pr.behind |= dice.happens(rates.conflicts, "falls behind", &of, number);
            }
        }
        commit
    }

    /// The error that everything meets now.
    pub(crate) fn trouble(&self, now: u64) -> Option<ForgeError> {
        self.outage
            .as_ref()
            .filter(|(until, _)| now < *until)
            .map(|(_, error)| error.clone())
    }

    /// Whose turn it is, as the pull request really is and its checks will report: what conflicts, is
    /// red or has to be changed is repaired, whoever else has to approve it (spec 4.4, 5 and 8). Then a
    /// person has to move where it is a draft, was not approved, was taken out of the queue, or has
    /// checks that never report.
    pub(crate) fn turn(&self, url: &str, review: Option<&Review>, settings: &Settings) -> Turn {
        let Some(pr) = self.prs.get(url) else {
            return Turn::Ended;
        };
        match pr.state {
            PrState::Merged if review.is_some_and(|review| !pr.is_of(review)) => {
                return Turn::OfOthers;
            }
            PrState::Merged | PrState::Closed => return Turn::Ended,
            PrState::Open => {}
        }
        let seen = pr.seen(u64::MAX, true);
        let checks = pr.checks;
        let conflict = pr.conflict || pr.behind;
        let feedback = pr.threads > 0
            || checks == ChecksState::Failing
            || pr.decision == Some(Decision::ChangesRequested);
        let repairs = (conflict && settings.auto_resolve_merge_conflicts)
            || (feedback && settings.auto_resolve_pr_feedback);
        let approved_early = settings.require_fresh_approval
            && pr.decision == Some(Decision::Approved)
            && pr.decision_head.as_ref() != Some(&pr.head);
        let people = pr.draft
            || pr.decision.is_some_and(|it| it != Decision::Approved)
            || approved_early
            || pr.dequeued.is_some()
            || checks == ChecksState::Pending
            || (checks == ChecksState::None && settings.require_checks);
        if pr.queue == MergeQueue::Queued {
            Turn::ToMerge
        } else if repairs {
            Turn::ToRepair
        } else if !people && looks_green(&seen) {
            Turn::ToMerge
        } else {
            Turn::People
        }
    }

    /// One look, as an adapter makes it.
    pub(crate) fn observe(
        &self,
        url: &str,
        asked: &Asked,
        dice: &mut Dice,
        rates: &Rates,
    ) -> Result<Observation, ForgeError> {
        let Asked {
            with_feedback,
            n,
            now,
            wall,
        } = *asked;
        if let Some(error) = self.trouble(now) {
            return Err(error);
        }
        if dice.happens(rates.pr_down, "can't be read", url, now / (4 * HOUR)) {
            return Err(ForgeError::Server { status: 503 });
        }
        if dice.happens(rates.poll_fails, "a look fails", url, n) {
            return Err(one_error(dice.below(20, "how it fails", url, n), wall));
        }
        let Some(pr) = self.prs.get(url) else {
            return Err(ForgeError::NotFound {
                repository_readable: true,
            });
        };
        let mut seen = pr.seen(now, with_feedback);
        if dice.happens(rates.poll_incomplete, "a look is incomplete", url, n) {
            let what = dice.below(4, "what is unknown", url, n);
            if let (Some(feedback), 1..) = (&mut seen.feedback, what) {
                match what {
                    1 => feedback.threads_complete = false,
                    2 => feedback.checks_complete = false,
                    _ => feedback.checks.state = ChecksState::Pending,
                }
            } else {
                seen.mergeable = Mergeable::Unknown;
            }
        }
        Ok(seen)
    }

    /// A merge as the adapter of spec 4.5 makes it: it looks again, and the head is a guard.
    pub(crate) fn merge(
        &mut self,
        url: &str,
        head: &str,
        look: Observation,
        n: u64,
        dice: &mut Dice,
        rates: &Rates,
    ) -> MergeOutcome {
        let Some(pr) = self.prs.get_mut(url) else {
            return MergeOutcome::Error {
                error: ForgeError::NotFound {
                    repository_readable: true,
                },
            };
        };
        if let Some(commit) = &pr.merge_commit {
            return MergeOutcome::Merged {
                commit: commit.clone(),
            };
        }
        if !looks_green(&look) || look.head_sha != head {
            return MergeOutcome::NotReady {
                observation: Box::new(look),
            };
        }
        if dice.happens(rates.merge_fails, "a merge fails", url, n) {
            match dice.below(5, "how a merge fails", url, n) {
                0 => {
                    pr.queue = MergeQueue::Queued;
                    pr.dequeued = None;
                    return MergeOutcome::Queued;
                }
                1 => {
                    return MergeOutcome::Error {
                        error: ForgeError::Server { status: 502 },
                    };
                }
                2 => {
                    // It was merged, but nobody hears of it.
                    self.merged(url, dice, rates);
                    return MergeOutcome::Error {
                        error: ForgeError::Network,
                    };
                }
                _ => {
                    return MergeOutcome::Refused {
                        status: 405,
                        message: "a rule of the branch forbids it".into(),
                    };
                }
            }
        }
        let commit = self.merged(url, dice, rates);
        MergeOutcome::Merged { commit }
    }
}

/// What one failed look may meet; most of it is of the world.
fn one_error(which: u64, wall: Timestamp) -> ForgeError {
    match which {
        0..=6 => ForgeError::Server { status: 503 },
        7..=12 => ForgeError::Network,
        13 => ForgeError::RateLimited {
            until: wall.plus(std::time::Duration::from_secs(900)),
        },
        14 => ForgeError::Unauthorized,
        15 => ForgeError::NoToken {
            tried: vec!["github_token".into()],
        },
        16 => ForgeError::NotFound {
            repository_readable: false,
        },
        17 => ForgeError::NotFound {
            repository_readable: true,
        },
        _ => ForgeError::InvalidResponse {
            why: "no head".into(),
        },
    }
}

/// Whether a look shows nothing that forbids a merge, judged without the engine.
pub(crate) fn looks_green(look: &Observation) -> bool {
    let Some(feedback) = &look.feedback else {
        return false;
    };
    let checks = feedback.checks.state;
    let mergeable = match look.mergeable {
        Mergeable::Clean | Mergeable::HasHooks => true,
        Mergeable::Unstable => checks == ChecksState::Passing,
        Mergeable::Dirty | Mergeable::Blocked | Mergeable::Behind | Mergeable::Unknown => false,
    };
    look.state == PrState::Open
        && !look.is_draft
        && !look.stacked
        && mergeable
        && look.merge_queue != MergeQueue::Queued
        && look.dequeued.is_none()
        && feedback.threads_complete
        && feedback.unresolved_threads == 0
        && feedback.checks_complete
        && matches!(checks, ChecksState::Passing | ChecksState::None)
        && feedback.checks.required_missing.is_empty()
        && matches!(feedback.decision, None | Some(Decision::Approved))
}

impl Pr {
    /// Whether it brings the branch of a review to its target.
    fn is_of(&self, review: &Review) -> bool {
        self.branch == review.branch && self.base == review.target_branch
    }

    /// A new head; its checks begin anew.
    pub(crate) fn push(&mut self, now: u64, dice: &mut Dice, rates: &Rates) {
        self.heads = self.heads.saturating_add(1);
        let n = self.heads;
        self.head = format!(
            "{:016x}",
            super::dice::digest(n, self.url.as_bytes()) | 1 << 60
        );
        // Some repositories check little: the next look sees a new head that passes already.
        let slowest = match dice.below(3, "how slow checks are", &self.repository, 0) {
            0 => MINUTE / 2,
            _ => 6 * MINUTE,
        };
        self.checks_at = now.saturating_add(dice.span(slowest, "checks take", &self.url, n));
        self.checks = if dice.happens(rates.checks_fail, "checks fail", &self.url, n) {
            ChecksState::Failing
        } else if dice.happens(rates.checks_silent, "checks never report", &self.url, n) {
            ChecksState::Pending
        } else if dice.below(3, "has checks", &self.repository, 0) == 0 {
            ChecksState::None
        } else {
            ChecksState::Passing
        };
        self.conflict = false;
        self.behind = false;
        self.dequeued = None;
        self.threads = 0;
        if self.decision == Some(Decision::ChangesRequested) {
            self.decision = Some(Decision::Approved);
            self.decision_head = Some(self.head.clone());
        }
    }

    fn seen(&self, now: u64, with_feedback: bool) -> Observation {
        let state = match self.checks {
            ChecksState::None => ChecksState::None,
            _ if now < self.checks_at => ChecksState::Pending,
            other => other,
        };
        let named = |wanted: ChecksState| -> Vec<String> {
            (state == wanted)
                .then(|| "test".to_string())
                .into_iter()
                .collect()
        };
        let feedback = Feedback {
            unresolved_threads: self.threads,
            threads_complete: true,
            checks: Checks {
                state,
                failing: named(ChecksState::Failing),
                pending: named(ChecksState::Pending),
                required_missing: Vec::new(),
            },
            checks_complete: true,
            decision: self.decision,
            decision_head: self.decision_head.clone(),
        };
        let blocked = matches!(
            self.decision,
            Some(Decision::ReviewRequired | Decision::ChangesRequested)
        );
        Observation {
            state: self.state,
            merge_commit: self.merge_commit.clone(),
            head_sha: self.head.clone(),
            head_branch: self.branch.clone(),
            head_repository: Some(self.repository.clone()),
            base_branch: self.base.clone(),
            is_draft: self.draft,
            stacked: false,
            mergeable: match (self.conflict, self.behind, blocked) {
                (true, _, _) => Mergeable::Dirty,
                (_, true, _) => Mergeable::Behind,
                (_, _, true) => Mergeable::Blocked,
                _ => Mergeable::Clean,
            },
            merge_queue: self.queue,
            dequeued: self.dequeued.clone(),
            feedback: with_feedback.then_some(feedback),
            api_budget: None,
        }
    }
}
