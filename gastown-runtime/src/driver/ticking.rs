//! One tick after the other: decide, commit, and only then act and answer (spec 6.2).

use std::collections::BTreeMap;
use std::sync::Arc;

use gastown_core::events::Heartbeat;
use gastown_core::{
    AgentId, Event, EventKind, StoreError, TickInput, Timestamp, next_wakeup, snapshot_entries,
};
use metrics::counter;
use tracing::Instrument;

use super::Driver;
use crate::error::RuntimeError;
use crate::outside::bounded;
use crate::telemetry;
use crate::tick::{self, Broken, TickReport};
use crate::town_handle::TownStatus;

/// How often a commit that somebody else overtook is made again from a fresh load.
const RELOADS_MAX: u32 = 5;

/// How many bytes of JSON the local events of one tick have together: its record repeats them, and a
/// record that no store takes would stop the town for good. The first always fits.
const LOCAL_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How many of the first of these events one tick takes.
fn batch_length(local: &[Event]) -> usize {
    let mut bytes = 0_usize;
    let fitting = local.iter().take_while(|event| {
        let length = serde_json::to_string(event).map_or(usize::MAX, |text| text.len());
        bytes = bytes.saturating_add(length);
        bytes <= LOCAL_BYTES_MAX
    });
    fitting.count().max(1).min(local.len())
}

impl Driver {
    /// Ticks if there is anything to tick for. Repeats what somebody else overtook.
    pub(super) async fn tick_if_due(
        &mut self,
        heartbeats: &BTreeMap<AgentId, Heartbeat>,
    ) -> Result<(), RuntimeError> {
        let mut local = std::mem::take(&mut self.state.local);
        let beats = heartbeats.values().cloned().map(EventKind::from);
        local.extend(beats.filter_map(|kind| self.performer.workshop.event(bounded(kind))));
        let result = loop {
            let rest = local.split_off(batch_length(&local));
            let result = self.tick_with(&local).await;
            let is_over = result.is_err() || rest.is_empty() || self.state.frozen.is_some();
            if result.is_err() {
                local.extend(rest);
            } else {
                local = rest;
            }
            if is_over {
                break result;
            }
        };
        // After an error heartbeats go back to the inbox; a frozen town needs none. The rest waits here.
        local.retain(|event| !matches!(event.kind, EventKind::Heartbeat(_)));
        // A load within may have put something there.
        local.append(&mut self.state.local);
        self.state.local = local;
        result
    }

    pub(super) async fn tick_with(&mut self, local: &[Event]) -> Result<(), RuntimeError> {
        let mut reloads = 0_u32;
        loop {
            let stored = self.take_stored().await?;
            let now = self.now();
            let is_due = self.state.wakeup.is_some_and(|wakeup| wakeup <= now);
            let nothing = stored.is_empty() && local.is_empty() && self.state.calls.is_empty();
            if nothing && !is_due {
                return Ok(());
            }
            match self.tick(&stored, local, now).await {
                Err(RuntimeError::UseStore { source, .. })
                    if is_conflict(&source) && reloads < RELOADS_MAX =>
                {
                    reloads = reloads.saturating_add(1);
                    counter!(telemetry::CONFLICTS).increment(1);
                    self.make_ready().await?;
                    self.state.look = true;
                }
                Err(error) => {
                    // What was read here is not consumed, and nobody tells of it once more.
                    self.state.look = true;
                    self.state.calls.fail_all(&error);
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// One tick, in its span.
    pub(super) async fn tick(
        &mut self,
        stored: &[Event],
        local: &[Event],
        now: Timestamp,
    ) -> Result<(), RuntimeError> {
        let number = self.state.version.saturating_add(1);
        let span = tracing::info_span!("tick", town = %self.town_id, number);
        self.decide_and_commit(stored, local, now)
            .instrument(span)
            .await
    }

    /// One tick: decide, commit, and only then act and answer.
    pub(super) async fn decide_and_commit(
        &mut self,
        stored: &[Event],
        local: &[Event],
        now: Timestamp,
    ) -> Result<(), RuntimeError> {
        if let Some(town) = &self.state.town {
            self.state.calls.refuse_late(town);
        }
        let recalled = self.recall().await?;
        let Some(mut town) = self.state.town.take() else {
            return Err(RuntimeError::TownNotLoaded);
        };
        let commands = self.state.calls.next_batch();
        let clock = Arc::clone(&self.performer.workshop.clock);
        let input = TickInput {
            number: self.state.version.saturating_add(1),
            now,
            loaded: self.state.loaded,
            recalled: &recalled,
            stored,
            local,
            commands,
        };
        let mut ticked = match tick::run(&mut town, &input, &*clock) {
            Ok(ticked) => ticked,
            Err(broken) => {
                self.freeze(broken);
                return Ok(());
            }
        };
        // Until the commit is through, the store's town counts: a failure drops this one.
        let is_recorded = !ticked.is_empty();
        let answers = std::mem::take(&mut ticked.answers);
        let report = ticked.report.clone();
        let base = self.state.base.take_if(|_| is_recorded);
        let last_base = base.as_ref().map(|base| base.last);
        if let Some(base) = base {
            let entries = snapshot_entries(self.state.version, now, base.rows);
            ticked.changes.history.splice(0..0, entries);
        }
        let effects = self.commit(ticked, now).await?;
        self.state.loaded &= !is_recorded;
        self.state.wakeup = next_wakeup(&town, now);
        self.state.shares.show(&town);
        self.state.town = Some(town);
        telemetry::commanded(&answers);
        self.state.calls.answer(answers);
        self.tend_after(&report);
        for effect in effects {
            self.spawn(effect);
        }
        self.tell(&report);
        if let Some(last) = last_base {
            self.prune(now, last).await;
        }
        // A full batch may have left more behind.
        self.state.look |= stored.len() >= self.settings.events_per_tick_max;
        Ok(())
    }

    /// Nothing of the tick is committed, and the town stands still with the evidence.
    pub(super) fn freeze(&mut self, broken: Box<Broken>) {
        let broken = Arc::<Broken>::from(broken);
        counter!(telemetry::FROZEN).increment(1);
        tracing::error!(town = %self.town_id, %broken, evidence = broken.evidence, "town frozen");
        let error = RuntimeError::TownFrozen(Arc::clone(&broken));
        self.state.calls.fail_all(&error);
        self.status.send_replace(TownStatus::Frozen {
            broken: Arc::clone(&broken),
        });
        self.state.frozen = Some(broken);
    }

    pub(super) fn tell(&self, report: &TickReport) {
        telemetry::ticked(report);
        show_rules(report);
        self.status.send_replace(TownStatus::Running {
            version: self.state.version,
            violations: report.violations.clone(),
            next_wakeup: self.state.wakeup,
        });
        tracing::debug!(
            town = %self.town_id,
            number = report.number,
            events = report.observed.len(),
            commands = report.commands,
            actions = report.actions.len(),
            effects = report.effects.len(),
            "tick"
        );
        // Without watchers there is nobody to tell.
        let _ = self.reports.send(report.clone());
    }
}

/// A span for each rule that decided something, with what it decided.
fn show_rules(report: &TickReport) {
    let mut rest = report.actions.as_slice();
    while let Some(first) = rest.first() {
        let count = rest
            .iter()
            .take_while(|action| action.rule == first.rule)
            .count();
        let (of_rule, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let span = tracing::debug_span!("rule", rule = %first.rule, actions = count);
        let _entered = span.enter();
        for action in of_rule {
            tracing::debug!(action = action.kind.type_name(), subjects = ?action.kind, "decided");
        }
        rest = others;
    }
}

fn is_conflict(error: &StoreError) -> bool {
    matches!(error, StoreError::Conflict { .. })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_events_of_a_tick_end_at_their_limit_together() {
        let event: Event = gastown_core::wire::event_from_value(serde_json::json!({
            "id": "e1", "at": "2026-04-04T12:00:00Z", "type": "heartbeat", "agent_id": "a1",
            "active_tools": vec!["\u{1}".repeat(1024); 64],
        }))
        .unwrap();
        let many = vec![event; 64];
        let whole = serde_json::to_string(&many).unwrap().len();
        assert!(whole > 16 * 1024 * 1024, "one record could not hold them");
        let taken = batch_length(&many);
        let bytes = serde_json::to_string(&many[..taken]).unwrap().len();
        assert!(
            taken > 1 && bytes < LOCAL_BYTES_MAX + 100,
            "{taken}: {bytes}"
        );
        assert_eq!(batch_length(&many[..1]), 1);
        assert_eq!(batch_length(&[]), 0);
    }
}
