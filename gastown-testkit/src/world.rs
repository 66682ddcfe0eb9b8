//! A small world around one town, driven by a sequence of steps: agents that work, dawdle, crash and
//! lie, a forge that answers anything, people who sling, hold and close, results that are lost, late
//! or double.
//!
//! Every step ends with a tick, and every tick checks what must always hold.

use std::time::Duration;

use gastown_core::{
    Action, Effect, EffectKind, Event, Timestamp, Town, Violation, check, check_step, reconcile,
    wire,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::towns::now;

/// One thing that happens. The numbers choose among what there is at that moment; a field says what
/// it chooses by its name.
#[allow(missing_docs)]
#[derive(Debug, Clone)]
pub enum Step {
    /// Time passes, in seconds; negative: the clock jumps back.
    Pass(i32),
    /// A person slings an issue; it may depend on an earlier one.
    Sling { rig: u8, depends_on: u8 },
    /// A person slings a convoy.
    SlingConvoy { rig: u8, tasks: u8 },
    /// An effect is answered.
    Answer { which: u8, how: u8 },
    /// An event that was delivered before comes again, under its own id or a new one.
    Again { which: u8, new_id: bool },
    /// An agent speaks.
    Agent {
        which: u8,
        what: u8,
        old_session: bool,
    },
    /// A person commands something about a bead.
    Person { which: u8, what: u8 },
    /// Something happens to the container or the host.
    Host { what: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop_oneof![0i32..120, 0i32..4_000, Just(100_000), -600i32..0].prop_map(Step::Pass),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(rig, depends_on)| Step::Sling { rig, depends_on }),
        1 => (any::<u8>(), 1u8..4).prop_map(|(rig, tasks)| Step::SlingConvoy { rig, tasks }),
        10 => (any::<u8>(), any::<u8>()).prop_map(|(which, how)| Step::Answer { which, how }),
        2 => (any::<u8>(), any::<bool>()).prop_map(|(which, new_id)| Step::Again { which, new_id }),
        8 => (any::<u8>(), any::<u8>(), prop::bool::weighted(0.1))
            .prop_map(|(which, what, old_session)| Step::Agent { which, what, old_session }),
        2 => (any::<u8>(), any::<u8>()).prop_map(|(which, what)| Step::Person { which, what }),
        1 => any::<u8>().prop_map(|what| Step::Host { what }),
    ]
}

/// Sequences of that many steps.
pub fn steps(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Step>> {
    vec(step(), count)
}

/// A town and what is under way around it.
#[derive(Debug, Clone)]
pub struct World {
    /// The town.
    pub town: Town,
    /// The time.
    pub now: Timestamp,
    /// Effects that have no answer yet.
    pub outbox: Vec<Effect>,
    /// Every action so far.
    pub actions: Vec<Action>,
    delivered: Vec<Event>,
    events: u64,
}

/// The entry of `list` that `which` chooses.
fn choose<T>(list: &[T], which: u8) -> Option<&T> {
    list.get(usize::from(which).checked_rem(list.len())?)
}

impl World {
    /// A town of two rigs; `pr` says whether work goes through pull requests.
    ///
    /// # Panics
    /// If the town that it starts from is refused: then the world is wrong.
    #[must_use]
    #[allow(clippy::panic)]
    pub fn new(pr: bool) -> Self {
        let rig = |id: &str| {
            json!({"id": id, "name": id, "default_branch": "main", "created_at": now().to_string(),
                   "git_url": format!("https://github.com/acme/{id}.git")})
        };
        let config = json!({"merge_strategy": if pr { "pr" } else { "direct" }, "refinery": {
            "auto_merge_delay_minutes": 1, "auto_resolve_pr_feedback": true, "review_every_head": false}});
        let town = wire::snapshot_from_value(json!({"format": wire::SNAPSHOT_FORMAT,
            "town": {"id": "world", "config": config}, "rigs": [rig("r1"), rig("r2")]}));
        match town {
            Ok(town) => Self {
                town,
                now: now(),
                outbox: Vec::new(),
                actions: Vec::new(),
                delivered: Vec::new(),
                events: 0,
            },
            Err(error) => panic!("the world's town is refused: {error}"),
        }
    }

    /// One step, then a tick.
    ///
    /// # Errors
    /// What must hold and does not.
    pub fn step(&mut self, step: &Step) -> Result<(), String> {
        let before = self.town.clone();
        match step {
            Step::Pass(seconds) => self.pass(*seconds),
            Step::Sling { rig, depends_on } => self.sling(*rig, *depends_on),
            Step::SlingConvoy { rig, tasks } => self.sling_convoy(*rig, *tasks),
            Step::Answer { which, how } => self.answer(*which, *how),
            Step::Again { which, new_id } => self.again(*which, *new_id),
            Step::Agent {
                which,
                what,
                old_session,
            } => self.agent(*which, *what, *old_session),
            Step::Person { which, what } => self.person(*which, *what),
            Step::Host { what } => self.host(*what),
        }
        none(&check_step(&before, &[], &self.town, self.now), "an input")?;
        self.tick()
    }

    /// Settles pass by pass, checking each.
    ///
    /// # Errors
    /// What must hold and does not.
    pub fn tick(&mut self) -> Result<(), String> {
        let limit = self.town.policy().settle_limit;
        for _ in 0..=limit {
            let before = self.town.clone();
            let actions = reconcile(&self.town, self.now);
            if actions.is_empty() {
                return self.check();
            }
            for action in &actions {
                match self.town.apply(action, self.now) {
                    Ok(effects) => self.outbox.extend(effects),
                    Err(error) => return Err(format!("P2: {}: {error}", action.rule)),
                }
            }
            none(
                &check_step(&before, &actions, &self.town, self.now),
                "a pass",
            )?;
            self.actions.extend(actions);
        }
        let due: Vec<_> = reconcile(&self.town, self.now)
            .into_iter()
            .map(|a| a.rule)
            .collect();
        Err(format!("P3: not at rest after {limit} passes: {due:?}"))
    }

    fn check(&self) -> Result<(), String> {
        none(&check(&self.town, self.now), "a settled town")?;
        for bead in self.town.live_beads().filter(|bead| bead.work().is_some()) {
            let mut branches: Vec<&str> = self
                .town
                .reviews_of(&bead.id)
                .into_iter()
                .filter(|mr| mr.is_live())
                .filter_map(|mr| mr.review())
                .map(|review| review.branch.as_str())
                .collect();
            let all = branches.len();
            branches.sort_unstable();
            branches.dedup();
            if branches.len() < all {
                return Err(format!(
                    "P9: {} has two live reviews of one branch",
                    bead.id
                ));
            }
        }
        Ok(())
    }

    fn pass(&mut self, seconds: i32) {
        let span = Duration::from_secs(seconds.unsigned_abs().into());
        self.now = if seconds < 0 {
            self.now.minus(span)
        } else {
            self.now.plus(span)
        };
    }

    /// Delivers an event made of a type and fields.
    fn deliver(&mut self, mut event: Value) {
        self.events = self.events.saturating_add(1);
        if let Some(object) = event.as_object_mut() {
            object.insert("id".into(), format!("ev{}", self.events).into());
            object.insert("at".into(), self.now.to_string().into());
        }
        match wire::event_from_value(event) {
            Ok(event) => {
                self.town.observe(&event, self.now);
                self.delivered.push(event);
            }
            Err(error) => debug_assert!(false, "the world made no event: {error}"),
        }
    }

    fn command(&mut self, command: Value) {
        match wire::command_from_value(command) {
            Ok(command) => drop(self.town.execute(command, self.now)),
            Err(error) => debug_assert!(false, "the world made no command: {error}"),
        }
    }

    fn sling(&mut self, rig: u8, depends_on: u8) {
        let issues: Vec<String> = self
            .town
            .beads()
            .filter(|bead| bead.work().is_some())
            .map(|bead| bead.id.to_string())
            .collect();
        let depends_on: Vec<&String> = if depends_on < 128 {
            Vec::new()
        } else {
            choose(&issues, depends_on).into_iter().collect()
        };
        self.command(
            json!({"type": "sling", "caller": {"kind": "mayor"}, "title": "work",
            "rig_id": if rig < 128 { "r1" } else { "r2" }, "depends_on": depends_on}),
        );
    }

    fn sling_convoy(&mut self, rig: u8, tasks: u8) {
        let tasks: Vec<Value> = (0..tasks)
            .map(|n| json!({"title": format!("task {n}")}))
            .collect();
        self.command(
            json!({"type": "sling_convoy", "caller": {"kind": "mayor"}, "title": "convoy",
            "rig_id": if rig < 128 { "r1" } else { "r2" }, "tasks": tasks, "staged": false}),
        );
    }

    fn answer(&mut self, which: u8, how: u8) {
        let Some(index) = usize::from(which).checked_rem(self.outbox.len()) else {
            return;
        };
        let effect = self.outbox.remove(index);
        if !self.town.wants(&effect) {
            return;
        }
        if let Some(mut event) = answer_to(&effect, how) {
            if let Some(object) = event.as_object_mut() {
                object.insert("key".into(), json!(effect.key));
            }
            self.deliver(event);
        }
    }

    fn again(&mut self, which: u8, new_id: bool) {
        let Some(mut event) = choose(&self.delivered, which).cloned() else {
            return;
        };
        if new_id && let Ok(id) = format!("{}x", event.id).parse() {
            event.id = id;
        }
        self.town.observe(&event, self.now);
    }

    fn agent(&mut self, which: u8, what: u8, old_session: bool) {
        let agents: Vec<_> = self.town.agents().cloned().collect();
        let Some(agent) = choose(&agents, which) else {
            return;
        };
        let session = agent.session.saturating_sub(u64::from(old_session));
        let id = agent.id.as_str();
        let caller = json!({"kind": "agent", "id": id});
        match what % 10 {
            0..=2 => self.deliver(json!({"type": "heartbeat", "agent_id": id, "session": session,
                "container_instance": "c1", "last_event_at": self.now.to_string()})),
            3 | 4 => self.deliver(json!({"type": "agent_done", "agent_id": id, "session": session,
                "branch": format!("work/{}", agent.hook.as_ref().map_or("none", |hook| hook.as_str())),
                "merge_commit": "c0ffee", "pr_url": pr_url(agent, what)})),
            5 => self.deliver(json!({"type": "agent_exited", "agent_id": id, "session": session, "status": "failed"})),
            6 => self.deliver(json!({"type": "agent_exited", "agent_id": id, "session": session, "status": "completed"})),
            7 => self.command(json!({"type": "request_changes", "caller": caller, "feedback": "more tests"})),
            8 => self.command(json!({"type": "escalate", "caller": caller, "severity": "medium", "message": "help"})),
            _ => self.deliver(json!({"type": "container_status", "agent_id": id, "session": session, "status": "exited"})),
        }
    }

    fn person(&mut self, which: u8, what: u8) {
        let beads: Vec<_> = self.town.beads().map(|bead| bead.id.to_string()).collect();
        let Some(bead) = choose(&beads, which) else {
            return;
        };
        let user = json!({"kind": "user", "id": "ann"});
        let mut command = json!({"caller": user, "bead_id": bead});
        let name = match what % 9 {
            0 => "hold",
            1 | 2 => "release",
            3 => "close_bead",
            4 => "fail_bead",
            5 => "reopen_bead",
            6 => "retry",
            7 => "grant",
            _ => "acknowledge",
        };
        if let Some(object) = command.as_object_mut() {
            object.insert("type".into(), name.into());
            if name == "grant" {
                object.insert("dispatches".into(), 3.into());
            }
            if name == "acknowledge" {
                object.remove("bead_id");
                object.insert("escalation_id".into(), bead.clone().into());
            }
        }
        self.command(command);
    }

    fn host(&mut self, what: u8) {
        match what % 5 {
            0 => self.deliver(json!({"type": "container_eviction", "nonce": format!("n{what}")})),
            1 => {
                let nonce = self
                    .town
                    .state()
                    .drain
                    .as_ref()
                    .map(|drain| drain.nonce.clone());
                let nonce = nonce.unwrap_or_else(|| "n".into());
                self.deliver(json!({"type": "container_ready", "nonce": nonce}));
            }
            2 => self.deliver(
                json!({"type": "observation_gap", "to": self.now.to_string(),
                "from": self.now.minus(Duration::from_secs(600)).to_string()}),
            ),
            3 => self.command(json!({"type": "probe", "caller": {"kind": "user", "id": "ann"}})),
            _ => {
                self.deliver(json!({"type": "webhook", "repository": "acme/r1", "pr_number": what}))
            }
        }
    }
}

/// Half of the agents open a pull request of their rig.
fn pr_url(agent: &gastown_core::Agent, what: u8) -> Option<String> {
    let rig = agent.rig_id.as_ref()?;
    let number = agent
        .session
        .saturating_mul(100)
        .saturating_add(what.into());
    (what < 128).then(|| format!("https://github.com/acme/{rig}/pull/{number}"))
}

/// What may come of an effect; none: nothing is ever heard of it.
fn answer_to(effect: &Effect, how: u8) -> Option<Value> {
    let outcome = ["done", "failed", "unknown"].get(usize::from(how % 3))?;
    let event = match &effect.kind {
        EffectKind::StartAgent(start) => match how % 8 {
            0..=4 => {
                json!({"type": "agent_started", "agent_id": start.agent_id, "session": start.session})
            }
            5 => {
                json!({"type": "dispatch_failed", "agent_id": start.agent_id, "session": start.session,
                        "bead_id": start.bead_id, "reason": "no room", "outcome": "rejected"})
            }
            6 => {
                json!({"type": "dispatch_failed", "agent_id": start.agent_id, "session": start.session,
                        "bead_id": start.bead_id, "reason": "timeout", "outcome": "unknown"})
            }
            _ => return None,
        },
        EffectKind::StopAgent(stop) => {
            json!({"type": "agent_stopped", "agent_id": stop.agent_id, "session": stop.session, "outcome": outcome})
        }
        EffectKind::VerifyMerge(verify) => {
            let found = match how % 4 {
                0 | 1 => json!({"kind": "landed", "commit": "c0ffee"}),
                2 => json!({"kind": "absent"}),
                _ => json!({"kind": "unknown"}),
            };
            json!({"type": "merge_verified", "bead_id": verify.bead_id, "outcome": found})
        }
        EffectKind::CreateBranch(create) => {
            json!({"type": "branch_created", "rig_id": create.rig_id,
            "convoy_id": create.convoy_id, "branch": create.branch, "outcome": outcome})
        }
        EffectKind::DeliverNudge(nudge) => {
            json!({"type": "nudge_delivered", "nudge_id": nudge.nudge_id, "outcome": outcome})
        }
        EffectKind::NotifyMayor(notice) => {
            json!({"type": "notified", "topic": notice.topic, "outcome": outcome})
        }
        EffectKind::RefreshContainerToken(_) => {
            json!({"type": "token_refreshed", "token": "container", "outcome": outcome})
        }
        EffectKind::RenewLlmToken(_) => {
            json!({"type": "token_refreshed", "token": "llm", "outcome": outcome})
        }
        EffectKind::StopContainer(_) => return None,
        EffectKind::PollPr(poll) => match look(effect, how) {
            Ok(observation) => json!({"type": "pr_observed", "bead_id": poll.bead_id,
                                      "pr_url": poll.pr_url, "observation": observation}),
            Err(error) => json!({"type": "pr_observed", "bead_id": poll.bead_id,
                                 "pr_url": poll.pr_url, "error": error}),
        },
        EffectKind::MergePr(merge) => {
            let outcome = match how % 6 {
                0 | 1 => json!({"kind": "merged", "commit": "c0ffee"}),
                2 => json!({"kind": "queued"}),
                3 => json!({"kind": "refused", "status": 405, "message": "not now"}),
                4 => json!({"kind": "error", "error": {"kind": "server", "status": 502}}),
                _ => return None,
            };
            json!({"type": "merge_attempted", "bead_id": merge.bead_id, "head_sha": merge.head_sha, "outcome": outcome})
        }
    };
    Some(event)
}

/// What a forge may show of a pull request.
fn look(effect: &Effect, how: u8) -> Result<Value, Value> {
    let EffectKind::PollPr(poll) = &effect.kind else {
        return Err(Value::Null);
    };
    let errors = [
        json!({"kind": "server", "status": 502}),
        json!({"kind": "network"}),
        json!({"kind": "unauthorized"}),
        json!({"kind": "no_token", "tried": ["github_token"]}),
        json!({"kind": "not_found", "repository_readable": true}),
        json!({"kind": "invalid_response", "why": "no head"}),
    ];
    if how >= 224 {
        return Err(choose(&errors, how).cloned().unwrap_or(Value::Null));
    }
    let state = match how % 16 {
        0 => "merged",
        1 => "closed",
        _ => "open",
    };
    let mergeable = match how % 11 {
        0 => "dirty",
        1 => "behind",
        2 => "unknown",
        3 => "blocked",
        _ => "clean",
    };
    let checks = if how.is_multiple_of(7) {
        "failing"
    } else {
        "passing"
    };
    let repository = poll.pr_url.trim_start_matches("https://github.com/");
    let repository = repository.split("/pull/").next().unwrap_or("acme/r1");
    Ok(
        json!({"state": state, "merge_commit": if state == "merged" { json!("c0ffee") } else { Value::Null },
        "head_sha": format!("sha{}", how / 64), "head_branch": "work/1", "head_repository": repository,
        "base_branch": "main", "mergeable": mergeable,
        "feedback": {"unresolved_threads": how % 5 / 4, "threads_complete": !how.is_multiple_of(13),
            "checks": {"state": checks, "failing": if checks == "failing" { json!(["lint"]) } else { json!([]) }},
            "checks_complete": !how.is_multiple_of(17), "decision": Value::Null}}),
    )
}

fn none(violations: &[Violation], of: &str) -> Result<(), String> {
    match violations.first() {
        None => Ok(()),
        Some(first) => Err(format!(
            "{} by {of}: {} ({})",
            first.invariant,
            first.message,
            first.subjects.join(", ")
        )),
    }
}
