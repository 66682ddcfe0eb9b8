//! `review/poll`: looking at pull requests, no more often than it can matter.

use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::live_pull_request;
use crate::action::PollPr;
use crate::bead::Bead;
use crate::condition::ConditionKind;
use crate::config::{AutoMergeDelay, Settings};
use crate::pass::{Due, Pass};
use crate::review::Review;
use crate::rules::conditions::{condition_wait, waits_for_probe};
use crate::rules::{On, Rule};
use crate::time::Timestamp;
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "review/poll",
    text: "A live MR bead with a pull request: looked at every pr_poll_interval, at once when \
           something says that it is worth it, and every poll_quiet_interval while nothing \
           happens and nothing but the forge could make it green; but not while the last look is \
           under way, for merge_outcome_timeout at most. Under a forge condition only its probe. \
           Short of API budget: the pull requests nearest a decision first.",
    on: On::LiveBead(evaluate),
};

/// Time without any change after which a pull request is quiet.
const QUIET_AFTER: Duration = Duration::from_secs(3600);

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some((review, url)) = live_pull_request(mr) else {
        return Verdict::NotMine;
    };
    let answer_due = pass.answer_due(review);
    let due_at = match under_condition(pass, mr, answer_due) {
        UnderCondition::Waits(waits) => return Verdict::Wait(waits),
        // A probe goes by forge_backoff, however quiet its pull request is.
        UnderCondition::Probes => None,
        UnderCondition::None => due_at(pass, mr, review).max(answer_due),
    };
    if let Some(due_at) = due_at
        && let Due::At(until) = pass.reached(due_at)
    {
        let text = match answer_due {
            Some(answer_due) if answer_due == until => "its pull request is being looked at",
            Some(_) | None => "its pull request is looked at again then",
        };
        let mut wait = Wait::on(WaitFor::Forge, text).not_before(until);
        wait.since = review.poll.last_at;
        return Verdict::wait(wait);
    }
    if let Some(wait) = short_of_budget(pass, mr) {
        return Verdict::wait(wait);
    }
    Verdict::act(PollPr {
        bead_id: mr.id.clone(),
        pr_url: url.into(),
        with_feedback: wants_feedback(pass.review_settings(mr)),
    })
}

/// Whether threads, checks and reviews matter: the engine repairs them, or merges without them.
fn wants_feedback(settings: &Settings) -> bool {
    let merges = settings.auto_merge && settings.auto_merge_delay != AutoMergeDelay::Never;
    settings.auto_resolve_pr_feedback || merges
}

/// When the next look is due; none: now.
fn due_at(pass: &Pass<'_>, mr: &Bead, review: &Review) -> Option<Timestamp> {
    let poll = &review.poll;
    let last = poll.last_at.filter(|_| !poll.due_now)?;
    let soon = last.stale_at(pass.policy().pr_poll_interval);
    let quiet_from = review.changed_at(mr).stale_at(QUIET_AFTER);
    let is_quiet = quiet_from <= soon
        && review.auto_merge.ready_since.is_none()
        && pass.green(mr).is_some_and(|green| green.needs_the_forge());
    if is_quiet {
        Some(last.stale_at(pass.policy().poll_quiet_interval).max(soon))
    } else {
        Some(soon)
    }
}

/// What the conditions that hold say of a look.
enum UnderCondition {
    /// None keeps polls back.
    None,
    /// It is the probe of each, and its time has come.
    Probes,
    /// Another one probes, or it is too early.
    Waits(Vec<Wait>),
}

/// Under a condition only its probe goes, when its time has come.
fn under_condition(pass: &Pass<'_>, mr: &Bead, answer_due: Option<Timestamp>) -> UnderCondition {
    let mut under = UnderCondition::None;
    let holding = pass
        .town
        .conditions_of(&mr.id)
        .filter(|condition| condition.kind.holds_polls());
    for condition in holding {
        let text = "the forge can't be asked";
        if condition.kind == ConditionKind::RateLimited {
            return UnderCondition::Waits(vec![condition_wait(condition, text)]);
        }
        if pass.looks().probe_of(condition) != Some(&mr.id) {
            return UnderCondition::Waits(waits_for_probe(pass, condition, text));
        }
        let Some(probe_at) = condition.next_probe_at else {
            continue;
        };
        let at = answer_due.map_or(probe_at, |answer_due| probe_at.max(answer_due));
        if let Due::At(until) = pass.reached(at) {
            let wait = condition_wait(condition, text).not_before(until);
            return UnderCondition::Waits(vec![wait]);
        }
        under = UnderCondition::Probes;
    }
    under
}

/// When few requests are left, those nearest a decision go first and the others wait until the
/// limit starts anew.
fn short_of_budget(pass: &Pass<'_>, mr: &Bead) -> Option<Wait> {
    let held = pass.looks().held_back(&mr.id)?;
    match pass.reached(held.until) {
        Due::Now => None,
        Due::At(until) => Some(
            Wait::on(
                WaitFor::Forge,
                "few requests are left; pull requests nearer a decision go first",
            )
            .since(held.since)
            .not_before(until),
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.head_sha=h1 review.poll.changed_at=-30m
        edge m1 tracks b1
    ";

    fn with(more: &str) -> std::string::String {
        TOWN.replace("review.poll.changed_at=-30m", more)
    }

    #[test]
    fn review_poll_around_each_threshold() {
        let often = with("review.poll.changed_at=-30m review.poll.last_at=-60s");
        insta::assert_snapshot!(around(&often, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/poll
        ");
        let quiet = with("review.poll.changed_at=-2h review.poll.last_at=-10m");
        insta::assert_snapshot!(around(&quiet, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/poll
        ");
        // An hour and one millisecond after the last change it is quiet, and no sooner.
        let hour = with("review.poll.changed_at=-1h review.poll.last_at=-59999ms");
        insta::assert_snapshot!(around(&hour, "1ms"), @"
        just under: nothing, again at 2026-04-04T12:09:00.002Z
        at: nothing, again at 2026-04-04T12:09:00.002Z
        just over: nothing, again at 2026-04-04T12:09:00.002Z
        ");
        let sooner = with("review.poll.changed_at=-3599998ms review.poll.last_at=-59999ms");
        insta::assert_snapshot!(around(&sooner, "1ms"), @"
        just under: nothing, again at 2026-04-04T12:00:00.002Z
        at: nothing, again at 2026-04-04T12:00:00.002Z
        just over: review/poll
        ");
    }

    #[test]
    fn review_poll_never_looked_at_is_due_at_once_and_rests() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        review/poll: poll_pr bead_id=m1 pr_url=https://github.com/acme/r1/pull/1 with_feedback=false
        at rest after 2 passes
        ");
    }

    #[test]
    fn review_poll_at_the_interval_waits() {
        let town = with("review.poll.changed_at=-30m review.poll.last_at=-60s");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert_eq!(wakeup(&town, "0s"), "2026-04-04T12:00:00.001Z");
        assert!(acts(&town, "1ms").contains("review/poll"));
    }

    /// An answer that takes longer than the interval would be that of an older look, again and again.
    #[test]
    fn review_poll_waits_for_the_answer_of_the_last_look() {
        let asked = "review.poll.attempts=3 review.poll.last_at=-5m";
        let under_way = with(&std::format!("review.poll.changed_at=-30m {asked}"));
        insta::assert_snapshot!(around(&under_way, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/poll
        ");
        let hurried = with(&std::format!(
            "review.poll.changed_at=-30m review.poll.due_now=true {asked}"
        ));
        assert_eq!(acts(&hurried, "0s"), "nothing", "it is kept for afterwards");
        let answered = with(&std::format!(
            "review.poll.changed_at=-30m review.poll.due_now=true review.poll.answered=true {asked}"
        ));
        assert!(acts(&answered, "0s").contains("review/poll"));
        // A host may bring what it saw without a key.
        let seen = r#"review.observation={"at":"2026-04-04T11:56:00Z","observation":{"state":"open","head_sha":"h1","head_branch":"x","base_branch":"main","mergeable":"blocked"}}"#;
        let told = with(&std::format!("review.poll.due_now=true {asked} {seen}"));
        assert!(acts(&told, "0s").contains("review/poll"));
    }

    #[test]
    fn review_poll_says_whether_it_waits_for_an_answer_or_for_its_time() {
        let said = |more: &str| {
            let town = crate::testing::town(&with(more));
            let now = crate::testing::at("0s");
            let why = crate::explain(&town, now, &"m1".parse().unwrap()).unwrap();
            let waits = why.waits_for.into_iter();
            let of_rule = waits.filter(|wait| wait.rule == "review/poll");
            of_rule.map(|wait| wait.text).collect::<std::vec::Vec<_>>()
        };
        let being = ["its pull request is being looked at"];
        let again = ["its pull request is looked at again then"];
        let recent = "review.poll.changed_at=-30m review.poll.last_at=-10s";
        assert_eq!(said(recent), again);
        assert_eq!(
            said(&std::format!("{recent} review.poll.attempts=3")),
            being
        );
        // Quiet: the answer is due before the next look is.
        let quiet = "review.poll.changed_at=-2h review.poll.last_at=-10s review.poll.attempts=3";
        assert_eq!(said(quiet), again);
    }

    #[test]
    fn review_poll_due_now_does_not_wait() {
        let town = with("review.poll.last_at=0s review.poll.due_now=true");
        assert!(acts(&town, "0s").contains("review/poll"));
    }

    #[test]
    fn review_poll_quiet_after_an_hour_without_a_change() {
        // At the moment when the next look would be due, the last change is over an hour old.
        let quiet = with("review.poll.changed_at=-60m review.poll.last_at=-60s");
        assert_eq!(acts(&quiet, "1ms"), "nothing");
        assert_eq!(wakeup(&quiet, "1ms"), "2026-04-04T12:09:00.001Z");
        assert_eq!(acts(&quiet, "9m"), "nothing");
        assert!(acts(&quiet, "540001ms").contains("review/poll"));
        let busy = with("review.poll.changed_at=-3599999ms review.poll.last_at=-60s");
        assert!(acts(&busy, "1ms").contains("review/poll"));
    }

    #[test]
    fn review_poll_not_quiet_while_ready() {
        let ready = with(
            "review.poll.changed_at=-2h review.poll.last_at=-61s review.auto_merge.ready_since=-5m review.auto_merge.head_sha=h1",
        );
        let town = std::format!("town config.refinery.auto_merge_delay_minutes=5\n{ready}");
        assert!(acts(&town, "0s").contains("review/poll"));
    }

    #[test]
    fn review_poll_asks_for_feedback_where_the_engine_acts_on_it() {
        for (config, wanted) in [
            ("{}", false),
            (r#"{"auto_merge_delay_minutes":5}"#, true),
            (
                r#"{"auto_merge_delay_minutes":5,"auto_merge":false}"#,
                false,
            ),
            (r#"{"auto_resolve_pr_feedback":true}"#, true),
        ] {
            let town = std::format!("town config.refinery={config}\n{TOWN}");
            let expected = std::format!("with_feedback={wanted}");
            assert!(acts(&town, "0s").contains(&expected), "{config}");
        }
    }

    /// A town with two pull requests of one rig, under a condition.
    fn troubled(condition: &str) -> std::string::String {
        std::format!(
            "town conditions=[{condition}]
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=-2h
            edge m1 tracks b1
            bead b2 issue in_review rig_id=r1
            bead m2 merge_request in_progress rig_id=r1 review.source=b2 review.pr_url=https://github.com/acme/r1/pull/2 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=-3h
            edge m2 tracks b2"
        )
    }

    #[test]
    fn review_poll_under_a_condition_only_its_probe() {
        let town = troubled(
            r#"{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","next_probe_at":"2026-04-04T12:00:00Z","strikes":3}"#,
        );
        insta::assert_snapshot!(settled(&town, "0s"), @"
        review/poll: poll_pr bead_id=m2 pr_url=https://github.com/acme/r1/pull/2 with_feedback=false
        at rest after 2 passes
        ");
        assert_eq!(acts(&town, "-1ms"), "nothing");
    }

    /// The probe goes by forge_backoff, neither sooner nor as late as a quiet pull request.
    #[test]
    fn review_poll_probes_by_the_backoff_however_quiet_its_pull_request() {
        let probe = r#"{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:59:00Z","next_probe_at":"2026-04-04T12:00:20Z"}"#;
        let town = troubled(probe)
            .replace("last_at=-2h", "last_at=-10s")
            .replace("last_at=-3h", "last_at=-15s");
        assert_eq!(acts(&town, "19999ms"), "nothing");
        assert_eq!(wakeup(&town, "0s"), "2026-04-04T12:00:20.000Z");
        insta::assert_snapshot!(settled(&town, "20s"), @"
        review/poll: poll_pr bead_id=m2 pr_url=https://github.com/acme/r1/pull/2 with_feedback=false
        at rest after 2 passes
        ");
    }

    /// A probe that is under way is waited for, too; another pull request goes before it.
    #[test]
    fn review_poll_probes_with_one_that_is_not_being_looked_at() {
        let probe = r#"{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:50:00Z","next_probe_at":"2026-04-04T11:59:00Z"}"#;
        let town = troubled(probe)
            .replace("last_at=-2h", "last_at=-60s")
            .replace("last_at=-3h", "last_at=-70s review.poll.attempts=2");
        let decided = acts(&town, "0s");
        assert!(decided.contains("poll_pr bead_id=m1"), "{decided}");
        assert!(!decided.contains("bead_id=m2"), "{decided}");
        let both = town.replace("last_at=-60s", "last_at=-60s review.poll.attempts=2");
        assert_eq!(acts(&both, "0s"), "nothing");
        assert_eq!(wakeup(&both, "0s"), "2026-04-04T12:03:50.001Z");
        assert!(acts(&both, "230001ms").contains("poll_pr bead_id=m2"));
    }

    #[test]
    fn review_poll_under_a_rate_limit_not_at_all() {
        let town = troubled(
            r#"{"kind":"rate_limited","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","until":"2026-04-04T12:10:00Z"}"#,
        );
        assert_eq!(acts(&town, "0s"), "nothing");
        assert!(settled(&town, "10m").contains("review/poll"));
    }

    #[test]
    fn review_poll_short_of_budget_nearest_a_decision_first() {
        let seen = r#"{"at":"2026-04-04T11:59:00Z","observation":{"state":"open","head_sha":"h1","head_branch":"x","base_branch":"main","mergeable":"blocked","api_budget":{"remaining":9,"resets_at":"2026-04-04T12:20:00Z"}}}"#;
        let town = troubled("").replace(
            "review.poll.last_at=-2h",
            &std::format!("review.poll.last_at=-2h review.observation={seen}"),
        );
        let decided = acts(&town, "0s");
        assert!(
            decided.contains("bead_id=m2") && !decided.contains("bead_id=m1"),
            "{decided}"
        );
        // The look that was made is taken off what is left, at once.
        let looks = settled(&town, "0s").matches("poll_pr").count();
        assert_eq!(looks, 1);
        let enough = town.replace(r#""remaining":9"#, r#""remaining":16"#);
        assert!(acts(&enough, "0s").contains("bead_id=m1"));
        assert!(acts(&town, "20m").contains("bead_id=m1"));
    }

    #[test]
    fn review_poll_around_the_time_of_a_probe() {
        let town = troubled(
            r#"{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","next_probe_at":"2026-04-04T12:00:00Z","strikes":3}"#,
        );
        insta::assert_snapshot!(around(&town, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.000Z
        at: review/poll
        just over: review/poll
        ");
    }

    /// Under a condition of the town some pull request must be able to be its probe.
    #[test]
    fn review_poll_probes_with_one_that_nothing_else_keeps_back() {
        let town = |more: &str, seen: &str| {
            std::format!(
                r#"
        town conditions=[{{"kind":"forge_unreachable","subject":{{"kind":"town"}},"since":"2026-04-04T11:00:00Z","next_probe_at":"2026-04-04T11:59:00Z"}}{more}]
        rig r1
        rig r2
        bead b1 issue in_review rig_id=r1
        bead b2 issue in_review rig_id=r2
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.head_sha=h1 review.poll.last_at=-9m {seen}
        bead m2 merge_request in_progress rig_id=r2 review.source=b2 review.pr_url=https://github.com/acme/r2/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.head_sha=h1 review.poll.last_at=-5m
        edge m1 tracks b1
        edge m2 tracks b2
    "#
            )
        };
        let polled_at = |town: &str, now: &str| {
            let acts = acts(town, now);
            let polls = acts.lines().filter(|line| line.contains("poll_pr"));
            polls
                .map(std::string::String::from)
                .collect::<std::vec::Vec<_>>()
                .join("; ")
        };
        let polled = |town: &str| polled_at(town, "0s");
        let only =
            |found: &str, mr: &str| found.matches("poll_pr").count() == 1 && found.contains(mr);
        let free = polled(&town("", ""));
        assert!(only(&free, "bead_id=m1"), "{free}");
        let rejected = r#",{"kind":"credentials_rejected","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T11:00:00Z","next_probe_at":"2026-04-04T12:10:00Z"}"#;
        let other = polled(&town(rejected, ""));
        assert!(only(&other, "bead_id=m2"), "{other}");
        let short = r#"review.observation={"at":"2026-04-04T11:51:00Z","observation":{"state":"open","head_sha":"h1","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"clean","api_budget":{"remaining":3,"resets_at":"2026-04-04T12:50:00Z"}}}"#;
        let scarce = polled(&town("", short));
        assert!(only(&scarce, "bead_id=m2"), "{scarce}");
        // What kept it back is over: its turn comes as that of any other.
        for (more, seen, now) in [(rejected, "", "+10m"), ("", short, "+50m")] {
            let over = polled_at(&town(more, seen), now);
            assert!(only(&over, "bead_id=m1"), "{now}: {over}");
        }
    }
}
