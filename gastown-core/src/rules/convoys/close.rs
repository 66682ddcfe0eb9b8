//! `convoys/close`: a convoy whose work is where it belongs is closed.

use alloc::format;
use alloc::vec::Vec;

use super::{Issues, Landed, is_reviewed_still};
use crate::action::CloseConvoy;
use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

/// How many issues a wait names.
const NAMED_MAX: usize = 20;

pub(super) const RULE: Rule = Rule {
    id: "convoys/close",
    text: "A started convoy that is done (at least one issue closed, all closed or, once that was \
           ordered, terminal, no live MR bead tracks any of them) and needs no landing, or has \
           landed in every rig: it is closed.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(issues) = Issues::of(pass.town, bead) else {
        return Verdict::NotMine;
    };
    if issues.convoy.staged {
        return Verdict::wait(Wait::on(
            WaitFor::Person,
            "is staged until a person starts it",
        ));
    }
    if !issues.are_done(pass.town) {
        let waits = unfinished(pass, &issues);
        return if waits.is_empty() {
            Verdict::NotMine
        } else {
            Verdict::Wait(waits)
        };
    }
    let has_landed = issues.lands_from().is_none()
        || issues
            .landings(pass)
            .values()
            .all(|(_, landed)| *landed == Landed::Yes);
    if has_landed {
        Verdict::act(CloseConvoy {
            convoy_id: bead.id.clone(),
        })
    } else {
        Verdict::NotMine
    }
}

/// The issues that are not done, and the reviews of those that are.
fn unfinished(pass: &Pass<'_>, issues: &Issues<'_>) -> Vec<Wait> {
    let town = pass.town;
    let wait = |issue: &&Bead| {
        let text = match issue.status {
            BeadStatus::Open | BeadStatus::InProgress | BeadStatus::InReview => {
                format!("its issue {} is {}", issue.id, issue.status.as_str())
            }
            BeadStatus::Closed | BeadStatus::Failed if is_reviewed_still(town, issue) => {
                format!("the work of its issue {} is under review", issue.id)
            }
            BeadStatus::Closed | BeadStatus::Failed => return None,
        };
        let live_review = town
            .reviews_of(&issue.id)
            .into_iter()
            .find(|mr| mr.is_live());
        let on = live_review.filter(|_| !issue.is_live()).unwrap_or(issue);
        Some(Wait::on(WaitFor::Bead, text).id(on.id.as_str()))
    };
    issues.all.iter().filter_map(wait).take(NAMED_MAX).collect()
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        bead c1 convoy open convoy.total=1 convoy.closed=1 convoy.merge_mode=review-and-merge
        bead b1 issue closed rig_id=r1 closed_at=-1h
        edge b1 tracks c1
    ";

    #[test]
    fn convoys_close_of_single_merges_needs_no_landing() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        convoys/close: close_convoy convoy_id=c1
        at rest after 2 passes
        ");
    }

    #[test]
    fn convoys_close_without_a_feature_branch_needs_no_landing() {
        insta::assert_snapshot!(acts(&TOWN.replace("review-and-merge", "review-then-land"), "0s"), @"convoys/close: close_convoy convoy_id=c1");
    }

    #[test]
    fn convoys_close_waits_for_live_reviews_of_closed_issues() {
        let reviewed = alloc::format!(
            "{TOWN}\nbead m1 merge_request open rig_id=r1 review.source=b1 labels=[\"gt:held\",\"gt:merge-request\"]\nedge m1 tracks b1"
        );
        // `review/source-gone` ends such a review first.
        assert!(!acts(&reviewed, "0s").contains("close_convoy"));
    }

    fn landing(mr: &str) -> String {
        alloc::format!(
            "
            rig r1
            bead c1 convoy open convoy.total=1 convoy.closed=1 convoy.ready_to_land=true convoy.feature_branch=convoy/x/c1/head convoy.landings={{\"r1\":{{\"attempts\":1,\"last_attempt_at\":\"2026-04-04T11:30:00Z\"}}}}
            bead b1 issue closed rig_id=r1 closed_at=-1h
            edge b1 tracks c1
            {mr}
        "
        )
    }

    #[test]
    fn convoys_close_once_the_landing_was_merged() {
        let merged = landing(
            "bead m1 merge_request closed rig_id=r1 created_at=-30m review.source=c1 review.convoy=c1 review.landing_rig=r1 review.outcome=merged\nedge m1 tracks c1",
        );
        insta::assert_snapshot!(settled(&merged, "0s"), @"
        convoys/close: close_convoy convoy_id=c1
        at rest after 2 passes
        ");
    }

    #[test]
    fn convoys_close_does_not_take_a_landing_made_before_the_last_issue_closed() {
        let older = landing(
            "bead m1 merge_request closed rig_id=r1 created_at=-61m review.source=c1 review.convoy=c1 review.landing_rig=r1 review.outcome=merged\nedge m1 tracks c1",
        );
        insta::assert_snapshot!(acts(&older, "0s"), @"convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m1 rig_id=r1 target_branch=main");
    }

    #[test]
    fn convoys_close_goes_by_what_came_first_where_that_is_known() {
        let merged = "bead m1 merge_request closed rig_id=r1 review.source=c1 review.convoy=c1 review.landing_rig=r1 review.outcome=merged\nedge m1 tracks c1";
        // The clock jumped back after the issue had closed.
        let jumped = merged.replace(
            "rig_id=r1 ",
            "rig_id=r1 created_at=-3h review.lands_all=true ",
        );
        insta::assert_snapshot!(acts(&landing(&jumped), "0s"), @"convoys/close: close_convoy convoy_id=c1");
        // It jumped back before.
        let outdated = merged.replace(
            "rig_id=r1 ",
            "rig_id=r1 created_at=-1m review.lands_all=false ",
        );
        insta::assert_snapshot!(acts(&landing(&outdated), "0s"), @"convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m1 rig_id=r1 target_branch=main");
    }

    #[test]
    fn convoys_close_takes_neither_withdrawn_nor_superseded_for_landed() {
        for outcome in ["withdrawn", "superseded"] {
            let ended = landing(&alloc::format!(
                "bead m1 merge_request closed rig_id=r1 created_at=-30m review.source=c1 review.convoy=c1 review.landing_rig=r1 review.outcome={outcome}\nedge m1 tracks c1"
            ));
            assert!(!acts(&ended, "0s").contains("close_convoy"), "{outcome}");
        }
    }

    #[test]
    fn convoys_close_takes_the_record_where_the_review_is_gone() {
        let recorded = landing("").replace(
            "\"attempts\":1",
            "\"attempts\":1,\"landed_at\":\"2026-04-04T11:30:00Z\"",
        );
        insta::assert_snapshot!(acts(&recorded, "0s"), @"convoys/close: close_convoy convoy_id=c1");
    }

    #[test]
    fn convoys_close_without_an_existing_rig_has_nothing_to_land() {
        insta::assert_snapshot!(acts(&landing("").replace("rig r1\n", "\n"), "0s"), @"convoys/close: close_convoy convoy_id=c1");
    }

    #[test]
    fn convoys_close_names_what_is_not_done() {
        let town = crate::testing::town(
            "
            rig r1
            bead c1 convoy open convoy.total=4 convoy.merge_mode=review-and-merge
            bead b1 issue closed rig_id=r1 closed_at=-1h
            bead b2 issue closed rig_id=r1 closed_at=-1h
            bead b3 issue in_review rig_id=r1
            bead b4 issue failed rig_id=r1
            bead m1 merge_request open rig_id=r1 review.source=b1 labels=[\"gt:held\",\"gt:merge-request\"]
            bead m3 merge_request open rig_id=r1 review.source=b3 labels=[\"gt:held\",\"gt:merge-request\"]
            edge b1 tracks c1
            edge b2 tracks c1
            edge b3 tracks c1
            edge b4 tracks c1
            edge m1 tracks b1
            edge m3 tracks b3",
        );
        let id = crate::ids::BeadId::new("c1").unwrap();
        let waits = crate::explain::waits_for(&town, crate::testing::at("0s"), &id);
        let said: std::vec::Vec<_> = waits
            .iter()
            .filter(|wait| wait.rule == "convoys/close")
            .map(|wait| std::format!("{}: {}", wait.id.as_deref().unwrap_or(""), wait.text))
            .collect();
        assert_eq!(
            said,
            [
                "m1: the work of its issue b1 is under review",
                "b3: its issue b3 is in_review",
            ]
        );
    }
}
