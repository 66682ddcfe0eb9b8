//! `review/rework-failed`: the changes that a refinery asked for can't be made.

use alloc::format;

use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;
use crate::work::Work;

pub(super) const RULE: Rule = Rule {
    id: "review/rework-failed",
    text: "A live MR bead whose newest rework bead failed: its source waits, a person is told \
           once.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    if mr.review().is_none() {
        return Verdict::NotMine;
    }
    let rework = pass
        .town
        .newest_repair(&mr.id, |work| matches!(work, Work::Rework(_)));
    let Some(rework) = rework.filter(|rework| rework.status == BeadStatus::Failed) else {
        return Verdict::NotMine;
    };
    let why = rework
        .failure
        .as_ref()
        .map_or("no reason is known", |failure| failure.message.as_str());
    let message = format!("the changes that the refinery asked for were not made: {why}");
    Verdict::Act(pass.source_waits(mr, ReasonCode::ReworkFailed, &message))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = r#"
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 updated_at=0s
        edge m1 tracks b1
        edge m1 blocks w1
        bead w1 issue failed rig_id=r1 labels=["gt:rework"] metadata={"mr_bead_id":"m1"} parent_id=m1 failure={"code":"attempts_exhausted","message":"five tries"}
    "#;

    /// Only a loaded town has a review of a review; a review is nobody's finished work.
    #[test]
    fn review_rework_failed_reopens_no_review() {
        let town = TOWN.replace(
            "b1 issue in_review",
            "b1 merge_request in_review review.source=b1",
        );
        let done = settled(&town, "0s");
        assert!(done.contains("bead_id=m1 from=in_progress"), "{done}");
        assert!(
            !done.contains("bead_id=b1 from=in_review reason=source_waits"),
            "{done}"
        );
        assert!(done.contains("at rest"), "{done}");
    }

    #[test]
    fn review_rework_failed_makes_the_source_wait() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @r#"
        review/rework-failed: transition_bead bead_id=b1 from=in_review reason=source_waits to=open
        review/rework-failed: set_label bead_id=b1 label=gt:held
        review/rework-failed: transition_bead bead_id=m1 from=in_progress reason=rework_failed to=failed
        review/rework-failed: create_bead bead={"escalation":{"bead_id":"m1","category":"rework_failed","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"rework failed: m1","type":"escalation"} bead_id=t1-e1
        review/rework-failed: tell bead_id=m1 category=rework_failed escalation_id=t1-e1
        "#);
    }

    #[test]
    fn review_rework_failed_only_the_newest_counts() {
        let newer =
            r#"bead w2 issue open rig_id=r1 labels=["gt:rework"] parent_id=m1 created_at=-1m"#;
        let town = std::format!("{TOWN}\n{newer}\nedge m1 blocks w2");
        assert!(!acts(&town, "0s").contains("rework-failed"));
        let older = town.replace("created_at=-1m", "created_at=-31d");
        assert!(acts(&older, "0s").contains("rework-failed"));
    }

    #[test]
    fn review_rework_failed_not_of_other_repairs() {
        let town = TOWN
            .replace("gt:rework", "gt:pr-fixup")
            .replace(r#"metadata={"mr_bead_id":"m1"} "#, "");
        assert!(!acts(&town, "0s").contains("rework-failed"));
    }

    #[test]
    fn review_rework_failed_rests() {
        assert!(
            settled(TOWN, "0s").contains("at rest"),
            "{}",
            settled(TOWN, "0s")
        );
    }
}
