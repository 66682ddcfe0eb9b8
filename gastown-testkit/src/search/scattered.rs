//! A search that can't see everything: some of everything, instead of all of one corner.

use super::{Broken, Model, Place, Search};
use crate::sim::spread;

/// Walks are shorter, which is longer than most lives of a small town.
const MOVES_MAX: u64 = 64;
/// New states that are visited around the end of a walk.
const STATES_AROUND: usize = 1_000;
/// One step of so many is a fault, while there are any.
const STEPS_PER_FAULT: u64 = 8;
/// Walks that lead to nothing new, after which nothing new is looked for.
const WALKS_IN_VAIN: u32 = 1_000;

impl<T: Model> Search<'_, T> {
    /// Walks from the beginning, the same each time that it is searched, and visits what lies around
    /// the end of the walk; again and again.
    pub(super) fn scattered(&mut self, start: &Place<T>) -> Result<bool, Broken> {
        let mut in_vain = 0;
        for walk in 0.. {
            let known = self.seen.len();
            if known >= self.limits.states_max || in_vain >= WALKS_IN_VAIN {
                break;
            }
            let end = self.walk(walk, start)?;
            if self.seen.len() >= self.limits.states_max {
                break;
            }
            let until = known.saturating_add(STATES_AROUND);
            self.all_from(end, until.min(self.limits.states_max))?;
            in_vain = if self.seen.len() > known {
                0
            } else {
                in_vain + 1
            };
        }
        Ok(false)
    }

    fn walk(&mut self, walk: u64, start: &Place<T>) -> Result<Place<T>, Broken> {
        let (mut state, mut path) = start.clone();
        let chance = |n: u64| spread(spread(walk) ^ n);
        let moves_max = self.limits.moves_max.map_or(u64::MAX, |max| max as u64);
        for n in 1..=(chance(0) % MOVES_MAX).min(moves_max) {
            let moves = self.moves(&state, &path)?;
            let (faults, usual): (Vec<_>, Vec<_>) = moves
                .iter()
                .enumerate()
                .partition(|(_, step)| self.model.is_fault(step));
            let is_fault = usual.is_empty() || chance(n).is_multiple_of(STEPS_PER_FAULT);
            let among = if is_fault && !faults.is_empty() {
                faults
            } else {
                usual
            };
            let which = (chance(n) >> 32).checked_rem(among.len() as u64);
            let step = which.and_then(|which| among.get(which as usize));
            let Some(step) = step.filter(|_| self.seen.len() < self.limits.states_max) else {
                break;
            };
            ((state, path), _) = self.step(&state, &path, *step)?;
        }
        Ok((state, path))
    }
}
