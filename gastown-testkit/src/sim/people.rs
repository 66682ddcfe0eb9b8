//! People of the town: they sling work, hold and release it, close, retry, grant, acknowledge.

use gastown_core::commands::{
    Acknowledge, CloseBead, ConvoyAdd, ConvoyRemove, ConvoyTask, DeleteBeads, FailBead, Grant,
    Hold, LandConvoy, Probe, Release, ReopenBead, Retry, SetDependencies, Sling, SlingConvoy,
    StartConvoy, UpdateBead,
};
use gastown_core::{
    Bead, BeadId, BreakerState, Caller, Command, CommandKind, ConvoyMergeMode, EdgeKind, Priority,
    RigId,
};

use super::{Next, Simulation};

/// How often somebody might turn to the town, in milliseconds.
const TURN: u64 = 10 * 60_000;
const TURNS_PER_HOUR: f64 = 6.0;
/// How much more often than another command somebody sends `probe` while the breaker is open.
const PROBE_ASKED: f64 = 2.0;

impl Simulation {
    /// Somebody may have work, and somebody may want something.
    pub(super) fn people_act(&mut self) {
        let n = self.next_of("turns of people");
        let after = self.dice.span(TURN, "the next turn", "people", n);
        if !self.dice.is_calm() {
            self.plan(after.max(1_000), Next::PeopleAct);
        }
        if !self.host.is_up() {
            return;
        }
        let rates = self.rates;
        if self.dice.happens(
            rates.work_per_hour / TURNS_PER_HOUR,
            "work comes",
            "people",
            n,
        ) {
            self.bring_work(n);
        }
        // Whoever is told that agents can't be started looks after it, and asks for another try.
        let town = self.host.town.as_ref();
        let is_open = town.is_some_and(|town| town.state().breaker.state == BreakerState::Open);
        let asks = if is_open { PROBE_ASKED } else { 0.0 };
        let wants = asks * rates.commands_per_hour / TURNS_PER_HOUR;
        if self
            .dice
            .happens(wants, "a probe is asked for", "people", n)
        {
            let command = Command::new(Caller::user("ann"), Probe {});
            self.host.commands.push(command);
        }
        if self.dice.happens(
            rates.commands_per_hour / TURNS_PER_HOUR,
            "a command",
            "people",
            n,
        ) && let Some(kind) = self.wish(n)
        {
            self.host
                .commands
                .push(Command::new(Caller::user("ann"), kind));
        }
    }

    fn bring_work(&mut self, n: u64) {
        let Some(town) = &self.host.town else { return };
        let rigs: Vec<RigId> = town.rigs().map(|rig| rig.id.clone()).collect();
        let rig = self.dice.below(rigs.len() as u64, "which rig", "people", n);
        let Some(rig_id) = rigs.get(rig as usize).cloned() else {
            return;
        };
        // People wait with more work until less is under way; some are more patient than others.
        let under_way = town.live_beads().filter(|b| b.work().is_some()).count();
        if under_way >= self.work_max() {
            return;
        }
        let blockers = self.some_issue(n);
        let kind = match self.dice.below(5, "what work", "people", n) {
            0 => CommandKind::from(SlingConvoy {
                rig_id,
                title: format!("convoy {n}"),
                tasks: self.tasks(&rigs, n),
                merge_mode: match self.dice.below(3, "its mode", "people", n) {
                    0 => Some(ConvoyMergeMode::ReviewAndMerge),
                    1 => Some(ConvoyMergeMode::ReviewThenLand),
                    _ => None,
                },
                staged: Some(self.dice.below(6, "staged", "people", n) == 0),
                metadata: Default::default(),
            }),
            which => CommandKind::from(Sling {
                rig_id,
                title: format!("issue {n}"),
                body: None,
                priority: None,
                labels: Vec::new(),
                metadata: Default::default(),
                depends_on: blockers.filter(|_| which == 1).into_iter().collect(),
            }),
        };
        self.host
            .commands
            .push(Command::new(Caller::user("ann"), kind));
    }

    /// How much work may be under way before people bring more.
    fn work_max(&self) -> usize {
        match self.dice.below(16, "how much work", "people", 0) {
            0..=6 => 3,
            7..=12 => 6,
            13 | 14 => 12,
            _ => 32,
        }
    }

    fn tasks(&self, rigs: &[RigId], n: u64) -> Vec<ConvoyTask> {
        let count = 1 + self.dice.below(3, "how many tasks", "people", n);
        (0..count)
            .map(|task| {
                let other =
                    self.dice
                        .below(rigs.len() as u64, "task's rig", "people", n ^ task << 32);
                let chained =
                    task > 0 && self.dice.below(3, "chained", "people", n ^ task << 32) == 0;
                ConvoyTask {
                    title: format!("task {task} of {n}"),
                    body: None,
                    rig_id: rigs.get(other as usize).cloned(),
                    depends_on: if chained {
                        vec![task as usize - 1]
                    } else {
                        Vec::new()
                    },
                }
            })
            .collect()
    }

    /// A live issue that is somebody's work.
    fn some_issue(&self, n: u64) -> Option<BeadId> {
        self.pick(n, |bead| bead.is_live() && bead.work().is_some())
    }

    /// A live bead that others build on.
    fn some_blocker(&self, n: u64) -> Option<BeadId> {
        let town = self.host.town.as_ref()?;
        let builds_on = |bead: &Bead| town.depends_on(&bead.id, EdgeKind::Blocks).next().cloned();
        let blockers: Vec<BeadId> = town.live_beads().filter_map(builds_on).collect();
        self.pick(n, |bead| bead.is_live() && blockers.contains(&bead.id))
    }

    fn pick(&self, n: u64, fits: impl Fn(&Bead) -> bool) -> Option<BeadId> {
        let town = self.host.town.as_ref()?;
        let fitting: Vec<&BeadId> = town.beads().filter(|b| fits(b)).map(|b| &b.id).collect();
        let which = self
            .dice
            .below(fitting.len() as u64, "which bead", "people", n);
        fitting.get(which as usize).map(|id| (*id).clone())
    }

    /// What somebody wants, on a bead that it may be wanted of.
    fn wish(&self, n: u64) -> Option<CommandKind> {
        let live = |n| self.pick(n, |bead| bead.is_live() && bead.escalation().is_none());
        let ended = |n| self.pick(n, |bead| !bead.is_live());
        let convoy = |n| self.pick(n, |bead| bead.is_live() && bead.convoy().is_some());
        Some(match self.dice.below(20, "what is wished", "people", n) {
            0 => Hold { bead_id: live(n)? }.into(),
            1 | 2 => Release {
                bead_id: self.pick(n, |bead| bead.held)?,
            }
            .into(),
            3 => CloseBead {
                bead_id: live(n)?,
                reason: None,
            }
            .into(),
            4 => FailBead {
                bead_id: self.some_blocker(n).or_else(|| live(n))?,
                reason: None,
            }
            .into(),
            5 => ReopenBead {
                bead_id: self.some_issue(n)?,
            }
            .into(),
            6 | 7 => Retry { bead_id: ended(n)? }.into(),
            8 => Grant {
                bead_id: live(n)?,
                dispatches: 5,
            }
            .into(),
            9..=11 => Acknowledge {
                escalation_id: self
                    .pick(n, |bead| bead.is_live() && bead.escalation().is_some())?,
            }
            .into(),
            12 => LandConvoy {
                convoy_id: convoy(n)?,
            }
            .into(),
            13 => StartConvoy {
                convoy_id: convoy(n)?,
            }
            .into(),
            14 => Probe {}.into(),
            15 => DeleteBeads {
                bead_ids: vec![ended(n)?],
            }
            .into(),
            16 => ConvoyAdd {
                convoy_id: convoy(n)?,
                bead_id: self.some_issue(n)?,
            }
            .into(),
            17 => ConvoyRemove {
                convoy_id: convoy(n)?,
                bead_id: self.some_issue(n)?,
            }
            .into(),
            18 => SetDependencies {
                bead_id: self.some_issue(n)?,
                depends_on: self.some_issue(n ^ 1 << 32).into_iter().collect(),
            }
            .into(),
            _ => UpdateBead {
                bead_id: live(n)?,
                title: None,
                body: None,
                priority: Some(Priority::Critical),
                rig_id: None,
                labels: None,
                metadata: None,
            }
            .into(),
        })
    }
}
