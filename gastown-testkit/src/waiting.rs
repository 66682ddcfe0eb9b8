//! Whether a review has come to rest with people (P8), judged by what its pull request really is.

use std::collections::BTreeMap;

use gastown_core::{Bead, BeadId, ExplainedWait, Timestamp, Town, WaitFor, waits_for};

use crate::laws::{knows, was_told};

/// Says of a review and its pull request whether it is the engine's turn: to merge it, to have it
/// reviewed or repaired, or to see that it has ended.
pub(crate) type EnginesTurn<'a> = &'a dyn Fn(&Bead, &str) -> bool;

/// Conditions of green that only a person's setting can change.
const SETTINGS: [&str; 4] = ["auto_merge", "delay", "not_off", "rig"];

/// Whether a review waits for a person who knows, or for a bead that does: what goes first in a rig
/// may itself wait for somebody. Beads that wait for each other wait for nobody.
///
/// The people of an open pull request are waited for only where it is not the engine's turn: that
/// nothing happens on it is no excuse for not merging what is ready.
pub(crate) fn rests_with_people(
    town: &Town,
    now: Timestamp,
    mr: &Bead,
    engines_turn: EnginesTurn<'_>,
) -> bool {
    rests(town, now, mr, engines_turn, &mut BTreeMap::new())
}

/// `known` holds the answer for each bead; none of those on the way there waits for somebody by itself.
fn rests(
    town: &Town,
    now: Timestamp,
    bead: &Bead,
    engines_turn: EnginesTurn<'_>,
    known: &mut BTreeMap<BeadId, bool>,
) -> bool {
    if let Some(rests) = known.get(&bead.id) {
        return *rests;
    }
    known.insert(bead.id.clone(), false);
    let rests = judge(town, now, bead, engines_turn, known);
    known.insert(bead.id.clone(), rests);
    rests
}

fn judge(
    town: &Town,
    now: Timestamp,
    bead: &Bead,
    engines_turn: EnginesTurn<'_>,
    known: &mut BTreeMap<BeadId, bool>,
) -> bool {
    if was_told(town, bead) {
        return true;
    }
    let waits = waits_for(town, now, &bead.id);
    let mut behind = |wait: &ExplainedWait| {
        let other = wait.id.as_ref().and_then(|id| BeadId::new(id).ok());
        other
            .and_then(|id| town.bead(&id))
            .is_some_and(|other| rests(town, now, other, engines_turn, known))
    };
    let by_bead: Vec<bool> = waits
        .iter()
        .filter(|wait| wait.kind == WaitFor::Bead)
        .map(&mut behind)
        .collect();
    let waits_for_kind = |kind: WaitFor| waits.iter().filter(move |wait| wait.kind == kind);
    let url = bead.review().and_then(|review| review.pr_url.as_deref());
    match url {
        Some(url) if engines_turn(bead, url) => {
            let by_setting = waits_for_kind(WaitFor::Person).any(|wait| {
                let condition = wait.text.split(':').next();
                condition.is_some_and(|name| SETTINGS.contains(&name))
            });
            by_setting || by_bead.contains(&true)
        }
        // Its people are waited for, unless an agent can work on it.
        Some(_) if by_bead.is_empty() => waits_for_kind(WaitFor::Agent).next().is_none(),
        Some(_) => !by_bead.contains(&false),
        None => {
            let by_person = waits_for_kind(WaitFor::Person).next().is_some();
            by_bead.contains(&true) || (by_person && knows(town, bead))
        }
    }
}
