//! `molecules/complete`: a molecule whose steps are closed is closed.

use alloc::vec::Vec;

use crate::action::TransitionBead;
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};
use crate::work::Work;

pub(super) const RULE: Rule = Rule {
    id: "molecules/complete",
    text: "A molecule whose steps are all closed, or whose bead has ended: closed. So is a step \
           whose molecule has ended. One that belongs to no bead for stuck_review: a person is \
           told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if bead.work() == Some(&Work::MoleculeStep) {
        return if parent_has_ended(pass, bead) {
            close(bead, "its molecule has ended")
        } else {
            for_its_parent(pass, bead, "is a step of its molecule")
        };
    }
    if !matches!(bead.kind, BeadKind::Molecule) {
        return Verdict::NotMine;
    }
    let steps = steps(pass, bead);
    if steps.iter().any(|step| step.status == BeadStatus::Failed) {
        return Verdict::NotMine;
    }
    if steps.iter().all(|step| step.status == BeadStatus::Closed) {
        return close(bead, "every step of it is closed");
    }
    if parent_has_ended(pass, bead) {
        return close(bead, "the bead that it was for has ended");
    }
    for_its_parent(pass, bead, "is worked on through its bead")
}

/// Waits for the bead that this one was made for; without one only a person can help, who is told.
fn for_its_parent(pass: &Pass<'_>, bead: &Bead, text: &str) -> Verdict {
    if let Some(parent) = pass.town.worked_on_through(bead) {
        return Verdict::wait(Wait::on(WaitFor::Bead, text).id(parent.as_str()));
    }
    let (code, alone) = (
        ReasonCode::MoleculeAlone,
        "belongs to no bead; a person may close it",
    );
    let since = bead.in_status_since();
    if bead.told.contains_key(&code) {
        return Verdict::wait(Wait::on(WaitFor::Person, alone).since(since));
    }
    match pass.stale(since, pass.policy().stuck_review) {
        Due::Now => Verdict::Act(pass.tell_once(bead, code, alone)),
        Due::At(until) => Verdict::wait(Wait::until(until, alone).since(since)),
    }
}

/// The issues of a molecule.
pub(super) fn steps<'a>(pass: &Pass<'a>, molecule: &Bead) -> Vec<&'a Bead> {
    let mut steps = pass.town.children_of(&molecule.id);
    steps.retain(|child| child.work().is_some());
    steps
}

/// Whether the bead that this one was made for is terminal or missing.
fn parent_has_ended(pass: &Pass<'_>, bead: &Bead) -> bool {
    pass.town
        .parent_of(bead)
        .is_some_and(|id| pass.town.bead(id).is_none_or(|parent| !parent.is_live()))
}

fn close(bead: &Bead, why: &str) -> Verdict {
    Verdict::act(TransitionBead {
        bead_id: bead.id.clone(),
        from: bead.status,
        to: BeadStatus::Closed,
        reason: Reason::new(ReasonCode::StepsClosed, why),
    })
}

#[cfg(test)]
mod tests {
    use crate::ids::BeadId;
    use crate::testing::{acts, at, settled, town};
    use crate::verdict::WaitFor;

    const TOWN: &str = r#"
        rig r1
        bead b1 issue open rig_id=r1 last_dispatch_attempt_at=0s
        bead o1 molecule open parent_id=b1
        bead s1 issue closed parent_id=o1 labels=["gt:molecule-step"]
        bead s2 issue closed parent_id=o1 labels=["gt:molecule-step"]
        edge s2 blocks s1
    "#;

    #[test]
    fn molecules_complete_when_every_step_is_closed() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        molecules/complete: transition_bead bead_id=o1 from=open reason=steps_closed to=closed
        at rest after 2 passes
        ");
    }

    #[test]
    fn molecules_complete_not_before() {
        assert_eq!(
            acts(&TOWN.replace("s2 issue closed", "s2 issue open"), "0s"),
            "nothing"
        );
        let unowned = TOWN
            .replace("s2 issue closed", "s2 issue open")
            .replace("open parent_id=b1", "open");
        let unowned = unowned.replace("molecule open", "molecule open status_changed_at=-30m");
        assert_eq!(acts(&unowned, "0s"), "nothing");
        // Nobody works on it, so a person hears of it.
        assert!(acts(&unowned, "1ms").contains("tell bead_id=o1 category=molecule_alone"));
    }

    #[test]
    fn molecules_complete_steps_of_each_other_belong_to_no_bead() {
        let town = r#"
            rig r1
            bead s1 issue open rig_id=r1 labels=["gt:molecule-step"] status_changed_at=-30m
            bead s2 issue open rig_id=r1 labels=["gt:molecule-step"] status_changed_at=-30m
            edge s1 parent-child s2
            edge s2 parent-child s1
        "#;
        assert_eq!(acts(town, "0s"), "nothing");
        let told = acts(town, "1ms");
        assert!(
            told.contains("tell bead_id=s1 category=molecule_alone"),
            "{told}"
        );
        assert!(
            told.contains("tell bead_id=s2 category=molecule_alone"),
            "{told}"
        );
    }

    #[test]
    fn molecules_complete_waits_until_a_person_is_told() {
        let town = town(&std::format!(
            "{TOWN}\nbead s3 issue open labels=[\"gt:molecule-step\"] status_changed_at=-1s"
        ));
        let waits = |id: &str| {
            let bead = BeadId::new(id).unwrap();
            let waits = crate::explain(&town, at("-1s"), &bead).unwrap().waits_for;
            let found = waits
                .into_iter()
                .find(|wait| wait.rule == "molecules/complete");
            found.map(|wait| (wait.kind, wait.text))
        };
        let (kind, text) = waits("s3").unwrap();
        assert_eq!(
            (kind, &*text),
            (WaitFor::Time, "belongs to no bead; a person may close it")
        );
    }

    /// Nobody would go on with the rest.
    #[test]
    fn molecules_complete_when_their_bead_has_ended() {
        let town = TOWN
            .replace("b1 issue open", "b1 issue closed")
            .replace("s2 issue closed", "s2 issue open");
        insta::assert_snapshot!(settled(&town, "0s"), @"
        molecules/complete: transition_bead bead_id=o1 from=open reason=steps_closed to=closed
        molecules/complete: transition_bead bead_id=s2 from=open reason=steps_closed to=closed
        at rest after 3 passes
        ");
    }
}
