//! Every metric and span that is documented comes from towns that run, and no other (spec 6.7).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gastown_core::AgentRuntimeError;
use gastown_core::events::ExitStatus;
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use tokio::time::sleep;
use tracing::span::{Attributes, Id, Record};

use super::bench::{Bench, World};
use crate::telemetry::{METRICS, MetricKind};

/// Keeps the spans of the runtime: name and fields.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<BTreeMap<&'static str, BTreeSet<&'static str>>>>);

impl tracing::Subscriber for Spans {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("gastown_runtime")
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let metadata = span.metadata();
        let fields = metadata.fields().iter().map(|field| field.name());
        let mut spans = self.0.lock().unwrap();
        spans.insert(metadata.name(), fields.collect());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, _: &tracing::Event<'_>) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Names, kinds and labels of metrics, as lines.
type Shown = BTreeSet<String>;

fn shown(name: &str, kind: &str, labels: impl IntoIterator<Item = String>) -> String {
    let labels: BTreeSet<String> = labels.into_iter().collect();
    format!("{kind} {name} {labels:?}")
}

fn documented() -> Shown {
    let metric = |metric: &crate::telemetry::Metric| {
        let kind = match metric.kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            // Prometheus shows a histogram without buckets as a summary.
            MetricKind::Histogram => "summary",
        };
        let labels = metric.labels.iter().map(|label| label.to_string());
        shown(metric.name, kind, labels)
    };
    METRICS.iter().map(metric).collect()
}

/// What Prometheus' text format has.
fn emitted(text: &str) -> Shown {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let kinds = kinds.filter_map(|line| line.split_once(' '));
    kinds
        .map(|(name, kind)| {
            let line = text.lines().find(|line| {
                let rest = line.strip_prefix(name).unwrap_or_default();
                rest.starts_with(['{', ' '])
            });
            let inner = line.and_then(|line| line.split_once('{'));
            let inner = inner.and_then(|(_, rest)| rest.split_once('}'));
            let pairs = inner.map_or("", |(inner, _)| inner).split("\",");
            let names = pairs.filter_map(|pair| pair.split_once('='));
            let labels = names.map(|(label, _)| label.to_owned());
            shown(name, kind, labels.filter(|label| label != "quantile"))
        })
        .collect()
}

/// A town that works, is overtaken, fails and is evicted.
async fn a_full_life() {
    let bench = Bench::new().await;
    bench.store.overtake_next_commit();
    bench.sling("Fix it").await;
    let first = bench.at_work().await;
    bench.store.fail_next_commit();
    assert!(bench.try_sling("Fix that", "r1").await.is_err());
    let done = json!({"branch": "work"});
    assert!(bench.tool(&first, "gt_done", done).await.is_ok());
    bench.exits(&first, ExitStatus::Completed).await;
    let second = bench.at_work().await;
    bench.evict("n1").await;
    bench.leaves(&second).await;
    bench.all_have_left().await;
    bench.ready("n1").await;
}

/// A town whose starts are refused until its breaker opens.
async fn a_broken_runtime() {
    let bench = Bench::new().await;
    let reason = || "scripted".to_owned();
    for _ in 0..40 {
        let refusal = AgentRuntimeError::Rejected { reason: reason() };
        bench.agents.refuse_next_start(refusal);
    }
    for number in 0..8 {
        bench.sling(&format!("Issue {number}")).await;
    }
    let is_open = |town: &gastown_core::Town| {
        town.state().breaker.state != gastown_core::BreakerState::Closed
    };
    bench.until("the breaker is open", is_open).await;
    bench.settled().await;
}

/// A town that does not come to rest is frozen.
async fn a_frozen_town() {
    let bench = Bench::with_settle_limit(World::new(), 1).await;
    let bead = bench.sling("First").await;
    bench.next_start().await;
    bench.settled().await;
    let both = tokio::join!(bench.close_bead(&bead), bench.try_sling("Fix it", "r1"));
    assert!(both.0.is_err() && both.1.is_err());
}

/// A cycle that came from outside, and that only a person can undo.
async fn a_violation() {
    let bench = Bench::of(
        "rig r1
        bead b1 issue open rig_id=r1
        bead b2 issue open rig_id=r1
        edge b1 blocks b2
        edge b2 blocks b1",
    )
    .await;
    sleep(Duration::from_secs(10)).await;
    drop(bench);
}

#[tokio::test(start_paused = true)]
async fn every_documented_metric_and_span_is_emitted_and_no_other() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let spans = Spans::default();
    // With a single subscriber, whichever thread comes to a span first decides for all whether it
    // is of interest; other tests run in threads that have none.
    let _another = tracing::Dispatch::new(spans.clone());
    let _traced = tracing::subscriber::set_default(spans.clone());
    a_full_life().await;
    a_broken_runtime().await;
    a_frozen_town().await;
    a_violation().await;
    let (documented, emitted) = (documented(), emitted(&metrics.render()));
    let missing: Vec<_> = documented.difference(&emitted).collect();
    let unknown: Vec<_> = emitted.difference(&documented).collect();
    assert!(
        missing.is_empty() && unknown.is_empty(),
        "documented only: {missing:#?}, emitted only: {unknown:#?}"
    );
    let spans = spans.0.lock().unwrap().clone();
    let mut table = String::new();
    for (name, fields) in [
        ("tick", ["town", "number"]),
        ("rule", ["rule", "actions"]),
        ("commit", ["town", "version"]),
        ("effect", ["town", "key"]),
    ] {
        let expected = BTreeSet::from(fields);
        assert_eq!(spans.get(name), Some(&expected), "{name}");
        let [first, second] = fields;
        table.push_str(&format!("| `{name}` | `{first}`, `{second}` |\n"));
    }
    assert_eq!(spans.len(), 4, "{spans:?}");
    let page = include_str!("../../../../docs/metrics.md");
    for line in table.lines() {
        assert!(page.contains(line), "docs/metrics.md is to contain {line}");
    }
}
