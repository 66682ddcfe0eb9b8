//! The eviction scenario (`--evict`): the place where agents run goes away in the middle of their
//! work, and comes back.

use std::time::Duration;

use gastown_core::events::{ContainerEviction, ContainerReady};
use gastown_core::{ActionKind, AgentId, BeadId, BeadStatus, EventKind, Role, Town};
use gastown_runtime::{TickReport, TownHandle};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

use crate::directory::Directory;
use crate::failure::Failure;
use crate::git::Repository;
use crate::journal::Journal;

/// How often it is looked whether something has come true.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);
/// How long agents work before they are evicted: long enough to have written a file.
const WORK: Duration = Duration::from_millis(900);
/// How long anything may take before the scenario has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// The eviction is repeated with a second nonce, which then is the one that counts.
const NONCES: [&str; 2] = ["eviction-1", "eviction-2"];

/// What was seen, and what was not as it should be.
#[derive(Default)]
pub(crate) struct Report {
    seen: Vec<String>,
    problems: Vec<String>,
    evicted: Vec<Evicted>,
}

/// A bead whose agent was evicted.
struct Evicted {
    bead_id: BeadId,
    agent_id: AgentId,
    role: Role,
    rig: Option<String>,
    attempts: u32,
}

/// Waits for agents at work, evicts them, checks what is left, and lets the town go on.
pub(crate) async fn run(town: &TownHandle, directory: &Directory) -> Result<Report, Failure> {
    let mut report = Report::default();
    let is_at_work = |town: &Town| !evictable(town).is_empty();
    if !comes_true(town, is_at_work).await? {
        report.problem("no agent came to work".into());
        return Ok(report);
    }
    tokio::time::sleep(WORK).await;
    let mut ticks = town.watch_ticks();
    report.evicted = town.inspect(evictable).await?;
    for nonce in NONCES {
        let nonce = nonce.into();
        town.report(ContainerEviction { nonce }.into()).await?;
    }
    let is_empty = |town: &Town| !town.agents().any(|agent| agent.status.is_running());
    if !comes_true(town, is_empty).await? {
        report.problem("agents still run".into());
    }
    report.check_beads(town, directory).await?;
    end_drain(town, &mut report, &mut ticks).await?;
    Ok(report)
}

/// The polecats that work, each with its bead.
fn evictable(town: &Town) -> Vec<Evicted> {
    let agents = town
        .agents()
        .filter(|agent| agent.status.is_running() && agent.reported && agent.role == Role::Polecat);
    let evicted = agents.filter_map(|agent| {
        let bead = town.bead(agent.hook.as_ref()?)?;
        Some(Evicted {
            bead_id: bead.id.clone(),
            agent_id: agent.id.clone(),
            role: agent.role,
            rig: bead.rig_id.as_ref().map(ToString::to_string),
            attempts: bead.dispatch_attempts,
        })
    });
    evicted.collect()
}

/// The replacement comes up: only the latest eviction's nonce ends the drain.
async fn end_drain(
    town: &TownHandle,
    report: &mut Report,
    ticks: &mut Receiver<TickReport>,
) -> Result<(), Failure> {
    let [older, latest] = NONCES;
    let ready = |nonce: &str| {
        EventKind::from(ContainerReady {
            nonce: nonce.into(),
        })
    };
    town.report(ready(older)).await?;
    tokio::time::sleep(LOOK_INTERVAL.saturating_mul(5)).await;
    if !town.inspect(Town::is_draining).await? {
        report.problem(format!("{older} ended the drain of {latest}"));
    }
    loop {
        match ticks.try_recv() {
            Ok(tick) => report.check_tick(&tick),
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            Err(TryRecvError::Lagged(_)) => {}
        }
    }
    town.report(ready(latest)).await?;
    if !comes_true(town, |town: &Town| !town.is_draining()).await? {
        report.problem(format!("{latest} did not end the drain"));
    }
    Ok(())
}

/// Waits until something is true of the town; whether it came to be.
async fn comes_true(
    town: &TownHandle,
    is_true: impl Fn(&Town) -> bool + Clone + Send + 'static,
) -> Result<bool, Failure> {
    let wait = async {
        loop {
            if town.inspect(is_true.clone()).await? {
                return Ok(true);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .unwrap_or(Ok(false))
}

impl Report {
    fn problem(&mut self, problem: String) {
        self.problems.push(problem);
    }

    /// While the town drains nothing is dispatched.
    fn check_tick(&mut self, tick: &TickReport) {
        let starts = tick.actions.iter().filter(|action| {
            matches!(
                action.kind,
                ActionKind::DispatchAgent(_)
                    | ActionKind::CreateAgent(_)
                    | ActionKind::SendNudge(_)
            )
        });
        for action in starts {
            let kind = action.kind.type_name();
            self.problem(format!(
                "tick {}: {kind} by {} in the drain",
                tick.number, action.rule
            ));
        }
    }

    /// What was not done yet is saved, open again, and has its attempt back.
    async fn check_beads(
        &mut self,
        town: &TownHandle,
        directory: &Directory,
    ) -> Result<(), Failure> {
        for evicted in std::mem::take(&mut self.evicted) {
            let id = evicted.bead_id.clone();
            let bead = town.inspect(move |town| town.bead(&id).cloned()).await?;
            let Some(bead) =
                bead.filter(|bead| bead.is_live() && bead.status != BeadStatus::InReview)
            else {
                let line = format!("{} was done before its agent had to leave", evicted.bead_id);
                self.seen.push(line);
                continue;
            };
            let id = &evicted.bead_id;
            if bead.status != BeadStatus::Open || bead.assignee.is_some() {
                let status = bead.status.as_str();
                self.problem(format!("{id} is {status}, assigned to {:?}", bead.assignee));
            }
            if bead.dispatch_attempts.saturating_add(1) != evicted.attempts {
                let (was, is) = (evicted.attempts, bead.dispatch_attempts);
                self.problem(format!("{id} had {was} attempts and has {is}"));
            }
            let note = bead.body.unwrap_or_default();
            match (saved_branch(&note), &evicted.rig) {
                (Some(branch), Some(rig)) => {
                    let origin = Repository::new(directory.origin(rig));
                    let reference = format!("refs/heads/{branch}");
                    if !origin.ask(&["show-ref", "--quiet", "--verify", &reference])? {
                        self.problem(format!("{id}: {branch} is not on its origin"));
                    }
                    self.seen.push(format!("{id}: saved on {branch}"));
                }
                _ if note.contains("nothing to save") => {
                    self.seen
                        .push(format!("{id}: there was nothing to save yet"));
                }
                _ => self.problem(format!("{id} does not say where its work is: {note:?}")),
            }
            self.evicted.push(evicted);
        }
        Ok(())
    }

    /// Once all is over: what was evicted was taken up again and ended well.
    pub(crate) fn check_end(&mut self, journal: &Journal) {
        for evicted in &self.evicted {
            let bead = journal.beads.get(&evicted.bead_id);
            if bead.is_none_or(|bead| bead.status != BeadStatus::Closed) {
                self.problems.push(format!(
                    "{} was not resumed after its {} {} was evicted",
                    evicted.bead_id,
                    evicted.role.as_str(),
                    evicted.agent_id
                ));
            }
        }
    }

    /// PASS or FAIL, with what was seen.
    pub(crate) fn show(&self) -> String {
        let mut text = String::from("\nEviction\n");
        for line in &self.seen {
            text.push_str(&format!("  {line}\n"));
        }
        match self.problems.is_empty() {
            true => text.push_str("PASS: nothing was dispatched meanwhile, work was saved, beads were open again without a lost attempt, and were resumed\n"),
            false => {
                text.push_str("FAIL\n");
                for problem in &self.problems {
                    text.push_str(&format!("  {problem}\n"));
                }
            }
        }
        text
    }

    pub(crate) fn passed(&self) -> bool {
        self.problems.is_empty()
    }
}

/// The branch that a note names as the one to merge.
pub(crate) fn saved_branch(note: &str) -> Option<&str> {
    let (_, rest) = note.rsplit_once("`git merge origin/")?;
    rest.split_once('`').map(|(branch, _)| branch)
}
