//! Whether a review has come to rest with people (P8), judged by what its pull request really is.

use std::collections::BTreeMap;

use gastown_core::{Bead, BeadId, ExplainedWait, Timestamp, Town, WaitFor, waits_for};

use crate::laws::{knows, was_told};

/// Says of a review and its pull request whether it is the engine's turn: to merge it, to have it
/// reviewed or repaired, or to see that it has ended.
pub(crate) type EnginesTurn<'a> = &'a dyn Fn(&Bead, &str) -> bool;

/// Conditions of green that only a person's setting can change.
const SETTINGS: [&str; 4] = ["auto_merge", "delay", "not_off", "rig"];

/// Live beads on which somebody works: issues and reviews.
pub(crate) fn live_work(town: &Town) -> impl Iterator<Item = &Bead> {
    town.live_beads()
        .filter(|bead| bead.review().is_some() || bead.work().is_some())
}

/// Judges whether beads wait for a person who knows, or for a bead that does: what goes first in a
/// rig may itself wait for somebody. Beads that wait for each other wait for nobody.
///
/// The people of an open pull request are waited for only where it is not the engine's turn: that
/// nothing happens on it is no excuse for not merging what is ready.
pub(crate) struct Resting<'a> {
    town: &'a Town,
    now: Timestamp,
    engines_turn: EnginesTurn<'a>,
    /// The answer for each bead; none of those on the way there waits for somebody by itself.
    known: BTreeMap<BeadId, bool>,
}

impl<'a> Resting<'a> {
    pub(crate) fn of(town: &'a Town, now: Timestamp, engines_turn: EnginesTurn<'a>) -> Self {
        Self {
            town,
            now,
            engines_turn,
            known: BTreeMap::new(),
        }
    }

    /// Whether a bead has come to rest with people.
    ///
    /// An answer within a cycle is that of the bead at which it was entered, so each bead is asked
    /// about anew.
    pub(crate) fn has(&mut self, bead: &Bead) -> bool {
        self.known.clear();
        self.rests(bead)
    }

    fn rests(&mut self, bead: &Bead) -> bool {
        if let Some(rests) = self.known.get(&bead.id) {
            return *rests;
        }
        self.known.insert(bead.id.clone(), false);
        let rests = self.judge(bead);
        self.known.insert(bead.id.clone(), rests);
        rests
    }

    fn judge(&mut self, bead: &Bead) -> bool {
        if was_told(self.town, bead) {
            return true;
        }
        let waits = waits_for(self.town, self.now, &bead.id);
        let by_bead: Vec<bool> = waits
            .iter()
            .filter(|wait| wait.kind == WaitFor::Bead)
            .map(|wait| self.is_behind(wait))
            .collect();
        let waits_for_kind = |kind: WaitFor| waits.iter().filter(move |wait| wait.kind == kind);
        let url = bead.review().and_then(|review| review.pr_url.as_deref());
        match url {
            Some(url) if (self.engines_turn)(bead, url) => {
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
                by_bead.contains(&true) || (by_person && knows(self.town, bead))
            }
        }
    }

    fn is_behind(&mut self, wait: &ExplainedWait) -> bool {
        let other = wait.id.as_ref().and_then(|id| BeadId::new(id).ok());
        let town = self.town;
        other
            .and_then(|id| town.bead(&id))
            .is_some_and(|other| self.rests(other))
    }
}
