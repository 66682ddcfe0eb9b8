//! From single reports to one judgement (spec 4.2, 4.4; traps 1 to 7, 30). Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::observation::{Checks, ChecksState};
use crate::response::RequiredCheck;

/// Whether a required check that was skipped is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SkippedRequired {
    /// It passes, as on GitHub.
    #[default]
    Passes,
    /// It counts as never reported: it may have been skipped because what it needs failed.
    IsMissing,
}

/// How a check run ended, or that it did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Conclusion {
    Passed,
    Skipped,
    Unfinished,
    Failed,
}

/// What tells runs of one name apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RunIdentity {
    /// It may not be read: the run may be any, so it is compared with none.
    Unknown,
    /// The workflow and the event that started it; none for Apps other than Actions.
    Of {
        workflow: Option<String>,
        event: Option<String>,
    },
}

/// A check run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CheckRun {
    pub(crate) name: String,
    pub(crate) app: Option<i64>,
    pub(crate) identity: RunIdentity,
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) conclusion: Conclusion,
}

/// What a commit status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StatusWord {
    Passed,
    Unfinished,
    Failed,
    /// The forge lists it because it is required; nobody reported it.
    NotReported,
}

/// A commit status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) name: String,
    pub(crate) word: StatusWord,
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) is_required: bool,
}

/// Either kind of report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Run(CheckRun),
    Status(Status),
}

impl Context {
    fn name(&self) -> &str {
        match self {
            Self::Run(run) => &run.name,
            Self::Status(status) => &status.name,
        }
    }

    fn conclusion(&self) -> Conclusion {
        match self {
            Self::Run(run) => run.conclusion,
            Self::Status(status) => match status.word {
                StatusWord::Passed => Conclusion::Passed,
                StatusWord::Failed => Conclusion::Failed,
                StatusWord::Unfinished | StatusWord::NotReported => Conclusion::Unfinished,
            },
        }
    }

    /// Whether this report is the one that was required, made by whom it was required of.
    fn answers(&self, required: &RequiredCheck) -> bool {
        let right_app = match (self, required.app) {
            (_, None) => true,
            (Self::Run(run), Some(app)) => run.app == Some(app),
            // A status does not say which App made it; the forge itself knows.
            (Self::Status(status), Some(_)) => status.is_required,
        };
        self.name() == required.name && right_app
    }

    /// Runs with one key are the same check, run again.
    fn key(&self) -> Option<(String, Option<i64>, RunIdentity)> {
        match self {
            Self::Run(run) => match run.identity {
                RunIdentity::Unknown => None,
                RunIdentity::Of { .. } => Some((run.name.clone(), run.app, run.identity.clone())),
            },
            // Never equal to a run's: a required name that is both is required twice.
            Self::Status(status) => Some((status.name.clone(), None, RunIdentity::Unknown)),
        }
    }

    /// Later is larger. What does not pass and has no time is the newest of all: it waits to
    /// start, or ended before it began. At one time the worse report counts.
    fn recency(&self) -> (bool, Option<DateTime<Utc>>, Conclusion) {
        let at = match self {
            Self::Run(run) => run.started_at,
            Self::Status(status) => status.at,
        };
        let conclusion = self.conclusion();
        let passes = matches!(conclusion, Conclusion::Passed | Conclusion::Skipped);
        (at.is_none() && !passes, at, conclusion)
    }
}

/// Judges the reports on a head. A report of the same name on the test merge of that head stands
/// in for the head's own.
pub(crate) fn judge(
    on_head: &[Context],
    on_test_merge: &[Context],
    required: &[RequiredCheck],
    skipped: SkippedRequired,
) -> Checks {
    // A report that is only expected there must not hide one that the head has.
    let on_test_merge = || on_test_merge.iter().filter(|it| !is_only_expected(it));
    let merge_names: BTreeSet<&str> = on_test_merge().map(Context::name).collect();
    let own = on_head.iter().filter(|it| !merge_names.contains(it.name()));
    let newest = newest(own.chain(on_test_merge()));
    let (reported, expected): (Vec<&Context>, Vec<&Context>) =
        newest.into_iter().partition(|it| !is_only_expected(it));
    let mut missing: BTreeSet<&str> = expected.iter().map(|it| it.name()).collect();
    for check in required {
        let mut answers = reported.iter().filter(|it| it.answers(check));
        let counts = |it: &&Context| {
            it.conclusion() != Conclusion::Skipped || skipped == SkippedRequired::Passes
        };
        if !answers.any(counts) {
            missing.insert(&check.name);
        }
    }
    let named = |conclusion: Conclusion| -> Vec<String> {
        let found = reported.iter().filter(|it| it.conclusion() == conclusion);
        let names: BTreeSet<&str> = found.map(|it| it.name()).collect();
        names.into_iter().map(str::to_owned).collect()
    };
    let (failing, pending) = (named(Conclusion::Failed), named(Conclusion::Unfinished));
    let state = if !failing.is_empty() {
        ChecksState::Failing
    } else if !pending.is_empty() || !missing.is_empty() {
        ChecksState::Pending
    } else if reported.is_empty() {
        ChecksState::None
    } else {
        ChecksState::Passing
    };
    let required_missing = missing.into_iter().map(str::to_owned).collect();
    Checks {
        state,
        failing,
        pending,
        required_missing,
    }
}

fn is_only_expected(context: &Context) -> bool {
    match context {
        Context::Run(_) => false,
        Context::Status(status) => status.word == StatusWord::NotReported,
    }
}

/// The newest report of each check.
fn newest<'a>(contexts: impl Iterator<Item = &'a Context>) -> Vec<&'a Context> {
    let mut single = Vec::new();
    let mut by_key: BTreeMap<_, &Context> = BTreeMap::new();
    for context in contexts {
        let Some(key) = context.key() else {
            single.push(context);
            continue;
        };
        let kept = by_key.entry(key).or_insert(context);
        if context.recency() > kept.recency() {
            *kept = context;
        }
    }
    single.extend(by_key.into_values());
    single
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(minute * 60, 0)
    }

    fn run(name: &str, conclusion: Conclusion) -> CheckRun {
        let identity = RunIdentity::Of {
            workflow: Some("w".to_owned()),
            event: Some("push".to_owned()),
        };
        CheckRun {
            name: name.to_owned(),
            app: Some(5),
            identity,
            started_at: at(1),
            conclusion,
        }
    }

    fn check(name: &str, conclusion: Conclusion) -> Context {
        Context::Run(run(name, conclusion))
    }

    fn status(name: &str, word: StatusWord) -> Context {
        Context::Status(Status {
            name: name.to_owned(),
            word,
            at: at(1),
            is_required: false,
        })
    }

    fn required(name: &str, app: Option<i64>) -> RequiredCheck {
        RequiredCheck {
            name: name.to_owned(),
            app,
        }
    }

    /// The judgement in one line: state, then failing, pending and missing names.
    fn judged(on_head: &[Context], required: &[RequiredCheck]) -> String {
        shown(&judge(on_head, &[], required, SkippedRequired::Passes))
    }

    fn shown(checks: &Checks) -> String {
        let part = |mark: &str, names: &[String]| match names {
            [] => String::new(),
            names => format!(" {mark}{}", names.join(",")),
        };
        format!(
            "{:?}{}{}{}",
            checks.state,
            part("-", &checks.failing),
            part("?", &checks.pending),
            part("!", &checks.required_missing)
        )
    }

    #[test]
    fn trap_01_skipped_and_neutral_pass_and_nothing_else_does() {
        let good = [
            check("a", Conclusion::Passed),
            check("b", Conclusion::Skipped),
        ];
        assert_eq!(judged(&good, &[required("b", None)]), "Passing");
        let bad = [
            check("a", Conclusion::Passed),
            check("b", Conclusion::Failed),
        ];
        assert_eq!(judged(&bad, &[]), "Failing -b");
    }

    #[test]
    fn trap_02_skipped_can_be_made_not_enough() {
        let skipped = [check("a", Conclusion::Skipped)];
        let strict = judge(
            &skipped,
            &[],
            &[required("a", None)],
            SkippedRequired::IsMissing,
        );
        assert_eq!(shown(&strict), "Pending !a");
        let optional = judge(&skipped, &[], &[], SkippedRequired::IsMissing);
        assert_eq!(shown(&optional), "Passing");
    }

    #[test]
    fn trap_03_only_the_newest_run_of_a_check_counts() {
        let older = run("a", Conclusion::Failed);
        let newer = CheckRun {
            started_at: at(2),
            ..run("a", Conclusion::Passed)
        };
        for order in [
            [older.clone(), newer.clone()],
            [newer.clone(), older.clone()],
        ] {
            assert_eq!(judged(&order.map(Context::Run), &[]), "Passing");
        }
        // A re-run that waits to start is newer than all.
        let waiting = CheckRun {
            started_at: None,
            ..run("a", Conclusion::Unfinished)
        };
        let all = [newer.clone(), waiting, older].map(Context::Run);
        assert_eq!(judged(&all, &[]), "Pending ?a");
        // So may be one that failed before it started.
        let startless = CheckRun {
            started_at: None,
            ..run("a", Conclusion::Failed)
        };
        for order in [
            [startless.clone(), newer.clone()],
            [newer, startless.clone()],
        ] {
            assert_eq!(judged(&order.map(Context::Run), &[]), "Failing -a");
        }
        // What passed at an unknown time is newer than nothing.
        let passed = CheckRun {
            started_at: None,
            ..run("a", Conclusion::Passed)
        };
        let failed = run("a", Conclusion::Failed);
        assert_eq!(
            judged(&[passed, failed].map(Context::Run), &[]),
            "Failing -a"
        );
    }

    #[test]
    fn trap_03_runs_of_another_workflow_event_or_app_are_other_checks() {
        let bad = run("a", Conclusion::Failed);
        let good = CheckRun {
            started_at: at(2),
            ..run("a", Conclusion::Passed)
        };
        let identity = |workflow: &str, event: &str| RunIdentity::Of {
            workflow: Some(workflow.to_owned()),
            event: Some(event.to_owned()),
        };
        for other in [
            CheckRun {
                identity: identity("other", "push"),
                ..good.clone()
            },
            CheckRun {
                identity: identity("w", "pull_request"),
                ..good.clone()
            },
            CheckRun {
                app: Some(6),
                ..good.clone()
            },
            CheckRun {
                identity: RunIdentity::Unknown,
                ..good.clone()
            },
        ] {
            assert_eq!(
                judged(&[bad.clone(), other].map(Context::Run), &[]),
                "Failing -a"
            );
        }
        let unknown = CheckRun {
            identity: RunIdentity::Unknown,
            ..bad
        };
        assert_eq!(
            judged(&[unknown, good].map(Context::Run), &[]),
            "Failing -a"
        );
    }

    #[test]
    fn at_one_time_the_worse_report_counts() {
        let both = [
            check("a", Conclusion::Passed),
            check("a", Conclusion::Failed),
        ];
        assert_eq!(judged(&both, &[]), "Failing -a");
    }

    #[test]
    fn trap_04_no_statuses_are_not_a_pending_status() {
        assert_eq!(judged(&[check("a", Conclusion::Passed)], &[]), "Passing");
    }

    #[test]
    fn trap_05_nothing_reported_is_not_green_when_something_is_required() {
        assert_eq!(judged(&[], &[]), "None");
        assert_eq!(judged(&[], &[required("ci", None)]), "Pending !ci");
        let other = [check("lint", Conclusion::Passed)];
        assert_eq!(judged(&other, &[required("ci", None)]), "Pending !ci");
    }

    #[test]
    fn trap_06_expected_and_never_reported_is_missing() {
        let expected = [
            status("ci", StatusWord::NotReported),
            check("lint", Conclusion::Passed),
        ];
        assert_eq!(judged(&expected, &[]), "Pending !ci");
        assert_eq!(judged(&expected, &[required("ci", None)]), "Pending !ci");
    }

    #[test]
    fn trap_07_the_app_must_be_the_right_one_where_one_is_named() {
        let by_five = [check("ci", Conclusion::Passed)];
        assert_eq!(judged(&by_five, &[required("ci", Some(5))]), "Passing");
        assert_eq!(judged(&by_five, &[required("ci", Some(6))]), "Pending !ci");
        let posted = [status("ci", StatusWord::Passed)];
        assert_eq!(judged(&posted, &[required("ci", Some(5))]), "Pending !ci");
        let known = Status {
            name: "ci".to_owned(),
            word: StatusWord::Passed,
            at: at(1),
            is_required: true,
        };
        assert_eq!(
            judged(&[Context::Status(known)], &[required("ci", Some(5))]),
            "Passing"
        );
    }

    #[test]
    fn a_check_and_a_status_of_one_name_are_both_needed() {
        let both = [
            check("ci", Conclusion::Passed),
            status("ci", StatusWord::Failed),
        ];
        assert_eq!(judged(&both, &[required("ci", None)]), "Failing -ci");
    }

    #[test]
    fn trap_30_a_report_on_the_test_merge_stands_in_for_the_heads() {
        let head = [
            check("ci", Conclusion::Passed),
            check("lint", Conclusion::Passed),
        ];
        let merge = [status("ci", StatusWord::Failed)];
        let checks = judge(
            &head,
            &merge,
            &[required("ci", None)],
            SkippedRequired::Passes,
        );
        assert_eq!(shown(&checks), "Failing -ci");
        let merge = [status("ci", StatusWord::NotReported)];
        let checks = judge(
            &head,
            &merge,
            &[required("ci", None)],
            SkippedRequired::Passes,
        );
        assert_eq!(shown(&checks), "Passing");
        let head = [check("ci", Conclusion::Failed)];
        let merge = [status("ci", StatusWord::Passed)];
        let checks = judge(
            &head,
            &merge,
            &[required("ci", None)],
            SkippedRequired::Passes,
        );
        assert_eq!(shown(&checks), "Passing");
    }
}
