//! `review/repair-failed`: a repair for the current head failed, so that the engine keeps its
//! hands off this head.

use alloc::format;
use alloc::string::ToString;

use crate::action::MarkAutoMerge;
use crate::bead::Bead;
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::review::OFF_UNSEEN;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "review/repair-failed",
    text: "A live MR bead whose newest feedback or conflict bead made for its current head \
           failed: auto-merge is off for this head, a person is told once, no other repair is \
           made for this head. Polling goes on.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some(review) = mr.review() else {
        return Verdict::NotMine;
    };
    let Some(failed) = pass.town.failed_repair_for_head(mr) else {
        return Verdict::NotMine;
    };
    let head = review.head_sha.as_deref().unwrap_or(OFF_UNSEEN);
    if review.auto_merge.off_for_head.as_deref() == Some(head) {
        return Verdict::NotMine;
    }
    let why = failed
        .failure
        .as_ref()
        .map_or("no reason is known", |failure| failure.message.as_str());
    let message = format!(
        "a repair of its pull request failed ({why}); the engine neither repairs nor merges this \
         head, a person has to look"
    );
    let mark = MarkAutoMerge {
        bead_id: mr.id.clone(),
        pending: false,
        ready_since: None,
        head_sha: review.auto_merge.head_sha.clone(),
        off_for_head: Some(head.to_string()),
        attempt_given_up: false,
    };
    let mut actions = alloc::vec![mark.into()];
    actions.extend(pass.tell_once(mr, ReasonCode::RepairFailed, message));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = r#"
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s
        edge m1 tracks b1
        edge m1 blocks w1
        bead w1 issue failed rig_id=r1 labels=["gt:pr-feedback"] metadata={"head_sha":"h1"} parent_id=m1
    "#;

    #[test]
    fn review_repair_failed_turns_auto_merge_off_and_tells_once() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @r#"
        review/repair-failed: mark_auto_merge bead_id=m1 head_sha=null off_for_head=h1 pending=false ready_since=null
        review/repair-failed: create_bead bead={"escalation":{"bead_id":"m1","category":"repair_failed","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"repair failed: m1","type":"escalation"} bead_id=t1-e1
        review/repair-failed: tell bead_id=m1 category=repair_failed escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] repair failed: m1

        a repair of its pull request failed (no reason is known); the engine neither repairs nor merges this head, a person has to look topic=escalation:t1-e1
        review/waiting: notify_mayor message=https://github.com/acme/r1/pull/1 has not changed since 2026-03-05T12:00:00.000Z. It waits for: a first look; delay (never; people merge); not_off (off for this head; a person was told) topic=pr_waiting:m1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn review_repair_failed_not_for_another_head() {
        let town = TOWN.replace(r#""head_sha":"h1""#, r#""head_sha":"h0""#);
        assert!(!acts(&town, "0s").contains("repair-failed"));
    }

    #[test]
    fn review_repair_failed_of_an_unseen_head() {
        let town = TOWN
            .replace(r#"metadata={"head_sha":"h1"} "#, "")
            .replace("review.head_sha=h1 ", "");
        assert!(
            acts(&town, "0s").contains("off_for_head=unseen"),
            "{}",
            acts(&town, "0s")
        );
    }

    #[test]
    fn review_repair_failed_only_the_newest_of_its_sort_counts() {
        let newer = r#"bead w2 issue closed rig_id=r1 labels=["gt:pr-feedback"] metadata={"head_sha":"h1"} parent_id=m1 created_at=-1m"#;
        let town = std::format!("{TOWN}\n{newer}");
        assert!(!acts(&town, "0s").contains("repair-failed"));
        let other = town.replace(
            "w2 issue closed rig_id=r1 labels=[\"gt:pr-feedback\"]",
            "w2 issue closed rig_id=r1 labels=[\"gt:pr-conflict\"]",
        );
        assert!(acts(&other, "0s").contains("repair-failed"));
    }
}
