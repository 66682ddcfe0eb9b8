//! Whether a direct merge landed (spec 4.1).

use alloc::format;
use alloc::string::ToString;

use super::is_current;
use crate::effect::EffectKey;
use crate::event::MergeVerified;
use crate::forge::VerifyOutcome;
use crate::observe::Outcome;
use crate::reason::ReasonCode;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    pub(in crate::observe) fn merge_verified(
        &mut self,
        event: &MergeVerified,
        key: Option<&EffectKey>,
        now: Timestamp,
    ) -> Outcome {
        let id = &event.bead_id;
        let review = self.live_review(id)?;
        let number = review.verify.as_ref().map(|verify| verify.number);
        if key.is_some() && !number.is_some_and(|n| is_current(key, id, "verify_merge", n)) {
            return Err("the result of an older verification".to_string());
        }
        match &event.outcome {
            VerifyOutcome::Landed { commit } => {
                let evidence = format!("its work is on the target as {commit}");
                self.merged(id, Some(commit), &evidence, now);
                Ok(format!("{id} has landed"))
            }
            VerifyOutcome::Absent if number.is_none() => {
                Err("nobody says that it has landed".to_string())
            }
            VerifyOutcome::Absent => {
                let why = "the refinery said that it merged, but the work is not on the target";
                self.edit_review(id, |review| review.verify = None);
                self.fail_review_and_reopen(id, ReasonCode::NotLanded, why, "review", now);
                Ok(format!("{id} has not landed"))
            }
            VerifyOutcome::Unknown => {
                Err("whether it landed can't be told; it is asked again".to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{observed, settled};

    const TOWN: &str = "
        rig r1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.verify.number=2 review.verify.tries=2 review.verify.asked_at=-1m review.verifications=2
        edge m1 tracks b1
    ";

    fn verified(town: &str, outcome: &str) -> std::string::String {
        let key = r#""key": {"subject": "m1", "kind": "verify_merge", "attempt": 2}"#;
        let event = std::format!(
            r#"{{"type": "merge_verified", {key}, "bead_id": "m1", "outcome": {outcome}}}"#
        );
        observed(town, "0s", &event)
    }

    const LANDED: &str = r#"{"kind": "landed", "commit": "c1"}"#;

    #[test]
    fn landed_closes_the_review_and_its_source() {
        insta::assert_snapshot!(verified(TOWN, LANDED), @r#"
        observed: m1 has landed
        b1.closed_at: - → "2026-04-04T12:00:00.000Z"
        b1.status: "in_review" → "closed"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        m1.closed_at: - → "2026-04-04T12:00:00.000Z"
        m1.review.merge_commit: - → "c1"
        m1.review.outcome: - → "merged"
        m1.review.verify.asked_at: "2026-04-04T11:59:00.000Z" → -
        m1.review.verify.number: 2 → -
        m1.review.verify.tries: 2 → -
        m1.status: "in_progress" → "closed"
        m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        "#);
    }

    #[test]
    fn landed_leaves_a_reopened_source_alone() {
        let town = TOWN.replace("b1 issue in_review", "b1 issue in_progress");
        let seen = verified(&town, LANDED);
        assert!(
            seen.contains(r#"m1.status: "in_progress" → "closed""#),
            "{seen}"
        );
        assert!(!seen.contains("b1.status"), "{seen}");
    }

    #[test]
    fn landed_supersedes_other_reviews_of_the_source_in_the_rig() {
        let town = std::format!(
            "{TOWN}
            rig r2
            bead m2 merge_request open rig_id=r1 review.source=b1
            edge m2 tracks b1
            bead m3 merge_request open rig_id=r2 review.source=b1
            edge m3 tracks b1
            bead m4 merge_request open rig_id=r1 review.source=b1 review.convoy=c1
            edge m4 tracks b1
            bead c1 convoy open"
        );
        let seen = verified(&town, LANDED);
        assert!(
            seen.contains(r#"m2.review.outcome: - → "superseded""#),
            "{seen}"
        );
        assert!(!seen.contains("m3."), "{seen}");
        assert!(!seen.contains("m4."), "{seen}");
    }

    #[test]
    fn landed_of_a_landing_review_records_its_rig() {
        let town = "
            rig r1
            bead c1 convoy open
            bead m1 merge_request in_progress rig_id=r1 review.source=c1 review.convoy=c1 review.landing_rig=r1 review.lands_all=true review.verify.number=2
            edge m1 tracks c1
        ";
        insta::assert_snapshot!(verified(town, LANDED), @r#"
        observed: m1 has landed
        c1.convoy.landing.landed_at: - → "2026-04-04T12:00:00.000Z"
        c1.convoy.landings.r1.landed_at: - → "2026-04-04T12:00:00.000Z"
        m1.closed_at: - → "2026-04-04T12:00:00.000Z"
        m1.review.merge_commit: - → "c1"
        m1.review.outcome: - → "merged"
        m1.review.verify.number: 2 → -
        m1.review.verify.tries: 0 → -
        m1.status: "in_progress" → "closed"
        m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        "#);
    }

    #[test]
    fn landed_work_outdates_the_landings_of_its_convoy_in_its_rig() {
        let town = std::format!(
            "{TOWN}
            rig r2
            bead c1 convoy open convoy.landings={{\"r1\":{{\"attempts\":1,\"landed_at\":\"2026-04-04T11:00:00Z\"}},\"r2\":{{\"attempts\":1,\"landed_at\":\"2026-04-04T11:00:00Z\"}}}}
            edge b1 tracks c1
            bead m2 merge_request open rig_id=r1 review.source=c1 review.convoy=c1 review.landing_rig=r1 review.lands_all=true
            edge m2 tracks c1
            bead m3 merge_request open rig_id=r2 review.source=c1 review.convoy=c1 review.landing_rig=r2 review.lands_all=true
            edge m3 tracks c1"
        );
        let seen = verified(&town, LANDED);
        let of_landings = seen.lines().filter(|line| line.contains("land"));
        let of_landings: std::vec::Vec<_> = of_landings.collect();
        insta::assert_snapshot!(of_landings.join("\n"), @r#"
        observed: m1 has landed
        c1.convoy.landings.r1.landed_at: "2026-04-04T11:00:00.000Z" → -
        m2.review.lands_all: true → false
        "#);
        // What a convoy that has ended landed stays on record.
        let ended = verified(&town.replace("c1 convoy open", "c1 convoy closed"), LANDED);
        assert!(!ended.contains("landed_at"), "{ended}");
    }

    #[test]
    fn landed_of_an_outdated_landing_is_no_landing_of_its_rig() {
        let town = "
            rig r1
            bead c1 convoy open
            bead b1 issue open rig_id=r1
            edge b1 tracks c1
            bead m1 merge_request in_progress rig_id=r1 review.source=c1 review.convoy=c1 review.landing_rig=r1 review.lands_all=false review.verify.number=2
            edge m1 tracks c1
        ";
        let seen = verified(town, LANDED);
        assert!(
            seen.contains(r#"m1.review.outcome: - → "merged""#),
            "{seen}"
        );
        assert!(!seen.contains("landed_at"), "{seen}");
    }

    /// Spec 1.10, 3.5: landing_attempts are for what does not land.
    #[test]
    fn landed_gives_the_attempt_back_that_it_was() {
        let left = |attempts: u32, made_by: &str, lands_all: bool| {
            let town = std::format!(
                "
                rig r1
                bead c1 convoy open convoy.landing.attempts={attempts}
                bead b1 issue open rig_id=r1
                edge b1 tracks c1
                bead m1 merge_request in_progress rig_id=r1 created_by={made_by} review.source=c1 review.convoy=c1 review.landing_rig=r1 review.lands_all={lands_all} review.verify.number=2
                edge m1 tracks c1"
            );
            let seen = verified(&town, LANDED);
            let count = seen.lines().find(|line| line.contains("landing.attempts"));
            std::format!("{made_by} {lands_all}: {}", count.unwrap_or("as before"))
        };
        let rows = [
            left(1, "system", true),
            left(5, "system", false),
            left(0, "system", true),
            // A person's retry cost none.
            left(4, "ann", true),
        ];
        insta::assert_snapshot!(rows.join("\n"), @"
        system true: c1.convoy.landing.attempts: 1 → 0
        system false: c1.convoy.landing.attempts: 5 → 4
        system true: as before
        ann true: as before
        ");
    }

    #[test]
    fn absent_fails_the_review_and_reopens_its_source() {
        insta::assert_snapshot!(verified(TOWN, r#"{"kind": "absent"}"#), @r#"
        observed: m1 has not landed
        b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
        b1.status: "in_review" → "open"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        m1.closed_at: - → "2026-04-04T12:00:00.000Z"
        m1.failure.code: - → "not_landed"
        m1.failure.message: - → "the refinery said that it merged, but the work is not on the target"
        m1.failure.source: - → "review"
        m1.review.verify.asked_at: "2026-04-04T11:59:00.000Z" → -
        m1.review.verify.number: 2 → -
        m1.review.verify.tries: 2 → -
        m1.status: "in_progress" → "failed"
        m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        m1.told.not_landed: - → "2026-04-04T12:00:00.000Z"
        m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        t1-e1.body: - → "the refinery said that it merged, but the work is not on the target"
        t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.created_by: - → "system"
        t1-e1.escalation.bead_id: - → "m1"
        t1-e1.escalation.category: - → "not_landed"
        t1-e1.escalation.severity: - → "high"
        t1-e1.id: - → "t1-e1"
        t1-e1.labels: - → ["gt:escalation","severity:high"]
        t1-e1.priority: - → "high"
        t1-e1.rig_id: - → "r1"
        t1-e1.root: - → "m1"
        t1-e1.status: - → "open"
        t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.title: - → "not landed: m1"
        t1-e1.type: - → "escalation"
        t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
    }

    #[test]
    fn unknown_and_older_results_change_nothing() {
        insta::assert_snapshot!(verified(TOWN, r#"{"kind": "unknown"}"#), @"ignored: whether it landed can't be told; it is asked again");
        let asked_again = TOWN.replace("verify.number=2", "verify.number=3");
        insta::assert_snapshot!(verified(&asked_again, LANDED), @"ignored: the result of an older verification");
        let ended = TOWN.replace("in_progress", "failed");
        insta::assert_snapshot!(verified(&ended, LANDED), @"ignored: the review has ended");
    }

    #[test]
    fn a_landed_town_is_at_rest() {
        let town = TOWN.replace("m1 merge_request in_progress", "m1 merge_request closed");
        let town = town.replace("in_review", "closed");
        insta::assert_snapshot!(settled(&town, "1h"), @"
        nothing
        at rest after 1 passes
        ");
    }
}
