//! `triage/batch`: open requests become one batch for a triage agent.

use alloc::format;

use super::{is_moot, is_spent, last_ended, live_batch, request_of};
use crate::action::CreateBead;
use crate::bead::{Bead, BeadKind, CreatedBy, Priority};
use crate::ids::IdKind;
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;
use crate::work::Work;

pub(super) const RULE: Rule = Rule {
    id: "triage/batch",
    text: "Triage requests are open, no batch is live, the last one ended over triage_pause ago \
           and there is a rig: a batch is made in the oldest rig. It counts as carried by every \
           open request, and as a dispatch of the line of work of each.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let town = pass.town;
    // What was carried often enough becomes an escalation instead, what is moot closes.
    let waits = |bead: &&Bead| {
        request_of(bead).is_some_and(|request| {
            !is_moot(town, request) && is_spent(pass, bead, request).is_none()
        })
    };
    let waiting = town.live_beads().filter(waits).count();
    if waiting == 0 || live_batch(town).is_some() {
        return Verdict::NotMine;
    }
    let Some(rig) = town.rigs().min_by_key(|rig| (rig.created_at, &rig.id)) else {
        return Verdict::NotMine;
    };
    let due = last_ended(town).map_or(Due::Now, |at| pass.stale(at, pass.policy().triage_pause));
    if let Due::At(_) = due {
        // `triage/escalate` says so for each request.
        return Verdict::NotMine;
    }
    let id = pass.new_bead_id(IdKind::Bead);
    let kind = BeadKind::Issue(Work::TriageBatch);
    let title = format!("Triage: {waiting} open requests");
    let mut batch = Bead::new(id.clone(), kind, title, pass.now);
    batch.priority = Priority::High;
    batch.rig_id = Some(rig.id.clone());
    batch.created_by = Some(CreatedBy::Patrol);
    Verdict::act(CreateBead {
        bead_id: id,
        bead: batch.into(),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around};

    const TOWN: &str = r#"
        town triage_ended_at=-10m
        rig r2 created_at=-2d
        rig r1 created_at=-1d
        bead b1 issue open rig_id=r1 labels=["gt:held"]
        bead q1 issue open labels=["gt:triage-request"] metadata.triage_type=help_request metadata.hooked_bead_id=b1
        bead q2 issue open labels=["gt:triage-request"] metadata.triage_type=escalation metadata.carries=1
    "#;

    #[test]
    fn triage_batch_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: triage/batch
        ");
    }

    #[test]
    fn triage_batch_at_the_pause_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
    }

    #[test]
    fn triage_batch_just_over_the_pause_is_made_in_the_oldest_rig() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @r#"triage/batch: create_bead bead={"labels":["gt:triage"],"priority":"high","rig_id":"r2","status":"open","title":"Triage: 2 open requests","type":"issue"} bead_id=t1-b1"#);
    }

    /// A town from outside knows of its last batch by the bead alone.
    #[test]
    fn triage_batch_counts_the_pause_from_a_batch_that_ended() {
        let ended = TOWN.replace("town triage_ended_at=-10m", "")
            + "\nbead t1 issue closed rig_id=r1 created_by=patrol labels=[\"gt:triage\"] closed_at=-10m";
        assert_eq!(acts(&ended, "0s"), "nothing");
        assert!(acts(&ended, "1ms").contains("triage/batch: create_bead"));
    }

    #[test]
    fn triage_batch_does_not_count_the_pause_from_other_work_that_ended() {
        let other = alloc::format!("{TOWN}\nbead b2 issue closed rig_id=r1 closed_at=-1m");
        assert!(acts(&other, "1ms").contains("triage/batch: create_bead"));
    }

    /// Nobody is sent to a batch that has nothing to judge: it is about to be closed.
    #[test]
    fn triage_batch_without_anything_to_judge_is_not_dispatched() {
        let batch = "rig r1
            bead b1 issue open rig_id=r1 labels=[\"gt:held\"]
            bead t1 issue open rig_id=r1 created_by=patrol labels=[\"gt:triage\"]";
        let is_sent = |text: &str| {
            let town = crate::testing::town(text);
            let pass = crate::pass::Pass::new(&town, crate::testing::at("0s"));
            let bead = town.bead(&crate::ids::BeadId::new("t1").unwrap()).unwrap();
            crate::eligible::issue_obstacles(&pass, bead).is_empty()
        };
        assert!(!is_sent(batch));
        assert!(acts(batch, "0s").contains("reason=triage_done"));
        let request = "bead q1 issue open labels=[\"gt:triage-request\"] metadata.triage_type=help_request metadata.hooked_bead_id=b1";
        assert!(is_sent(&alloc::format!("{batch}\n{request}")));
        let moot = request.replace("=b1", "=gone");
        assert!(!is_sent(&alloc::format!("{batch}\n{moot}")));
    }

    #[test]
    fn triage_batch_is_one_at_a_time() {
        let live = alloc::format!(
            "{TOWN}\nbead t1 issue open rig_id=r1 created_by=patrol labels=[\"gt:held\",\"gt:triage\"]"
        );
        insta::assert_snapshot!(acts(&live, "1h"), @"nothing");
    }

    #[test]
    fn triage_batch_of_a_person_does_not_count() {
        let theirs = alloc::format!(
            "{TOWN}\nbead t1 issue open rig_id=r1 created_by=ann labels=[\"gt:held\",\"gt:triage\"]"
        );
        assert!(acts(&theirs, "1h").contains("triage/batch: create_bead"));
    }

    #[test]
    fn triage_batch_is_not_made_for_what_was_carried_often_enough() {
        let spent = TOWN
            .replace("metadata.hooked_bead_id=b1", "metadata.carries=2")
            .replace("metadata.carries=1", "metadata.carries=2");
        assert!(!acts(&spent, "1h").contains("triage/batch"));
    }

    /// An agent that asks for help, is answered and asks again: each round is a start (P15).
    #[test]
    fn triage_batch_costs_each_line_that_it_judges_one_dispatch() {
        let mut town = crate::testing::town(
            r#"
            town lineages={"b1":{"used":23,"granted":0}}
            rig r1
            bead b1 issue open rig_id=r1 labels=["gt:held"]
            bead q1 issue open root=b1 labels=["gt:triage-request"] metadata.triage_type=help_request metadata.hooked_bead_id=b1
            bead q2 issue open root=b1 labels=["gt:triage-request"] metadata.triage_type=escalation metadata.hooked_bead_id=b1
        "#,
        );
        let root = crate::ids::BeadId::new("b1").unwrap();
        let _settled = crate::reconcile::settle(&mut town, crate::testing::at("0s"));
        assert_eq!(town.lineage(&root).used, 24);
    }

    #[test]
    fn triage_batch_is_not_made_for_a_line_that_is_spent() {
        let at = |used: u32| {
            let town = alloc::format!(
                r#"town lineages={{"b1":{{"used":{used},"granted":0}}}}
                rig r1
                bead b1 issue open rig_id=r1 labels=["gt:held"]
                bead q1 issue open root=b1 labels=["gt:triage-request"] metadata.triage_type=help_request metadata.hooked_bead_id=b1"#
            );
            acts(&town, "0s").contains("triage/batch: create_bead")
        };
        assert!(at(24));
        assert!(!at(25));
        assert!(!at(26));
    }
}
