//! Three runs from what users of such systems suffered. Each comes to rest after a bounded number
//! of actions (looks at a pull request aside), says why, and says when it tries again or who must
//! act. Run with `--nocapture` to see the numbers.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::collections::BTreeMap;
use std::time::Duration;

use gastown_core::{
    BeadId, Effect, EffectKind, Explanation, Timestamp, Town, WaitFor, explain, next_wakeup,
    settle, wire,
};
use gastown_testkit::towns::now;
use serde_json::{Value, json};

/// A town that is driven by its own wake-ups; `answer` says what comes of an effect, and when.
struct Run {
    town: Town,
    now: Timestamp,
    actions: BTreeMap<String, u32>,
    coming: Vec<(Timestamp, Value)>,
    events: u32,
}

impl Run {
    fn new(config: Value, beads: Value, edges: Value) -> Self {
        let town = wire::snapshot_from_value(json!({
            "format": wire::SNAPSHOT_FORMAT, "town": {"id": "town", "config": config},
            "rigs": [{"id": "r1", "name": "api", "git_url": "https://github.com/acme/api.git",
                      "default_branch": "main", "created_at": now().to_string()}],
            "beads": beads, "dependencies": edges,
        }));
        Self {
            town: town.unwrap(),
            now: now(),
            actions: BTreeMap::new(),
            coming: Vec::new(),
            events: 0,
        }
    }

    /// Runs for that long, jumping from wake-up to wake-up.
    fn run(
        &mut self,
        hours: u64,
        answer: impl Fn(&Effect, Timestamp) -> Option<(Duration, Value)>,
    ) {
        let end = self.now.plus(Duration::from_secs(hours * 3_600));
        loop {
            self.deliver_what_is_due();
            let settled = settle(&mut self.town, self.now);
            assert_eq!(settled.fault, None);
            for action in &settled.actions {
                *self.actions.entry(action.rule.to_string()).or_default() += 1;
            }
            for effect in &settled.effects {
                if let Some((after, event)) = answer(effect, self.now) {
                    self.coming.push((self.now.plus(after), event));
                }
            }
            let arrival = self.coming.iter().map(|(at, _)| *at).min();
            let wakeup = next_wakeup(&self.town, self.now);
            match wakeup.into_iter().chain(arrival).min() {
                Some(next) if next <= end => self.now = next.max(self.now),
                _ => break,
            }
        }
        self.now = end;
    }

    fn deliver_what_is_due(&mut self) {
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.coming)
            .into_iter()
            .partition(|(at, _)| *at <= self.now);
        self.coming = later;
        for (at, mut event) in due {
            self.events += 1;
            event["id"] = format!("ev{}", self.events).into();
            event["at"] = at.to_string().into();
            self.town
                .observe(&wire::event_from_value(event).unwrap(), self.now);
        }
    }

    /// Actions so far, looks at pull requests aside.
    fn count(&self) -> u32 {
        self.actions
            .iter()
            .filter(|(rule, _)| *rule != "review/poll")
            .map(|(_, n)| n)
            .sum()
    }

    fn explain(&self, bead: &str) -> Explanation {
        let id: BeadId = bead.parse().unwrap();
        explain(&self.town, self.now, &id).unwrap()
    }

    fn report(&self, name: &str, bead: &str) {
        let explanation = self.explain(bead);
        println!(
            "{name}: {} actions until rest: {:?}",
            self.count(),
            self.actions
        );
        for wait in &explanation.waits_for {
            println!(
                "  {bead} waits for {:?}: {} (until {:?})",
                wait.kind, wait.text, wait.until
            );
        }
        println!("  next: {:?}", explanation.next_rule);
    }
}

fn issue(id: &str, status: &str) -> Value {
    json!({"id": id, "type": "issue", "status": status, "title": "work", "rig_id": "r1",
           "created_at": now().to_string()})
}

#[test]
fn a_a_provider_that_fails_every_start_for_70_hours() {
    let mut run = Run::new(
        json!({}),
        json!([issue("b1", "open"), issue("b2", "open")]),
        json!([]),
    );
    run.run(70, |effect, _| match &effect.kind {
        EffectKind::StartAgent(start) => Some((
            Duration::from_secs(1),
            json!({"type": "dispatch_failed", "agent_id": start.agent_id, "session": start.session,
                   "bead_id": start.bead_id, "reason": "the provider is down", "outcome": "rejected"}),
        )),
        _ => None,
    });
    run.report("a provider that fails every start for 70 hours", "b1");
    assert!(run.count() < 120, "{:?}", run.actions);
    // The breaker opened, and only its probes went out, at growing distances, until a person must act.
    let probes = run.town.state().breaker.probes;
    assert_eq!(probes, run.town.policy().probe_limit, "{:?}", run.actions);
    let before = run.count();
    run.run(70, |_, _| None);
    assert!(run.count() - before < 20, "it rests: {:?}", run.actions);
    // Who must act: a person, who was told, by `probe`.
    for bead in ["b1", "b2"] {
        let explanation = run.explain(bead);
        let waits = &explanation.waits_for;
        assert!(
            waits
                .iter()
                .any(|wait| wait.kind == WaitFor::Person && wait.text.contains("`probe`")),
            "{explanation:?}"
        );
    }
    assert!(
        run.town.state().breaker.told_at.is_some(),
        "a person was told"
    );
    // Nothing was spent on it: once starts work, a person's probe is all it takes.
    assert!(run.town.bead(&"b1".parse().unwrap()).unwrap().is_live());
}

#[test]
fn b_a_bead_whose_agent_always_dies_after_100_seconds() {
    let mut run = Run::new(json!({}), json!([issue("b1", "open")]), json!([]));
    run.run(70, |effect, _| match &effect.kind {
        EffectKind::StartAgent(start) => Some((
            Duration::from_secs(100),
            json!({"type": "agent_exited", "agent_id": start.agent_id, "session": start.session,
                   "status": "failed", "reason": "out of memory"}),
        )),
        _ => None,
    });
    run.report("a bead whose agent always dies after 100 s", "b1");
    let bead = run.town.bead(&"b1".parse().unwrap()).unwrap();
    assert!(run.count() < 60, "{:?}", run.actions);
    assert!(!bead.is_live(), "it failed: {bead:?}");
    assert!(
        bead.failure
            .as_ref()
            .is_some_and(|failure| failure.message.contains("every attempt"))
    );
    assert!(!bead.told.is_empty(), "a person was told");
    // Every attempt was made, and not one more; a batch for the triage agent judged why.
    assert_eq!(bead.dispatch_attempts, 5, "{:?}", run.actions);
    let spent = run.town.lineage(bead.lineage()).used;
    assert_eq!(spent, 6, "{:?}", run.actions);
    // Who must act: a person, for whom an escalation waits.
    let escalation = run
        .town
        .live_beads()
        .find(|other| {
            other
                .escalation()
                .is_some_and(|e| e.bead_id.as_ref() == Some(&bead.id))
        })
        .map(|escalation| escalation.id.to_string());
    let explanation = run.explain(&escalation.expect("an escalation about it"));
    assert!(
        explanation
            .waits_for
            .iter()
            .any(|wait| wait.kind == WaitFor::Person),
        "{explanation:?}"
    );
    let before = run.count();
    run.run(70, |_, _| None);
    assert!(run.count() - before < 20, "it rests: {:?}", run.actions);
}

#[test]
fn c_a_pull_request_whose_checks_never_report() {
    let mr = json!({"id": "m1", "type": "merge_request", "status": "in_progress", "title": "review",
        "rig_id": "r1", "created_at": now().to_string(),
        "review": {"branch": "work/1", "target_branch": "main", "source": "b1",
                   "pr_url": "https://github.com/acme/api/pull/1",
                   "reviewed": {"head_sha": "abc", "at": now().to_string()}}});
    let mut run = Run::new(
        json!({"merge_strategy": "pr", "refinery": {"auto_merge_delay_minutes": 5}}),
        json!([issue("b1", "in_review"), mr]),
        json!([{"bead_id": "m1", "depends_on": "b1", "type": "tracks"}]),
    );
    let look = |effect: &Effect, _| match &effect.kind {
        EffectKind::PollPr(poll) => Some((
            Duration::from_secs(1),
            json!({"type": "pr_observed", "bead_id": poll.bead_id, "pr_url": poll.pr_url,
                "key": effect.key, "observation": {
                "state": "open", "head_sha": "abc", "head_branch": "work/1",
                "head_repository": "acme/api", "base_branch": "main", "mergeable": "blocked",
                "feedback": {"unresolved_threads": 0, "threads_complete": true, "checks_complete": true,
                    "checks": {"state": "pending", "required_missing": ["build"]}}}}),
        )),
        _ => None,
    };
    run.run(70, look);
    run.report("a pull request whose checks never report", "m1");
    assert!(run.count() < 5, "{:?}", run.actions);
    assert!(!run.actions.contains_key("review/merge"), "it never merged");
    let told = run.explain("m1");
    assert!(
        told.waits_for
            .iter()
            .any(|wait| wait.text.contains("build")),
        "{told:?}"
    );
    // When it tries again: it goes on looking, though less and less often.
    let next = told.next_rule.expect("it looks again");
    assert_eq!(next.rule, "review/poll");
    assert!(next.at > run.now && next.at <= run.now.plus(run.town.policy().poll_quiet_interval));
    // Who must act: the people of the pull request, of whom the mayor was told.
    assert!(
        run.actions.contains_key("review/waiting"),
        "{:?}",
        run.actions
    );
}
