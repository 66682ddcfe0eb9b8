//! `review/no-pr`: without code review nobody would open the pull request that is missing.

use crate::bead::{Bead, BeadStatus};
use crate::config::MergeStrategy;
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "review/no-pr",
    text: "code_review off, strategy `pr`, an open MR bead without a pull request that lands no \
           convoy, goes to no feature branch and is in no review-and-merge convoy: it fails, its \
           source reopens. Nobody is told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some(review) = mr.review() else {
        return Verdict::NotMine;
    };
    let settings = pass.review_settings(mr);
    let mine = mr.status == BeadStatus::Open
        && review.pr_url.is_none()
        && !settings.code_review
        && settings.merge_strategy == MergeStrategy::Pr
        && !review.is_landing()
        && !pass.town.targets_feature_branch(mr)
        && !pass.town.in_review_and_merge_convoy(mr);
    if !mine {
        return Verdict::NotMine;
    }
    let (code, why) = (
        ReasonCode::NoPrUrl,
        "its work came without a pull request, and nobody reviews it",
    );
    let mut actions = pass.source_reopens(mr, code, why);
    actions.push(Pass::transition(mr, BeadStatus::Failed, code, why));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = r#"
        town config={"merge_strategy":"pr","refinery":{"code_review":false}}
        rig r1
        agent a1 polecat idle rig_id=r1 last_activity_at=0s
        bead b1 issue in_review rig_id=r1 assignee=a1
        bead m1 merge_request open rig_id=r1 review.source=b1
        edge m1 tracks b1
    "#;

    #[test]
    fn review_no_pr_fails_it_and_reopens_the_source() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"
        review/no-pr: transition_bead bead_id=b1 from=in_review reason=no_pr_url to=open
        review/no-pr: clear_assignee bead_id=b1
        review/no-pr: transition_bead bead_id=m1 from=open reason=no_pr_url to=failed
        ");
    }

    #[test]
    fn review_no_pr_pauses_before_the_source_is_done_again() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        review/no-pr: transition_bead bead_id=b1 from=in_review reason=no_pr_url to=open
        review/no-pr: clear_assignee bead_id=b1
        review/no-pr: transition_bead bead_id=m1 from=open reason=no_pr_url to=failed
        at rest after 2 passes
        ");
    }

    #[test]
    fn review_no_pr_not_where_a_refinery_acts() {
        let reviewed = TOWN.replace(r#""code_review":false"#, r#""code_review":true"#);
        assert!(!acts(&reviewed, "0s").contains("no-pr"));
        let direct = TOWN.replace(r#""merge_strategy":"pr""#, r#""merge_strategy":"direct""#);
        assert!(!acts(&direct, "0s").contains("no-pr"));
        let landing = TOWN.replace("review.source=b1", "review.source=b1 review.convoy=c1");
        assert!(!acts(&landing, "0s").contains("no-pr"));
        let convoy = |mode: &str, branch: &str| {
            std::format!(
                "{TOWN}\nedge b1 tracks c1\nbead c1 convoy open convoy.merge_mode={mode} convoy.total=1 convoy.feature_branch={branch}"
            )
        };
        assert!(!acts(&convoy("review-and-merge", "f1"), "0s").contains("no-pr"));
        assert!(!acts(&convoy("review-then-land", "main"), "0s").contains("no-pr"));
        assert!(acts(&convoy("review-then-land", "f1"), "0s").contains("no-pr"));
    }
}
