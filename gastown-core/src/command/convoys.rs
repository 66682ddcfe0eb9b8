//! Convoys: making, starting, landing, changing (spec 2.1, 3.5).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::json;

use super::check::{self, limits};
use super::data::{ConvoyAdd, ConvoyRemove, ConvoyTask, LandConvoy, SlingConvoy, StartConvoy};
use super::{Actor, CommandError, Did, Executed, Refusal};
use crate::bead::{Bead, BeadKind};
use crate::branches::feature_branch;
use crate::config::ConvoyMergeMode;
use crate::convoy::{Convoy, ConvoyBranch, Landing};
use crate::edge::{Edge, EdgeKind};
use crate::ids::{BeadId, IdKind, RigId, shown};
use crate::reason::ReasonCode;
use crate::town::Town;
use crate::work::Work;

/// Metadata of a convoy that hosts of older systems wrote beside their own: the engine's fields
/// say the same, so these lose.
const RESERVED_KEYS: [&str; 6] = [
    "feature_branch",
    "merge_mode",
    "staged",
    "ready_to_land",
    "landing_ordered",
    "landed_at",
];

impl Town {
    pub(super) fn sling_convoy(&mut self, sling: SlingConvoy, actor: &Actor) -> Executed {
        self.rig_for("rig_id", &sling.rig_id, actor)?;
        check::title("title", &sling.title)?;
        check::metadata(&sling.metadata.0)?;
        self.check_tasks(&sling.tasks, actor)?;

        let settings = self.settings(Some(&sling.rig_id));
        let merge_mode = sling.merge_mode.unwrap_or(settings.convoy_merge_mode);
        let staged_default = self.state().config.staged_convoys_default;
        let staged = sling.staged.or(staged_default).unwrap_or(false);
        let convoy_id = self.next_bead_id(IdKind::Convoy);
        let feature_branch = (merge_mode == ConvoyMergeMode::ReviewThenLand)
            .then(|| feature_branch(&sling.title, &convoy_id));
        let rigs: BTreeSet<RigId> = sling
            .tasks
            .iter()
            .map(|task| task.rig_id.as_ref().unwrap_or(&sling.rig_id).clone())
            .collect();
        let branches = rigs
            .into_iter()
            .filter(|_| feature_branch.is_some())
            .map(|rig| (rig, ConvoyBranch::to_be_created()))
            .collect();
        let convoy = Convoy {
            total: u32::try_from(sling.tasks.len()).unwrap_or(u32::MAX),
            closed: 0,
            merge_mode,
            feature_branch,
            staged,
            ready_to_land: false,
            landing_ordered: false,
            landing: Landing::default(),
            landings: BTreeMap::new(),
            branches,
            changed_at: Some(actor.now),
            landed_at: None,
        };
        let kind = BeadKind::Convoy(convoy.into());
        let mut bead = Bead::new(convoy_id.clone(), kind, sling.title, actor.now);
        bead.metadata = sling.metadata.0;
        for key in RESERVED_KEYS {
            bead.metadata.remove(key);
        }
        self.add_bead(bead, actor);
        let issues = self.add_tasks(sling.tasks, &sling.rig_id, &convoy_id, actor);
        let text = format!("made convoy {convoy_id} of {} issues", issues.len());
        let mut did = Did::made(&convoy_id, text);
        did.made.extend(issues.iter().map(ToString::to_string));
        Ok(did)
    }

    fn check_tasks(&self, tasks: &[ConvoyTask], actor: &Actor) -> Result<(), CommandError> {
        if tasks.is_empty() {
            return Err(CommandError::invalid("tasks", "expected one at least"));
        }
        check::count("tasks", tasks.len(), limits::TASKS_MAX)?;
        for (at, task) in tasks.iter().enumerate() {
            check::title(&format!("tasks[{at}].title"), &task.title)?;
            check::optional_text(&format!("tasks[{at}].body"), task.body.as_deref())?;
            if let Some(rig) = &task.rig_id {
                self.rig_for(&format!("tasks[{at}].rig_id"), rig, actor)?;
            }
            for (nth, on) in task.depends_on.iter().enumerate() {
                let field = format!("tasks[{at}].depends_on[{nth}]");
                if *on >= tasks.len() {
                    let max = tasks.len().saturating_sub(1);
                    return Err(CommandError::invalid(
                        field,
                        format!(
                            "task {at} ({}) depends on task {on}, expected 0 to {max}",
                            named(task)
                        ),
                    ));
                }
                if *on == at {
                    return Err(CommandError::invalid(
                        field,
                        format!("task {at} ({}) depends on itself", named(task)),
                    ));
                }
                if task.depends_on.iter().take(nth).any(|other| other == on) {
                    return Err(CommandError::invalid(
                        field,
                        format!("names task {on} twice"),
                    ));
                }
            }
        }
        match task_cycle(tasks) {
            None => Ok(()),
            Some(cycle) => {
                let names: Vec<String> = cycle
                    .iter()
                    .filter_map(|at| Some(format!("{at} ({})", named(tasks.get(*at)?))))
                    .collect();
                Err(CommandError::invalid(
                    "tasks",
                    format!("these tasks depend on each other: {}", names.join(", ")),
                ))
            }
        }
    }

    fn add_tasks(
        &mut self,
        tasks: Vec<ConvoyTask>,
        rig_id: &RigId,
        convoy_id: &BeadId,
        actor: &Actor,
    ) -> Vec<BeadId> {
        let ids: Vec<BeadId> = tasks
            .iter()
            .map(|_| self.next_bead_id(IdKind::Bead))
            .collect();
        for (task, id) in tasks.into_iter().zip(&ids) {
            let kind = BeadKind::Issue(Work::Plain);
            let mut bead = Bead::new(id.clone(), kind, task.title, actor.now);
            bead.body = task.body;
            bead.rig_id = Some(task.rig_id.unwrap_or_else(|| rig_id.clone()));
            self.add_bead(bead, actor);
            self.insert_edge(id, convoy_id, EdgeKind::Tracks);
            for on in task.depends_on {
                if let Some(blocker) = ids.get(on) {
                    self.insert_edge(id, blocker, EdgeKind::Blocks);
                }
            }
        }
        ids
    }

    /// The convoy, if it is live and the caller may act on it.
    fn live_convoy_for(&self, id: &BeadId, actor: &Actor) -> Result<&Convoy, CommandError> {
        self.live_bead_for("convoy_id", id, actor)?
            .convoy()
            .ok_or_else(|| CommandError::invalid("convoy_id", format!("\"{id}\" is no convoy")))
    }

    pub(super) fn start_convoy(&mut self, start: &StartConvoy, actor: &Actor) -> Executed {
        let limit = self.policy().poll_transient_limit;
        let convoy = self.live_convoy_for(&start.convoy_id, actor)?;
        let given_up = convoy.branches.values().any(|b| b.is_given_up(limit));
        if !convoy.staged && !given_up {
            return Err(CommandError::conflict(
                "convoy_id",
                format!("convoy \"{}\" is not staged", start.convoy_id),
            ));
        }
        self.edit_convoy(&start.convoy_id, |convoy| convoy.staged = false);
        self.retry_branches(&start.convoy_id, None);
        self.note(&start.convoy_id, actor, "started", json!({}));
        Ok(Did::text(format!("convoy {} has started", start.convoy_id)))
    }

    /// Branches that could not be created are tried again, in one rig or in all.
    pub(super) fn retry_branches(&mut self, convoy: &BeadId, rig: Option<&RigId>) {
        self.edit_bead(convoy, |bead| {
            bead.told.remove(&ReasonCode::BranchFailed);
            let branches = bead.convoy_mut().map(|convoy| &mut convoy.branches);
            for (id, branch) in branches.into_iter().flatten() {
                if rig.is_none_or(|rig| rig == id) {
                    branch.forgiven = branch.tries;
                }
            }
        });
    }

    fn edit_convoy(&mut self, id: &BeadId, edit: impl FnOnce(&mut Convoy)) {
        self.edit_bead(id, |bead| bead.convoy_mut().map(edit));
    }

    pub(super) fn land_convoy(&mut self, land: &LandConvoy, actor: &Actor) -> Executed {
        let convoy = self.live_convoy_for(&land.convoy_id, actor)?;
        if convoy.staged {
            return Err(CommandError::conflict(
                "convoy_id",
                "the convoy is staged; start it first",
            ));
        }
        if convoy.landing_ordered {
            return check::nothing("the landing was ordered already");
        }
        self.edit_convoy(&land.convoy_id, |convoy| convoy.landing_ordered = true);
        self.note(&land.convoy_id, actor, "landing ordered", json!({}));
        Ok(Did::text(format!(
            "what is closed of convoy {} lands once nothing of it is under way",
            land.convoy_id
        )))
    }

    pub(super) fn convoy_add(&mut self, add: &ConvoyAdd, actor: &Actor) -> Executed {
        self.live_convoy_for(&add.convoy_id, actor)?;
        let bead = self.live_bead_for("bead_id", &add.bead_id, actor)?;
        let Some(rig) = bead
            .rig_id
            .clone()
            .filter(|_| bead.work() == Some(&Work::Plain))
        else {
            return Err(CommandError::invalid(
                "bead_id",
                "expected an issue that has a rig and is neither a repair nor the engine's own",
            ));
        };
        if let Some(other) = self.convoy_of(&add.bead_id) {
            return Err(CommandError::conflict(
                "bead_id",
                format!("is in convoy \"{}\" already", other.id),
            ));
        }
        if self.issues_of(&add.convoy_id).len() >= limits::CONVOY_ISSUES_MAX {
            return Err(CommandError::new(
                Refusal::Limit,
                "convoy_id",
                format!("has {} issues already", limits::CONVOY_ISSUES_MAX),
            ));
        }
        if let Some(cycle) = self.cycle_by_joining(&add.bead_id, &add.convoy_id) {
            return Err(cycle_error("bead_id", &cycle));
        }
        self.insert_edge(&add.bead_id, &add.convoy_id, EdgeKind::Tracks);
        self.joined(&add.convoy_id, &add.bead_id, &rig, actor);
        self.recount(&add.convoy_id, actor);
        self.note(
            &add.convoy_id,
            actor,
            "joined",
            json!({"bead": add.bead_id}),
        );
        Ok(Did::text(format!(
            "{} joined convoy {}",
            add.bead_id, add.convoy_id
        )))
    }

    /// An issue of `rig` joined: its rig has to land (again), on a branch that may have to be made.
    pub(super) fn joined(&mut self, convoy: &BeadId, issue: &BeadId, rig: &RigId, actor: &Actor) {
        let before: BTreeSet<RigId> = self
            .issues_of(convoy)
            .iter()
            .filter(|other| other.id != *issue)
            .filter_map(|other| other.rig_id.clone())
            .collect();
        self.edit_convoy(convoy, |convoy| {
            convoy.ready_to_land = false;
            convoy.changed_at = Some(actor.now);
            // The short form speaks for the rigs so far, not for one that comes later.
            for known in &before {
                convoy.edit_landing(known, |_| {});
            }
            convoy.edit_landing(rig, |_| {});
            // Absent means created, which holds only for rigs that the convoy had before.
            let has_branch = before.contains(rig) || convoy.branches.contains_key(rig);
            if convoy.feature_branch.is_some() && !has_branch {
                convoy
                    .branches
                    .insert(rig.clone(), ConvoyBranch::to_be_created());
            }
        });
        self.outdates_landings(issue);
    }

    pub(super) fn convoy_remove(&mut self, remove: &ConvoyRemove, actor: &Actor) -> Executed {
        self.live_convoy_for(&remove.convoy_id, actor)?;
        self.bead_for("bead_id", &remove.bead_id, actor)?;
        let tracks = self
            .depends_on(&remove.bead_id, EdgeKind::Tracks)
            .any(|id| *id == remove.convoy_id);
        if !tracks {
            return Err(CommandError::conflict(
                "bead_id",
                format!("is not in convoy \"{}\"", remove.convoy_id),
            ));
        }
        if self
            .reviews_of(&remove.bead_id)
            .iter()
            .any(|mr| mr.is_live())
        {
            return Err(CommandError::conflict(
                "bead_id",
                "its merge request goes to the convoy's branch; close that first",
            ));
        }
        self.remove_edge(&Edge {
            bead_id: remove.bead_id.clone(),
            depends_on: remove.convoy_id.clone(),
            kind: EdgeKind::Tracks,
        });
        let siblings: BTreeSet<BeadId> = self
            .issues_of(&remove.convoy_id)
            .iter()
            .map(|bead| bead.id.clone())
            .collect();
        for edge in self.edges_at(&remove.bead_id) {
            let joins_sibling =
                siblings.contains(&edge.bead_id) || siblings.contains(&edge.depends_on);
            if edge.kind == EdgeKind::Blocks && joins_sibling {
                self.remove_edge(&edge);
            }
        }
        self.edit_convoy(&remove.convoy_id, |convoy| {
            convoy.changed_at = Some(actor.now);
        });
        self.recount(&remove.convoy_id, actor);
        self.note(
            &remove.convoy_id,
            actor,
            "left",
            json!({"bead": remove.bead_id}),
        );
        Ok(Did::text(format!(
            "{} left convoy {}",
            remove.bead_id, remove.convoy_id
        )))
    }

    /// Makes a convoy's counts those of its edges.
    pub(super) fn recount(&mut self, convoy: &BeadId, actor: &Actor) {
        let (total, closed) = self.convoy_counts(convoy);
        self.edit_bead(convoy, |bead| {
            bead.updated_at = actor.now;
            if let Some(convoy) = bead.convoy_mut() {
                (convoy.total, convoy.closed) = (total, closed);
            }
        });
    }
}

fn named(task: &ConvoyTask) -> String {
    format!("\"{}\"", shown(&task.title, 80))
}

/// A refusal that names the beads on a cycle.
pub(super) fn cycle_error(field: &str, cycle: &[BeadId]) -> CommandError {
    let names: Vec<&str> = cycle.iter().map(BeadId::as_str).collect();
    CommandError::invalid(
        field,
        format!(
            "these beads would wait for each other: {}",
            names.join(", ")
        ),
    )
}

/// The tasks of a cycle, if the tasks depend on each other.
fn task_cycle(tasks: &[ConvoyTask]) -> Option<Vec<usize>> {
    let on = |at: usize| tasks.get(at).map_or(&[][..], |task| &task.depends_on);
    // What waits for nothing that is left can go; what stays behind waits in circles.
    let mut left: BTreeSet<usize> = (0..tasks.len()).collect();
    loop {
        let waits = |at: &usize| on(*at).iter().any(|other| left.contains(other));
        let kept: BTreeSet<usize> = left.iter().copied().filter(waits).collect();
        if kept.len() == left.len() {
            break;
        }
        left = kept;
    }
    let mut path = Vec::new();
    let mut at = left.first().copied()?;
    loop {
        if let Some(begin) = path.iter().position(|seen| *seen == at) {
            return path.get(begin..).map(<[usize]>::to_vec);
        }
        path.push(at);
        at = on(at).iter().copied().find(|other| left.contains(other))?;
    }
}

#[cfg(test)]
mod tests;
