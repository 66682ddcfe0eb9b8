//! `agents/crash-loop`: an agent keeps dying.

use alloc::format;

use super::is_worker;
use crate::agent::Agent;
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;
use crate::work::TriageType;

pub(super) const RULE: Rule = Rule {
    id: "agents/crash-loop",
    text: "The agent's own attempts reached the cap: a triage request `crash_loop`, once until \
           the reset.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    if !is_at_cap(pass, agent) || agent.told.contains_key(&ReasonCode::CrashLoop) {
        return Verdict::NotMine;
    }
    let message = format!(
        "agent {} was dispatched {} times without lasting success",
        agent.id, agent.dispatch_attempts
    );
    match pass.triage_request(TriageType::CrashLoop, agent, message) {
        Some(request) => Verdict::act(request),
        None => Verdict::NotMine,
    }
}

/// Whether an agent's own attempts are at the cap of its rig.
pub(super) fn is_at_cap(pass: &Pass<'_>, agent: &Agent) -> bool {
    // A cap of none is no crash: it needs one dispatch at least.
    let attempts = agent.dispatch_attempts;
    let settings = pass.settings(agent.rig_id.as_ref());
    is_worker(agent) && attempts > 0 && settings.attempts_spent(attempts)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around_count, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 dispatch_attempts=5 last_activity_at=-1s
    ";

    #[test]
    fn agents_crash_loop_at_the_cap_asks_once() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @r#"agents/crash-loop: create_bead bead={"labels":["gt:triage-request"],"metadata":{"agent_id":"a1","options":["RESTART","RESTART_WITH_BACKOFF","CLOSE_BEAD","REASSIGN_BEAD","NUDGE","ESCALATE_TO_MAYOR","PROVIDE_GUIDANCE","DISCARD"],"triage_type":"crash_loop"},"priority":"medium","rig_id":"r1","status":"open","title":"crash loop: a1","type":"issue"} bead_id=t1-b1"#);
        let settled = settled(TOWN, "0s");
        assert_eq!(settled.matches("agents/crash-loop").count(), 1, "{settled}");
    }

    #[test]
    fn agents_crash_loop_under_the_cap_or_told_or_of_a_mayor_does_nothing() {
        for (from, to) in [
            ("dispatch_attempts=5", "dispatch_attempts=4"),
            (
                "dispatch_attempts=5",
                "dispatch_attempts=9 told.crash_loop=-1h",
            ),
            ("polecat", "mayor"),
        ] {
            assert_eq!(acts(&TOWN.replace(from, to), "0s"), "nothing", "{to}");
        }
    }

    /// No command sets such a cap, but a town from elsewhere may have it.
    #[test]
    fn agents_crash_loop_needs_one_dispatch_at_least() {
        let with = |attempts: &str| {
            let town = TOWN.replace("dispatch_attempts=5", attempts);
            acts(
                &town.replace("rig r1", "rig r1 config.max_dispatch_attempts=0"),
                "0s",
            )
        };
        assert_eq!(with("dispatch_attempts=0"), "nothing");
        assert!(with("dispatch_attempts=1").contains("agents/crash-loop"));
    }

    #[test]
    fn agents_crash_loop_with_too_many_requests_waits() {
        let town = std::format!("town policy.max_open_triage_requests=0\n{TOWN}");
        assert_eq!(acts(&town, "0s"), "nothing");
    }

    /// The earlier row goes first (spec 3); the count is reset in the next pass.
    #[test]
    fn agents_crash_loop_comes_before_the_reset() {
        let quiet = TOWN.replace("last_activity_at=-1s", "last_activity_at=-31m");
        assert!(!acts(&quiet, "0s").contains("agents/attempts-reset"));
        let settled = settled(&quiet, "0s");
        let request = settled.find("agents/crash-loop");
        let reset = settled.find("agents/attempts-reset");
        assert!(request.is_some() && request < reset, "{settled}");
    }

    #[test]
    fn agents_crash_loop_around_the_cap() {
        insta::assert_snapshot!(around_count(TOWN, "dispatch_attempts=5", "0s"), @"
        4: nothing, again at 2026-04-05T11:59:59.001Z
        5: agents/crash-loop
        6: agents/crash-loop
        ");
    }

    /// By default five requests may be open; the sixth is not made.
    #[test]
    fn agents_crash_loop_around_the_limit_of_open_requests() {
        let with = |requests: usize| {
            let open: std::string::String = (0..requests)
                .map(|n| {
                    std::format!(
                        "\nbead q{n} issue open rig_id=r1 labels=[\"gt:triage-request\"] metadata.triage_type=help_request"
                    )
                })
                .collect();
            let batch =
                "bead t1 issue open rig_id=r1 created_by=patrol labels=[\"gt:held\",\"gt:triage\"]";
            acts(&std::format!("{TOWN}\n{batch}{open}"), "0s").contains("agents/crash-loop")
        };
        assert_eq!([3, 4, 5, 6].map(with), [true, true, false, false]);
    }
}
