//! Beads of a generated town.

use serde_json::{Map, Value, json};

use super::dice::Dice;
use super::form::{flag, pick, pick_some, time, when};
use super::{BeadSeed, TownSeed};

/// What other entities need to know of a bead, decided before any is written.
#[derive(Debug, Clone)]
pub(super) struct Shape {
    bead_type: &'static str,
    label: Option<&'static str>,
    pub(super) status: &'static str,
    pub(super) rig: Value,
    /// The bead that it was made for: a review's source, a repair's review, a step's molecule.
    pub(super) other: Value,
    /// The convoy that an issue tracks.
    pub(super) convoy: Option<Value>,
}

impl Shape {
    pub(super) fn is_issue(&self) -> bool {
        self.bead_type == "issue"
    }

    fn is_plain(&self) -> bool {
        self.is_issue() && self.label.is_none()
    }

    pub(super) fn is_review(&self) -> bool {
        self.bead_type == "merge_request"
    }

    pub(super) fn is_convoy(&self) -> bool {
        self.bead_type == "convoy"
    }

    pub(super) fn is_repair(&self) -> bool {
        self.label
            .is_some_and(|label| ["gt:rework", "gt:pr-feedback", "gt:pr-conflict"].contains(&label))
    }

    pub(super) fn is_step(&self) -> bool {
        self.label == Some("gt:molecule-step")
    }

    pub(super) fn is_open(&self) -> bool {
        !["closed", "failed"].contains(&self.status)
    }
}

impl TownSeed {
    /// The shapes of all beads; in a coherent town they fit each other.
    pub(super) fn shapes(&self) -> Vec<Shape> {
        let count = self.beads.len();
        let mut shapes: Vec<Shape> = self
            .beads
            .iter()
            .map(|seed| {
                let (bead_type, label) = seed.sort();
                Shape {
                    bead_type,
                    label,
                    status: seed.status(),
                    rig: pick("r", seed.rig, self.rigs.into()),
                    other: pick_some("b", seed.other, count),
                    convoy: None,
                }
            })
            .collect();
        if self.is_coherent() {
            self.join(&mut shapes);
        }
        for shape in shapes.iter_mut().filter(|shape| shape.is_convoy()) {
            shape.rig = Value::Null;
        }
        shapes
    }

    /// Leads names to what is there: reviews to issues in review, repairs to reviews, steps to
    /// molecules, issues to convoys.
    fn join(&self, shapes: &mut [Shape]) {
        let of = |shapes: &[Shape], fits: fn(&Shape) -> bool| -> Vec<usize> {
            let fitting = shapes.iter().enumerate().filter(|(_, shape)| fits(shape));
            fitting.map(|(n, _)| n).collect()
        };
        let issues = of(shapes, Shape::is_plain);
        let reviews = of(shapes, Shape::is_review);
        let convoys = of(shapes, |shape| shape.is_convoy() && shape.is_open());
        let molecules = of(shapes, |shape| shape.bead_type == "molecule");
        for (n, seed) in self.beads.iter().enumerate() {
            let Some(shape) = shapes.get(n).cloned() else {
                continue;
            };
            let among = |list: &[usize]| {
                let at = usize::from(seed.other).checked_rem(list.len())?;
                list.get(at).copied()
            };
            let mut dice = Dice::new(seed.more.rotate_left(20));
            let made_for = if shape.is_review() {
                among(&issues)
            } else if shape.is_repair() {
                among(&reviews)
            } else if shape.is_step() {
                among(&molecules)
            } else {
                None
            };
            let rig = made_for.and_then(|at| Some(shapes.get(at)?.rig.clone()));
            if let (Some(at), true) = (made_for, shape.is_review() && shape.is_open())
                && let Some(source) = shapes.get_mut(at)
                && dice.of(5) > 0
            {
                source.status = "in_review";
            }
            let convoy = among(&convoys).filter(|_| shape.is_plain() && dice.of(3) == 0);
            if let Some(shape) = shapes.get_mut(n) {
                if let (Some(at), Some(rig)) = (made_for, rig) {
                    shape.other = format!("b{at}").into();
                    shape.rig = rig;
                }
                shape.convoy = convoy.map(|at| format!("b{at}").into());
            }
        }
    }

    pub(super) fn bead(&self, n: usize, seed: &BeadSeed, shapes: &[Shape]) -> Value {
        let Some(shape) = shapes.get(n) else {
            return Value::Null;
        };
        let mut labels: Vec<&str> = shape.label.into_iter().collect();
        if flag(seed.flags, 0) && flag(seed.flags, 1) && flag(seed.flags, 2) {
            labels.push("gt:held");
        }
        let mut dice = Dice::new(seed.more);
        let by = if shape.label == Some("gt:triage") {
            "patrol"
        } else {
            dice.pick(&["ann", "system", "patrol"])
                .copied()
                .unwrap_or("ann")
        };
        let mut bead = json!({
            "id": format!("b{n}"), "type": shape.bead_type, "status": shape.status,
            "title": format!("bead {n}"), "rig_id": shape.rig, "created_by": by,
            "assignee": when(flag(seed.flags, 10), pick("a", seed.agent, self.agents.len())),
            "priority": (["low", "medium", "high", "critical"].get(usize::from(seed.flags % 4))),
            "labels": labels, "dispatch_attempts": seed.attempts,
            "created_at": time(seed.age_seconds.saturating_add(seed.touched_seconds.max(0))),
            "updated_at": time(seed.touched_seconds),
            "last_dispatch_attempt_at": when(seed.attempts > 0, time(seed.age_seconds)),
            "told": told(&mut dice),
        });
        if let Some(object) = bead.as_object_mut() {
            self.add_work(n, seed, shape, shapes, dice, object);
        }
        bead
    }

    /// What the type and the sort of work add.
    fn add_work(
        &self,
        n: usize,
        seed: &BeadSeed,
        shape: &Shape,
        shapes: &[Shape],
        mut dice: Dice,
        object: &mut Map<String, Value>,
    ) {
        let head = dice.pick(&["abc", "old"]).copied().unwrap_or("abc");
        let mut add = |name: &str, value: Value| object.insert(name.into(), value);
        match (shape.bead_type, shape.label) {
            ("merge_request", _) => {
                add("review", self.review(n, seed, shape, shapes));
            }
            ("convoy", _) => {
                add("convoy", self.convoy(n, seed, dice));
            }
            ("escalation", _) => {
                let severity = dice.pick(&["low", "medium", "high", "critical"]);
                add(
                    "escalation",
                    json!({"severity": severity, "re_escalations": dice.of(4), "category": "help",
                           "notified_at": when(dice.one_in(2), time(dice.age(&[100, 20_000])))}),
                );
            }
            ("message", _) => {
                add("message", json!({"to": pick_some("a", seed.agent, 3)}));
            }
            (_, Some("gt:rework")) => {
                add("parent_id", shape.other.clone());
                add("metadata", json!({"mr_bead_id": shape.other}));
            }
            (_, Some("gt:pr-feedback")) => {
                add("parent_id", shape.other.clone());
                add(
                    "metadata",
                    json!({"pr_feedback_for": shape.other, "head_sha": head}),
                );
            }
            (_, Some("gt:pr-conflict")) => {
                add("parent_id", shape.other.clone());
                add(
                    "metadata",
                    json!({"mr_bead_id": shape.other, "head_sha": head}),
                );
            }
            (_, Some("gt:molecule-step")) => {
                add("parent_id", shape.other.clone());
            }
            (_, Some("gt:triage-request")) => {
                let kind = dice.pick(&["help_request", "stuck_agent", "crash_loop", "escalation"]);
                add(
                    "metadata",
                    json!({"triage_type": kind, "carries": dice.of(4), "session": 1,
                           "agent_id": pick_some("a", seed.agent, self.agents.len()),
                           "hooked_bead_id": pick_some("b", seed.other, self.beads.len())}),
                );
            }
            _ => {}
        }
    }

    fn convoy(&self, n: usize, seed: &BeadSeed, mut dice: Dice) -> Value {
        let state = dice.pick(&["created", "none", "asked", "failed"]);
        let at = dice.age(&[30, 500]);
        let tries = dice.of(12);
        let branches: Map<String, Value> = (0..self.rigs)
            .filter(|_| dice.one_in(3))
            .map(|rig| {
                let branch = json!({"state": state, "at": time(at), "tries": tries});
                (format!("r{rig}"), branch)
            })
            .collect();
        json!({
            "staged": flag(seed.flags, 4) && flag(seed.flags, 7),
            "ready_to_land": flag(seed.flags, 5), "landing_ordered": flag(seed.flags, 8),
            "merge_mode": if flag(seed.flags, 3) { "review-and-merge" } else { "review-then-land" },
            "feature_branch": when(flag(seed.flags, 6), format!("convoy/x/b{n}/head").into()),
            "branches": branches,
            "landing": {"attempts": dice.of(6), "last_attempt_at": time(dice.age(&[10, 200, 4_000]))},
        })
    }
}

/// What a person was told: sometimes something that is true no longer.
fn told(dice: &mut Dice) -> Value {
    let categories = [
        "no_rig",
        "blocked_by_failed",
        "lineage_spent",
        "merge_conflict",
        "late_done",
        "convoy_empty",
    ];
    if dice.one_in(4) {
        let category = dice.pick(&categories).copied().unwrap_or("no_rig");
        json!({category: time(900)})
    } else {
        json!({})
    }
}

impl BeadSeed {
    fn status(&self) -> &'static str {
        match self.status {
            0..=3 => "open",
            4 | 5 => "in_progress",
            // Of other beads than plain issues only a loaded town has it.
            6 => "in_review",
            7 | 8 => "closed",
            _ => "failed",
        }
    }

    fn sort(&self) -> (&'static str, Option<&'static str>) {
        match self.kind {
            0..=7 => ("issue", None),
            8..=11 => ("merge_request", None),
            12 | 13 => ("convoy", None),
            14 => ("issue", Some("gt:rework")),
            15 => ("issue", Some("gt:pr-feedback")),
            16 => ("issue", Some("gt:pr-conflict")),
            17 => ("issue", Some("gt:triage-request")),
            18 => ("issue", Some("gt:pr-fixup")),
            19 => ("escalation", None),
            20 => ("message", None),
            21 => ("issue", Some("gt:triage")),
            22 => ("molecule", None),
            _ => ("issue", Some("gt:molecule-step")),
        }
    }
}
