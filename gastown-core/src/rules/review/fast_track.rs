//! `review/fast-track`: without code review a pull request needs no refinery.

use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "review/fast-track",
    text: "code_review off, an open MR bead with a pull request: in progress, polling decides.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some(review) = mr.review() else {
        return Verdict::NotMine;
    };
    let mine = mr.status == BeadStatus::Open
        && review.pr_url.is_some()
        && !pass.review_settings(mr).code_review;
    if !mine {
        return Verdict::NotMine;
    }
    Verdict::act(Pass::transition(
        mr,
        BeadStatus::InProgress,
        ReasonCode::FastTrack,
        "nobody reviews it; the forge decides",
    ))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        town config.refinery.code_review=false
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request open rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.poll.last_at=0s
        edge m1 tracks b1
    ";

    #[test]
    fn review_fast_track_puts_it_in_progress() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        review/fast-track: transition_bead bead_id=m1 from=open reason=fast_track to=in_progress
        at rest after 2 passes
        ");
    }

    #[test]
    fn review_fast_track_not_with_code_review() {
        let town = TOWN.replace("code_review=false", "code_review=true");
        assert!(!acts(&town, "0s").contains("fast-track"));
    }
}
