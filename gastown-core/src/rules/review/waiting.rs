//! `review/waiting`: a pull request on which nothing happens is brought to mind.

use alloc::format;

use super::live_pull_request;
use crate::action::NotifyMayor;
use crate::apply::WAITING_TOPIC;
use crate::bead::Bead;
use crate::pass::{Due, Pass};
use crate::rules::conditions::condition_wait;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "review/waiting",
    text: "Nothing about a pull request changed for pr_waiting_notice: the mayor is told what it \
           waits for; again after ten times as long, until it changes.",
    on: On::LiveBead(evaluate),
};

/// How much longer each further notice waits.
const SLOWER: u32 = 10;

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some((review, url)) = live_pull_request(mr) else {
        return Verdict::NotMine;
    };
    // Nothing can be seen to change meanwhile, and the condition has a notice of its own.
    let trouble = pass.town.polls_are_held_by(&mr.id);
    if let Some(condition) = trouble {
        return Verdict::wait(condition_wait(condition, "nothing can be seen to change"));
    }
    let changed = review.changed_at(mr);
    let told = review
        .waiting
        .as_ref()
        .filter(|waiting| waiting.told_at >= changed);
    let notice = pass.policy().pr_waiting_notice;
    let due = match told {
        None => pass.stale(changed, notice),
        Some(waiting) => {
            let times = SLOWER.checked_pow(waiting.times).unwrap_or(u32::MAX);
            pass.stale(waiting.told_at, notice.saturating_mul(times))
        }
    };
    if let Due::At(until) = due {
        return Verdict::wait(
            Wait::on(WaitFor::Person, "waits for the people of its pull request")
                .id(url)
                .since(changed)
                .not_before(until),
        );
    }
    let waits = pass
        .green(mr)
        .map(|green| green.summary())
        .filter(|summary| !summary.is_empty());
    let what = waits.as_deref().unwrap_or("its merge");
    Verdict::act(NotifyMayor {
        topic: format!("{WAITING_TOPIC}{}", mr.id),
        message: format!("{url} has not changed since {changed}. It waits for: {what}"),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    fn town(more: &str) -> std::string::String {
        std::format!(
            "
            town policy.pr_poll_interval=P9D policy.poll_quiet_interval=P9D
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s {more}
            edge m1 tracks b1"
        )
    }

    #[test]
    fn review_waiting_around_each_threshold() {
        insta::assert_snapshot!(around(&town("review.poll.changed_at=-24h"), "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/waiting
        ");
        let told = "review.poll.changed_at=-20d review.waiting.told_at=-10d review.waiting.times=1";
        insta::assert_snapshot!(around(&town(told), "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/waiting
        ");
    }

    #[test]
    fn review_waiting_at_the_threshold_waits() {
        assert_eq!(acts(&town("review.poll.changed_at=-24h"), "0s"), "nothing");
    }

    #[test]
    fn review_waiting_just_over_the_threshold_notifies_and_rests() {
        insta::assert_snapshot!(settled(&town("review.poll.changed_at=-24h"), "1ms"), @"
        review/waiting: notify_mayor message=https://github.com/acme/r1/pull/1 has not changed since 2026-04-03T12:00:00.000Z. It waits for: a first look; delay (never; people merge) topic=pr_waiting:m1
        at rest after 2 passes
        ");
    }

    #[test]
    fn review_waiting_again_after_ten_times_as_long() {
        let told = "review.poll.changed_at=-20d review.waiting.told_at=-10d review.waiting.times=1";
        assert_eq!(acts(&town(told), "0s"), "nothing");
        assert!(acts(&town(told), "1ms").contains("review/waiting"));
        let twice = told.replace("times=1", "times=2");
        assert_eq!(acts(&town(&twice), "1ms"), "nothing");
    }

    #[test]
    fn review_waiting_counts_anew_after_a_change() {
        let told = "review.poll.changed_at=-25h review.waiting.told_at=-10d review.waiting.times=2";
        assert!(acts(&town(told), "0s").contains("review/waiting"));
    }
}
