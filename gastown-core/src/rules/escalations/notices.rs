//! `notices/repeat`: a notice that did not arrive is sent again.

use alloc::vec::Vec;

use crate::action::{ActionKind, NotifyMayor};
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "notices/repeat",
    text: "A notice whose delivery failed forge_backoff ago: the mayor is notified again, in the \
           same words.",
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
        town.notices_under_way.breaker.next_at: - → "2026-04-04T12:01:00.000Z"
        "#);
        let done = failed.replace("failed", "done");
        insta::assert_snapshot!(observed(TOWN, "0s", &done), @r#"
        observed: breaker was told
        town.notices_under_way.breaker.message: "starts keep failing" → -
        town.notices_under_way.breaker.number: 1 → -
        "#);
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
