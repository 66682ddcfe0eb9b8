//! `triage/moot`: what the request was about has ended.

use alloc::format;

use super::{is_moot, request_of};
use crate::action::TransitionBead;
use crate::bead::{Bead, BeadStatus};
use crate::ids::BeadId;
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "triage/moot",
    text: "A triage request whose recorded bead is terminal or gone: it is closed.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(request) = request_of(bead).filter(|request| is_moot(pass.town, request)) else {
        return Verdict::NotMine;
    };
    let about = request.hooked_bead_id.as_ref().map_or("", BeadId::as_str);
    Verdict::act(TransitionBead {
        bead_id: bead.id.clone(),
        from: bead.status,
        to: BeadStatus::Closed,
        reason: Reason::new(
            ReasonCode::TriageMoot,
            format!("{about}, which it is about, has ended"),
        ),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = r#"
        rig r1
        agent a1 polecat idle rig_id=r1
        bead b1 issue closed rig_id=r1
        bead q1 issue open rig_id=r1 labels=["gt:triage-request"] metadata.triage_type=stuck_agent metadata.agent_id=a1 metadata.hooked_bead_id=b1
    "#;

    #[test]
    fn triage_moot_closes_a_request_about_an_ended_bead() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        triage/moot: transition_bead bead_id=q1 from=open reason=triage_moot to=closed
        at rest after 2 passes
        ");
    }

    #[test]
    fn triage_moot_closes_a_request_about_a_bead_that_is_gone() {
        insta::assert_snapshot!(acts(&TOWN.replace("bead b1 issue closed rig_id=r1", ""), "0s"), @"triage/moot: transition_bead bead_id=q1 from=open reason=triage_moot to=closed");
    }

    #[test]
    fn triage_moot_leaves_a_request_about_a_live_bead() {
        let live = TOWN.replace(
            "b1 issue closed rig_id=r1",
            "b1 issue open rig_id=r1 labels=[\"gt:held\"]",
        );
        assert!(!acts(&live, "0s").contains("triage/moot"));
    }
}
