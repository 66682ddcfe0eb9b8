//! `container/renew-llm-token`: the language-model token is looked at before it expires.

use crate::action::RenewLlmToken;
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "container/renew-llm-token",
    text: "The expiry is known, renew_before_expiry before it or later, and the last look \
           llm_token_check_every ago: looked at, and renewed when due; after a failure again after \
           forge_backoff.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let container = &pass.town.state().container;
    let policy = pass.policy();
    let Some(expiry) = container.llm_token_expires_at else {
        return Verdict::NotMine;
    };
    let before_expiry = expiry.minus(policy.renew_before_expiry);
    let due = match (container.last_llm_check_at, container.llm_failures) {
        (None, _) => pass.reached(before_expiry),
        (Some(at), 0) => pass.reached(before_expiry.max(at.plus(policy.llm_token_check_every))),
        // What failed is due again after forge_backoff (spec 2.2).
        (Some(at), failures) => pass.stale(at, policy.forge_pause(failures)),
    };
    match due {
        Due::Now => Verdict::act(RenewLlmToken {}),
        Due::At(until) => Verdict::wait(Wait::until(until, "the model's token is renewed")),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        town container.llm_token_expires_at=+7d container.last_llm_check_at=-2d
    ";

    #[test]
    fn container_renew_llm_token_around_each_time() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.000Z
        at: container/renew-llm-token
        just over: container/renew-llm-token
        ");
        let checked = TOWN.replace("+7d", "+1d").replace("-2d", "-24h");
        insta::assert_snapshot!(around(&checked, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.000Z
        at: container/renew-llm-token
        just over: container/renew-llm-token
        ");
    }

    #[test]
    fn container_renew_llm_token_just_before_the_time_waits() {
        assert_eq!(acts(TOWN, "-1ms"), "nothing");
        insta::assert_snapshot!(wakeup(TOWN, "-1ms"), @"2026-04-04T12:00:00.000Z");
    }

    #[test]
    fn container_renew_llm_token_at_the_time_looks_once_a_day() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        container/renew-llm-token: renew_llm_token
        at rest after 2 passes
        ");
        let checked = TOWN.replace("-2d", "0s");
        insta::assert_snapshot!(wakeup(&checked, "0s"), @"2026-04-05T12:00:00.000Z");
    }

    #[test]
    fn container_renew_llm_token_never_looked_at_or_of_unknown_expiry() {
        let never = TOWN.replace("container.last_llm_check_at=-2d", "");
        assert!(acts(&never, "0s").contains("renew_llm_token"));
        let unknown = TOWN.replace("container.llm_token_expires_at=+7d", "");
        assert_eq!(acts(&unknown, "0s"), "nothing");
    }

    /// What failed is due again after forge_backoff, which doubles (spec 2.2).
    #[test]
    fn container_renew_llm_token_again_after_a_failure() {
        let failed = crate::testing::observed(
            TOWN,
            "0s",
            r#"{"type":"token_refreshed","token":"llm","outcome":"failed"}"#,
        );
        assert!(
            failed.contains("town.container.llm_failures: - → 1"),
            "{failed}"
        );
        let once = "town container.llm_token_expires_at=+7d container.last_llm_check_at=-1m container.llm_failures=1";
        insta::assert_snapshot!(around(once, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: container/renew-llm-token
        ");
        let thrice = once
            .replace("-1m", "-4m")
            .replace("failures=1", "failures=3");
        insta::assert_snapshot!(around(&thrice, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: container/renew-llm-token
        ");
        let done = crate::testing::observed(
            &thrice,
            "0s",
            r#"{"type":"token_refreshed","token":"llm","outcome":"done"}"#,
        );
        assert!(
            done.contains("town.container.llm_failures: 3 → -"),
            "{done}"
        );
    }
}
