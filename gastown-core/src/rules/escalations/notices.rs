//! `notices/repeat`: a notice that did not arrive is sent again.

use alloc::vec::Vec;

use crate::action::{ActionKind, NotifyMayor};
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "notices/repeat",
    text: "A notice whose delivery failed forge_backoff ago, doubled per failure: the mayor is \
           notified again, in the same words, unless it is of an escalation that has ended.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let due: Vec<ActionKind> = pass
        .town
        .state()
        .notices_under_way
        .iter()
        .filter(|(_, notice)| notice.next_at.is_some_and(|at| pass.reached(at).is_now()))
        .map(|(topic, notice)| {
            NotifyMayor {
                topic: topic.clone(),
                message: notice.message.clone(),
            }
            .into()
        })
        .collect();
    if due.is_empty() {
        Verdict::NotMine
    } else {
        Verdict::Act(due)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, observed, settled, wakeup};

    const TOWN: &str = r#"
        town notices=1 notices_under_way={"breaker":{"message":"starts keep failing","number":1}}
    "#;

    #[test]
    fn notices_repeat_around_its_time() {
        let town = TOWN.replace(
            r#""number":1"#,
            r#""number":1,"next_at":"2026-04-04T12:01:00Z""#,
        );
        insta::assert_snapshot!(around(&town, "1m"), @"
        just under: nothing, again at 2026-04-04T12:01:00.000Z
        at: notices/repeat
        just over: notices/repeat
        ");
    }

    #[test]
    fn notices_repeat_waits_for_the_outcome() {
        assert_eq!(acts(TOWN, "0s"), "nothing");
        assert_eq!(wakeup(TOWN, "0s"), "never");
    }

    #[test]
    fn notices_repeat_remembers_the_words_of_what_failed() {
        let failed = r#"{"type": "notified", "topic": "breaker", "outcome": "failed"}"#;
        insta::assert_snapshot!(observed(TOWN, "0s", failed), @r#"
        observed: breaker is told again
        town.notices_under_way.breaker.failures: - → 1
        town.notices_under_way.breaker.next_at: - → "2026-04-04T12:01:00.000Z"
        "#);
        let done = failed.replace("failed", "done");
        insta::assert_snapshot!(observed(TOWN, "0s", &done), @r#"
        observed: breaker was told
        town.notices_under_way.breaker.message: "starts keep failing" → -
        town.notices_under_way.breaker.number: 1 → -
        "#);
    }

    /// Spec 2.2: after forge_backoff, which doubles up to its cap.
    #[test]
    fn notices_repeat_doubles_the_pause_per_failure() {
        let paused = |failures: u32| {
            let notice = std::format!(r#""number":1,"failures":{failures}"#);
            let town = TOWN.replace(r#""number":1"#, &notice);
            let unknown = r#"{"type": "notified", "topic": "breaker", "outcome": "unknown"}"#;
            let seen = observed(&town, "0s", unknown);
            let next = seen.lines().find(|line| line.contains("next_at"));
            std::format!("{failures}: {}", next.unwrap_or("never"))
        };
        insta::assert_snapshot!([0, 1, 3, 4, u32::MAX].map(paused).join("\n"), @r#"
        0: town.notices_under_way.breaker.next_at: - → "2026-04-04T12:01:00.000Z"
        1: town.notices_under_way.breaker.next_at: - → "2026-04-04T12:02:00.000Z"
        3: town.notices_under_way.breaker.next_at: - → "2026-04-04T12:08:00.000Z"
        4: town.notices_under_way.breaker.next_at: - → "2026-04-04T12:10:00.000Z"
        4294967295: town.notices_under_way.breaker.next_at: - → "2026-04-04T12:10:00.000Z"
        "#);
    }

    /// Each try has a number of its own, and would else be the first one each time.
    #[test]
    fn notices_repeat_counts_failures_across_its_tries() {
        let failed = r#""number":1,"failures":2,"next_at":"2026-04-04T12:01:00Z""#;
        let mut town = crate::testing::town(&TOWN.replace(r#""number":1"#, failed));
        let _ = crate::reconcile::settle(&mut town, crate::testing::at("1m"));
        let notice = town.state().notices_under_way.get("breaker").unwrap();
        let told = (notice.number, notice.failures, notice.next_at);
        assert_eq!(told, (2, 2, None));
    }

    /// Spec 3.9: who took note of an escalation, or did away with it, hears no more of it.
    #[test]
    fn notices_repeat_not_of_an_escalation_that_has_ended() {
        let escalation = r#"
            town notices=1 notices_under_way={"escalation:e1":{"message":"why","number":1,"failures":1,"next_at":"2026-04-04T12:01:00Z"}}
            bead e1 escalation open created_at=0s escalation.severity=high escalation.notified_at=0s
            bead e2 escalation open created_at=0s escalation.severity=high escalation.notified_at=0s
        "#;
        let said_after = |command: &str| {
            let mut town = crate::testing::town(escalation);
            let command = command.replace('}', r#", "caller": {"kind": "user", "id": "ann"}}"#);
            let command = crate::wire::command_from_str(&command).unwrap();
            town.execute(command, crate::testing::at("0s")).unwrap();
            let settled = crate::reconcile::settle(&mut town, crate::testing::at("1m"));
            crate::testing::lines(&settled.actions)
        };
        for ends in [
            r#"{"type": "acknowledge", "escalation_id": "e1"}"#,
            r#"{"type": "delete_beads", "bead_ids": ["e1"]}"#,
        ] {
            assert_eq!(said_after(ends), "nothing", "{ends}");
        }
        let other = r#"{"type": "acknowledge", "escalation_id": "e2"}"#;
        insta::assert_snapshot!(said_after(other), @"notices/repeat: notify_mayor message=why topic=escalation:e1");
    }

    #[test]
    fn notices_repeat_at_the_time_in_the_same_words() {
        let town = TOWN.replace(
            r#""number":1"#,
            r#""number":1,"next_at":"2026-04-04T12:01:00Z""#,
        );
        assert_eq!(acts(&town, "59s"), "nothing");
        insta::assert_snapshot!(wakeup(&town, "0s"), @"2026-04-04T12:01:00.000Z");
        insta::assert_snapshot!(settled(&town, "1m"), @"
        notices/repeat: notify_mayor message=starts keep failing topic=breaker
        at rest after 2 passes
        ");
    }

    #[test]
    fn notices_repeat_ignores_what_is_older_or_unknown() {
        let older = r#"{"type": "notified", "topic": "breaker", "outcome": "failed",
            "key": {"subject": "breaker", "kind": "notify_mayor", "attempt": 0}}"#;
        insta::assert_snapshot!(observed(TOWN, "0s", older), @"ignored: the result of an older notice");
        let unknown = r#"{"type": "notified", "topic": "gone", "outcome": "failed"}"#;
        insta::assert_snapshot!(observed(TOWN, "0s", unknown), @"ignored: no such notice is under way");
    }
}
