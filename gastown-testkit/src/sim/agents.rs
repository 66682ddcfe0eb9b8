//! Agents: sessions that work, dawdle, crash, vanish and lie.

use gastown_core::commands::{Escalate, RequestChanges, ResolveTriage};
use gastown_core::effects::StartAgent;
use gastown_core::events::{
    AgentDone, AgentExited, AgentStarted, DispatchFailed, DispatchOutcome, ExitStatus, Heartbeat,
};
use gastown_core::{
    AgentId, Bead, BeadId, Caller, Command, EventKind, MergeStrategy, Role, Severity, Timestamp,
    Work,
};

use super::{Next, Simulation};

const MINUTE: u64 = 60_000;

/// One session that runs.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) number: u64,
    bead: BeadId,
    plan: Plan,
    /// When its model last did something.
    active_at: Timestamp,
    /// Which container it runs in.
    instance: u64,
}

/// A commit that nobody made.
const NO_COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What a session is going to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Plan {
    Works,
    Lies,
    Dawdles,
    Crashes,
    Vanishes,
    Quits,
}

impl Simulation {
    /// A start: what comes of it, and what its adapter reports.
    pub(super) fn starts(&mut self, start: &StartAgent, name: &str) -> Option<EventKind> {
        let failed = |outcome| {
            EventKind::from(DispatchFailed {
                agent_id: start.agent_id.clone(),
                outcome,
                session: Some(start.session),
                bead_id: Some(start.bead_id.clone()),
                reason: "the container has no room".into(),
            })
        };
        match self.starts_are_out() {
            Some(true) => return Some(failed(DispatchOutcome::Rejected)),
            Some(false) => return None,
            None => {}
        }
        if self
            .dice
            .happens(self.rates.start_rejected, "a start is rejected", name, 0)
        {
            return Some(failed(DispatchOutcome::Rejected));
        }
        if self
            .dice
            .happens(self.rates.start_silent, "a start leads to nothing", name, 0)
        {
            return None;
        }
        let unknown = self
            .dice
            .happens(self.rates.start_unknown, "a start is unknown", name, 0);
        let runs = !unknown || self.dice.below(2, "it runs", name, 0) == 0;
        if runs {
            self.session_begins(start, name);
        }
        if unknown {
            return Some(failed(DispatchOutcome::Unknown));
        }
        let instance = self
            .sessions
            .get(&start.agent_id)
            .map(|session| session.instance);
        Some(EventKind::from(AgentStarted {
            agent_id: start.agent_id.clone(),
            session: Some(start.session),
            container_instance: instance.map(|n| format!("c{n}")),
        }))
    }

    /// At no moment do two sessions of one agent exist: starting one that runs changes nothing, and
    /// an older one is ended.
    fn session_begins(&mut self, start: &StartAgent, name: &str) {
        if let Some(session) = self.sessions.get(&start.agent_id)
            && session.number >= start.session
        {
            return;
        }
        let plan = self.choose_plan(name);
        let usual = match plan {
            Plan::Works | Plan::Lies => 15 * MINUTE,
            Plan::Dawdles => 300 * MINUTE,
            Plan::Crashes | Plan::Vanishes | Plan::Quits => 10 * MINUTE,
        };
        let mut takes = self.dice.span(usual, "a session takes", name, 0).max(5_000);
        if self
            .dice
            .happens(self.rates.session_slow, "a session is slow", name, 0)
        {
            takes *= 2 + self.dice.below(9, "how slow", name, 0);
        }
        let session = Session {
            number: start.session,
            bead: start.bead_id.clone(),
            plan,
            active_at: self.wall(),
            instance: self.container,
        };
        self.sessions.insert(start.agent_id.clone(), session);
        self.plan(takes, Next::Ends(start.agent_id.clone(), start.session));
        if !self.beating {
            self.beating = true;
            self.plan(self.pace.beat * 2 / 3, Next::Beats);
        }
    }

    fn choose_plan(&mut self, name: &str) -> Plan {
        let rates = self.rates;
        let plans = [
            (rates.session_crashes, "a session crashes", Plan::Crashes),
            (rates.session_vanishes, "a session vanishes", Plan::Vanishes),
            (rates.session_quits, "a session quits", Plan::Quits),
            (rates.session_dawdles, "a session dawdles", Plan::Dawdles),
            (rates.session_lies, "a session lies", Plan::Lies),
        ];
        for (rate, what, plan) in plans {
            if self.dice.happens(rate, what, name, 0) {
                return plan;
            }
        }
        Plan::Works
    }

    /// Every running session is heard of, in one event each.
    pub(super) fn beats(&mut self) {
        self.beating = !self.sessions.is_empty();
        if !self.beating {
            return;
        }
        self.plan(self.pace.beat, Next::Beats);
        if !self.host.is_up() {
            return;
        }
        let now = self.wall();
        let mut beats = Vec::new();
        let n = self.next_of("beats");
        for (agent, session) in &mut self.sessions {
            if session.plan != Plan::Dawdles {
                session.active_at = now;
            }
            let lost = self.dice.happens(
                self.rates.beat_lost,
                "a heartbeat is lost",
                agent.as_str(),
                n,
            );
            if !lost {
                beats.push(Heartbeat {
                    agent_id: agent.clone(),
                    session: Some(session.number),
                    container_instance: Some(format!("c{}", session.instance)),
                    last_event_type: None,
                    last_event_at: Some(session.active_at),
                    active_tools: Vec::new(),
                });
            }
        }
        for beat in beats {
            self.oracle
                .beat(&beat.agent_id, beat.session.unwrap_or(0), self.now);
            let event = self.event(beat, None);
            self.host.local.extend(event);
        }
    }

    /// A session comes to the end of its plan, if it still runs.
    pub(super) fn session_ends(&mut self, agent: &AgentId, number: u64) {
        let Some(session) = self
            .sessions
            .get(agent)
            .filter(|s| s.number == number)
            .cloned()
        else {
            return;
        };
        let name = format!("{agent} {number}");
        let exits = |status, reason: &str| AgentExited {
            agent_id: agent.clone(),
            status,
            session: Some(number),
            bead_id: Some(session.bead.clone()),
            reason: Some(reason.into()),
            note: None,
        };
        self.tell(|| format!("session {name} ends: {:?}", session.plan));
        match session.plan {
            Plan::Vanishes => {}
            Plan::Crashes => self.send(&name, exits(ExitStatus::Failed, "exit code 1"), 500),
            Plan::Quits => self.send(&name, exits(ExitStatus::Completed, "nothing to do"), 500),
            Plan::Works | Plan::Lies | Plan::Dawdles => {
                if !self.host.is_up() {
                    // Its call finds nobody, and it calls again.
                    self.plan(30_000, Next::Ends(agent.clone(), number));
                    return;
                }
                self.is_done(agent, &session, &name);
                self.send(&name, exits(ExitStatus::Completed, "done"), 5_000);
            }
        }
        self.sessions.remove(agent);
    }

    /// An agent has finished what it was started for.
    fn is_done(&mut self, agent: &AgentId, session: &Session, name: &str) {
        let Some(town) = &self.host.town else { return };
        let role = town.agent(agent).map(|agent| agent.role);
        let Some(bead) = town.bead(&session.bead).cloned() else {
            return;
        };
        if self
            .dice
            .happens(self.rates.escalations, "an agent escalates", name, 0)
        {
            let severities = [Severity::Low, Severity::Medium, Severity::High];
            let which = self.dice.below(3, "how severe", name, 0);
            self.say(
                agent,
                Escalate {
                    severity: severities
                        .get(which as usize)
                        .copied()
                        .unwrap_or(Severity::Low),
                    message: "it does not build".into(),
                    category: None,
                    metadata: Default::default(),
                },
            );
        }
        let lies = session.plan == Plan::Lies;
        let mut done = AgentDone {
            agent_id: agent.clone(),
            branch: format!("gt/{agent}/{}", bead.id),
            session: Some(session.number),
            bead_id: None,
            pr_url: None,
            head_sha: None,
            merge_commit: None,
            summary: None,
        };
        match (role, bead.work()) {
            (Some(Role::Refinery), None) => self.reviews(&bead, &mut done, lies, name),
            (_, Some(Work::TriageBatch)) => self.triages(agent, name),
            (_, Some(work)) if work.is_repair() => self.repairs(&bead, lies),
            (_, Some(_)) => self.writes(&bead, &mut done, lies, name),
            (_, None) => {}
        }
        self.send(name, done, 1_000);
    }

    fn say(&mut self, agent: &AgentId, kind: impl Into<gastown_core::CommandKind>) {
        self.host
            .commands
            .push(Command::new(Caller::agent(agent.clone()), kind));
    }

    /// A polecat wrote code and, where that is the way, opened a pull request.
    fn writes(&mut self, bead: &Bead, done: &mut AgentDone, lies: bool, name: &str) {
        let Some(town) = &self.host.town else { return };
        let Some(rig) = town.rig_of(bead).cloned() else {
            return;
        };
        let pr = town.settings(Some(&rig.id)).merge_strategy == MergeStrategy::Pr;
        let feature = town
            .convoy_of(&bead.id)
            .and_then(Bead::convoy)
            .and_then(|convoy| convoy.feature_branch.clone());
        let repository = format!("acme/{}", rig.id);
        if !lies {
            self.forge.works(&repository, &done.branch);
        }
        let lie = self.dice.below(4, "what it says", name, 0);
        if lies && lie == 0 {
            done.pr_url = Some("https://github.com/elsewhere/thing/pull/1".into());
            return;
        }
        if lies && lie == 3 {
            done.pr_url = self.some_pull_request(name);
            return;
        }
        if (lies && lie == 1) || !pr || feature.is_some() {
            return;
        }
        let url = self.forge.open(
            &repository,
            &done.branch,
            &rig.default_branch,
            self.now,
            &mut self.dice,
            &self.rates,
        );
        done.head_sha = match lies && lie == 2 {
            true => Some(NO_COMMIT.into()),
            false => self.forge.prs.get(&url).map(|pr| pr.head.clone()),
        };
        self.expect_reviewers(&url);
        done.pr_url = Some(url);
    }

    /// Any pull request of the town, of whatever work, open or not.
    fn some_pull_request(&self, name: &str) -> Option<String> {
        let count = self.forge.prs.len() as u64;
        let which = self.dice.below(count, "whose pull request", name, 0);
        self.forge.prs.keys().nth(which as usize).cloned()
    }

    /// The branch that a repair names gets a new head.
    fn repairs(&mut self, bead: &Bead, lies: bool) {
        let Some(town) = &self.host.town else { return };
        let mr = town.repaired_mr(bead).and_then(|mr| town.bead(mr));
        let Some((mr, review)) = mr.and_then(|mr| Some((mr, mr.review()?))) else {
            return;
        };
        let Some(rig) = town.rig_of_review(mr) else {
            return;
        };
        let repository = format!("acme/{}", rig.id);
        if lies {
            return;
        }
        self.forge.works(&repository, &review.branch);
        if let Some(pr) = self.forge.open_of(&repository, &review.branch) {
            pr.push(self.now, &mut self.dice, &self.rates);
        }
    }

    fn triages(&mut self, agent: &AgentId, name: &str) {
        let Some(town) = &self.host.town else { return };
        let requests: Vec<BeadId> = town
            .live_beads()
            .filter(|bead| matches!(bead.work(), Some(Work::TriageRequest(_))))
            .map(|bead| bead.id.clone())
            .collect();
        const ACTIONS: [&str; 8] = [
            "RESTART",
            "RESTART_WITH_BACKOFF",
            "CLOSE_BEAD",
            "REASSIGN_BEAD",
            "NUDGE",
            "ESCALATE_TO_MAYOR",
            "PROVIDE_GUIDANCE",
            "DISCARD",
        ];
        for request_id in requests {
            let which = self.dice.below(10, "a judgement", request_id.as_str(), 0);
            let Some(action) = ACTIONS.get(which as usize) else {
                continue;
            };
            self.tell(|| format!("{name} judges {request_id}: {action}"));
            self.say(
                agent,
                ResolveTriage {
                    request_id,
                    action: (*action).into(),
                    notes: "looked at it".into(),
                },
            );
        }
    }

    /// A refinery passed a pull request, asked for changes, or merged by hand.
    fn reviews(&mut self, bead: &Bead, done: &mut AgentDone, lies: bool, name: &str) {
        let Some(review) = bead.review() else { return };
        let town = self.host.town.as_ref();
        let rig = town.and_then(|town| town.rig_of_review(bead)).cloned();
        let direct = town.is_some_and(|town| {
            town.is_direct(bead, &town.settings_of_review(bead)) || review.is_landing()
        });
        done.branch.clone_from(&review.branch);
        if self.dice.happens(
            self.rates.changes_requested,
            "a refinery asks for changes",
            name,
            0,
        ) {
            self.say(
                &done.agent_id.clone(),
                RequestChanges {
                    feedback: "more tests".into(),
                    files: Vec::new(),
                },
            );
            return;
        }
        // A review of no known rig is of whatever repository the refinery finds it in.
        let rig_id = rig
            .map(|rig| rig.id.to_string())
            .unwrap_or_else(|| "r1".into());
        let repository = format!("acme/{rig_id}");
        match &review.pr_url {
            Some(url) if lies => match self.dice.below(4, "how it lies", &review.branch, 0) {
                0 => done.pr_url = Some(url.replace("/pull/", "/pulls/")),
                // It passes a head that nobody pushed, or whatever head there is.
                1 => done.head_sha = Some(NO_COMMIT.into()),
                2 => done.pr_url = self.some_pull_request(name),
                _ => {}
            },
            Some(url) => {
                done.pr_url = Some(url.clone());
                done.head_sha = self.forge.prs.get(url).map(|pr| pr.head.clone());
            }
            None if direct && lies => {
                // It says nothing of its merge, or names a commit that nobody made.
                let says = self.dice.below(2, "what it claims", &review.branch, 0) == 0;
                done.merge_commit = says.then(|| NO_COMMIT.into());
            }
            None if direct => {
                let commit = self
                    .forge
                    .land(&repository, &review.branch, &review.target_branch);
                done.merge_commit = Some(commit);
            }
            None if lies => {
                let says = self.dice.below(2, "what it claims", &review.branch, 0) == 0;
                done.pr_url = self.some_pull_request(name).filter(|_| says);
            }
            None => {
                let url = self.forge.open(
                    &repository,
                    &review.branch,
                    &review.target_branch,
                    self.now,
                    &mut self.dice,
                    &self.rates,
                );
                done.head_sha = self.forge.prs.get(&url).map(|pr| pr.head.clone());
                self.expect_reviewers(&url);
                done.pr_url = Some(url);
            }
        }
    }

    /// The container goes: each session saves its work, or does not.
    pub(super) fn sessions_are_evicted(&mut self, n: u64) {
        for (agent, session) in std::mem::take(&mut self.sessions) {
            let name = format!("{agent} {}", session.number);
            if self.dice.below(4, "is not saved", &name, n) == 0 {
                continue;
            }
            let exit = AgentExited {
                agent_id: agent,
                status: ExitStatus::Completed,
                session: Some(session.number),
                bead_id: Some(session.bead),
                reason: Some("container eviction".into()),
                note: Some("resume from the saved branch".into()),
            };
            let after = self.dice.span(90_000, "saving takes", &name, n);
            self.send(&name, exit, after);
        }
    }

    /// From here on agents answer: whoever lies, crashes or dawdles begins to work.
    pub(super) fn agents_come_to_reason(&mut self) {
        let mut ends = Vec::new();
        for (agent, session) in &mut self.sessions {
            session.plan = Plan::Works;
            ends.push((agent.clone(), session.number));
        }
        for (agent, number) in ends {
            self.plan(10 * MINUTE, Next::Ends(agent, number));
        }
        if !self.sessions.is_empty() && !self.beating {
            self.beating = true;
            self.plan(1_000, Next::Beats);
        }
    }
}
