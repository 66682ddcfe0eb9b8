//! What the runtime counts and measures, through the `metrics` facade (spec 6.7). Towns are no
//! labels: a host may run ten thousand. What one town does is in its spans and its status.

use std::time::Duration;

use gastown_core::{BreakerState, CommandError, Receipt, Town};
use metrics::{counter, gauge, histogram};

use crate::tick::TickReport;

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// It only grows.
    Counter,
    /// How many there are now.
    Gauge,
    /// How values are distributed.
    Histogram,
}

/// A metric that the runtime keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it means, with its unit.
    pub meaning: &'static str,
}

macro_rules! metrics_table {
    ($($constant:ident = $name:literal, $kind:ident, [$($label:literal),*], $meaning:literal;)*) => {
        $(pub(crate) const $constant: &str = $name;)*

        /// Every metric of the runtime; `docs/metrics.md` shows the same.
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: MetricKind::$kind,
            labels: &[$($label),*],
            meaning: $meaning,
        },)*];
    };
}

metrics_table! {
    TICKS = "gastown_ticks_total", Counter, [], "ticks that were committed";
    WAKEUPS = "gastown_wakeups_total", Counter, [], "times that a town's loop woke";
    EVENTS = "gastown_events_total", Counter, ["type", "outcome"], "events observed; outcome `changed` or `ignored`";
    COMMANDS = "gastown_commands_total", Counter, ["outcome"], "commands executed; outcome `accepted` or `refused`";
    ACTIONS = "gastown_actions_total", Counter, ["type", "rule"], "actions that the rules decided";
    EFFECTS = "gastown_effects_total", Counter, ["kind", "outcome"], "effects that ended; outcome `done`, `failed`, `unknown`, `aborted`, `withdrawn` or `unfinished` (stays in the outbox)";
    VIOLATIONS = "gastown_violations_total", Counter, ["invariant"], "invariants that did not hold after a tick";
    FROZEN = "gastown_towns_frozen_total", Counter, [], "towns that stand still because the engine broke its own rules";
    CONFLICTS = "gastown_commit_conflicts_total", Counter, [], "commits that somebody else overtook";
    FAILURES = "gastown_town_failures_total", Counter, [], "rounds of a town that failed, its store for example";
    HEARTBEATS = "gastown_heartbeats_total", Counter, [], "heartbeats that agents sent, before they are coalesced";
    EVACUATED = "gastown_agents_evacuated_total", Counter, ["outcome"], "agents seen out before an eviction; outcome `saved` or `unsaved`";
    TOWNS_OPEN = "gastown_towns_open", Gauge, [], "towns that run here";
    TOWNS_DRAINING = "gastown_towns_draining", Gauge, [], "towns whose container is being evicted";
    BREAKERS_OPEN = "gastown_breakers_open", Gauge, [], "towns whose circuit breaker is open or half open";
    EFFECTS_WAITING = "gastown_effects_waiting", Gauge, [], "effects that wait for their place";
    EFFECTS_RUNNING = "gastown_effects_running", Gauge, ["kind"], "effects that run";
    COMMANDS_WAITING = "gastown_commands_waiting", Gauge, [], "commands and tool calls that wait for a tick";
    TICK_EVENTS = "gastown_tick_events", Histogram, [], "events that one tick took";
    TICK_SECONDS = "gastown_tick_seconds", Histogram, [], "time to decide one tick, without its commit, in seconds";
    COMMIT_SECONDS = "gastown_commit_seconds", Histogram, [], "time to commit one tick, in seconds";
    EFFECT_SECONDS = "gastown_effect_seconds", Histogram, ["kind"], "time that one effect ran, in seconds";
}

/// Describes every metric to the recorder that the host has installed.
pub fn describe_metrics() {
    for metric in METRICS {
        let (name, meaning) = (metric.name, metric.meaning);
        match metric.kind {
            MetricKind::Counter => metrics::describe_counter!(name, meaning),
            MetricKind::Gauge => metrics::describe_gauge!(name, meaning),
            MetricKind::Histogram => metrics::describe_histogram!(name, meaning),
        }
    }
}

/// Counts what a committed tick did.
pub(crate) fn ticked(report: &TickReport) {
    counter!(TICKS).increment(1);
    // A tick takes a few hundred events at most.
    let events = u32::try_from(report.observed.len()).unwrap_or(u32::MAX);
    histogram!(TICK_EVENTS).record(f64::from(events));
    for (event_type, observed) in report.event_types.iter().zip(&report.observed) {
        let outcome = if observed.changed {
            "changed"
        } else {
            "ignored"
        };
        counter!(EVENTS, "type" => *event_type, "outcome" => outcome).increment(1);
    }
    for action in &report.actions {
        let rule = action.rule.to_string();
        counter!(ACTIONS, "type" => action.kind.type_name(), "rule" => rule).increment(1);
    }
    for violation in &report.violations {
        counter!(VIOLATIONS, "invariant" => violation.invariant).increment(1);
    }
}

/// Counts commands that were answered.
pub(crate) fn commanded(answers: &[Result<Receipt, CommandError>]) {
    for answer in answers {
        let outcome = if answer.is_ok() {
            "accepted"
        } else {
            "refused"
        };
        counter!(COMMANDS, "outcome" => outcome).increment(1);
    }
}

pub(crate) fn seconds(name: &'static str, span: Duration) {
    histogram!(name).record(span.as_secs_f64());
}

/// One town's share of a gauge; taken back when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    gauge: &'static str,
    counted: bool,
}

impl Share {
    pub(crate) fn new(gauge: &'static str) -> Self {
        Self {
            gauge,
            counted: false,
        }
    }

    pub(crate) fn set(&mut self, counted: bool) {
        match (self.counted, counted) {
            (false, true) => gauge!(self.gauge).increment(1.0),
            (true, false) => gauge!(self.gauge).decrement(1.0),
            (true, true) | (false, false) => {}
        }
        self.counted = counted;
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// What one town adds to the gauges.
#[derive(Debug)]
pub(crate) struct TownShares {
    open: Share,
    draining: Share,
    breaker: Share,
}

impl Default for TownShares {
    fn default() -> Self {
        Self {
            open: Share::new(TOWNS_OPEN),
            draining: Share::new(TOWNS_DRAINING),
            breaker: Share::new(BREAKERS_OPEN),
        }
    }
}

impl TownShares {
    pub(crate) fn opened(&mut self) {
        self.open.set(true);
    }

    pub(crate) fn show(&mut self, town: &Town) {
        self.draining.set(town.is_draining());
        let breaker = &town.state().breaker;
        self.breaker.set(breaker.state != BreakerState::Closed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> String {
        let mut table =
            String::from("| name | kind | labels | meaning |\n| --- | --- | --- | --- |\n");
        for metric in METRICS {
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
            };
            let labels = metric.labels.iter().map(|label| format!("`{label}`"));
            let labels = labels.collect::<Vec<_>>().join(", ");
            let Metric { name, meaning, .. } = metric;
            table.push_str(&format!("| `{name}` | {kind} | {labels} | {meaning} |\n"));
        }
        table
    }

    #[test]
    fn the_page_shows_every_metric() {
        let page = include_str!("../../docs/metrics.md");
        let table = table();
        assert!(
            page.contains(&table),
            "docs/metrics.md is to contain:\n{table}"
        );
    }
}
