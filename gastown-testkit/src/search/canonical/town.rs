//! The parts of a town, and those of a bead. Each struct is taken apart in full, so that a field
//! that is new has to be thought of here.

use gastown_core::{Bead, BeadKind, Timestamp, Town, TownState, Work};

use super::digest::{Digest, Mark};
use super::names::Names;
use super::writer::{Unwritable, Writer};

/// Adds a town to a digest. Names by rank keep their order, and lists are ordered by id.
///
/// # Errors
/// What can't be compared.
pub(crate) fn town(town: &Town, names: &Names<'_>, out: &mut Digest) -> Result<(), String> {
    state(town.state(), names, out)
        .and_then(|()| entities(town, names, out))
        .map_err(|error| format!("the state can't be compared with others: {error}"))
}

/// What belongs to no single entity.
fn state(state: &TownState, names: &Names<'_>, out: &mut Digest) -> Result<(), Unwritable> {
    let TownState {
        // Nothing changes them in a search.
        config: _,
        policy: _,
        drain,
        judge_from,
        breaker,
        container,
        // Counters that only grow, and texts for people.
        sequence: _,
        notices: _,
        notices_under_way: _,
        triage_ended_at,
    } = state;
    let mut out = Writer::new(names, out);
    out.field("drain", drain)?;
    out.field("judge_from", judge_from)?;
    out.field("breaker", breaker)?;
    out.field("container", container)?;
    out.field("triage_ended_at", triage_ended_at)
}

fn entities(town: &Town, names: &Names<'_>, out: &mut Digest) -> Result<(), Unwritable> {
    for (root, lineage) in town.lineages() {
        names.text(root.as_str(), out);
        Writer::new(names, out).field("lineage", &lineage)?;
    }
    out.mark(Mark::End);
    list(town.conditions(), names, out)?;
    list(town.rigs(), names, out)?;
    list(town.agents(), names, out)?;
    for one in town.beads() {
        bead(one, names, out)?;
    }
    out.mark(Mark::End);
    list(town.edges(), names, out)?;
    list(town.nudges(), names, out)
}

fn list<T: serde::Serialize>(
    items: impl Iterator<Item = T>,
    names: &Names<'_>,
    out: &mut Digest,
) -> Result<(), Unwritable> {
    for item in items {
        item.serialize(&mut Writer::new(names, out))?;
    }
    out.mark(Mark::End);
    Ok(())
}

/// A bead, without the copy that its wire form is.
fn bead(bead: &Bead, names: &Names<'_>, out: &mut Digest) -> Result<(), Unwritable> {
    let Bead {
        id,
        kind,
        status,
        rig_id,
        parent_id,
        assignee,
        priority,
        labels,
        held,
        metadata,
        dispatch_attempts,
        last_dispatch_attempt_at,
        created_at,
        updated_at,
        status_changed_at,
        closed_at,
        failure,
        root,
        told,
        // Texts for people.
        title: _,
        body: _,
        created_by: _,
    } = bead;
    let mut out = Writer::new(names, out);
    out.field("id", id)?;
    out.field("status", status)?;
    out.field("rig_id", rig_id)?;
    out.field("parent_id", parent_id)?;
    out.field("assignee", assignee)?;
    out.field("priority", priority)?;
    out.field("labels", labels)?;
    out.field("held", held)?;
    out.field("metadata", metadata)?;
    out.field("dispatch_attempts", dispatch_attempts)?;
    out.field("last_dispatch_attempt_at", last_dispatch_attempt_at)?;
    let times: [&Timestamp; 2] = [created_at, updated_at];
    out.field("times", &times)?;
    out.field("status_changed_at", status_changed_at)?;
    out.field("closed_at", closed_at)?;
    out.field("failure", failure)?;
    out.field("root", root)?;
    out.field("told", told)?;
    kind_of(kind, &mut out)
}

fn kind_of(kind: &BeadKind, out: &mut Writer<'_>) -> Result<(), Unwritable> {
    out.field("type", &kind.bead_type())?;
    match kind {
        BeadKind::Issue(work) => {
            out.field("work", &work.label())?;
            match work {
                Work::Plain | Work::TriageBatch | Work::MoleculeStep => Ok(()),
                Work::Rework(data) => out.field("data", data),
                Work::PrFeedback(data) => out.field("data", data),
                Work::PrConflict(data) => out.field("data", data),
                Work::PrFixup(data) => out.field("data", data),
                Work::TriageRequest(data) => out.field("data", data),
            }
        }
        BeadKind::MergeRequest(review) => out.field("review", &**review),
        BeadKind::Convoy(convoy) => out.field("convoy", &**convoy),
        BeadKind::Escalation(escalation) => out.field("escalation", escalation),
        BeadKind::Molecule => Ok(()),
        BeadKind::Message(mail) => out.field("message", mail),
    }
}
