//! The properties of spec 5.2 over generated towns.
//!
//! The number of cases comes from `PROPTEST_CASES`; CI's long mode sets it to 10,000 and more.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::{
    Action, ActionKind, Timestamp, Town, check, check_step, explain, next_wakeup, reconcile,
    settle, wire,
};
use gastown_testkit::towns::{now, reversed, seeds, towns};
use proptest::prelude::*;

fn text(actions: &[Action]) -> String {
    serde_json::to_string(actions).unwrap()
}

fn rules(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .map(|action| format!("{}:{}", action.rule, action.kind.type_name()))
        .collect()
}

/// What P4 calls the record of a bead or agent.
fn records(town: &Town) -> BTreeMap<String, String> {
    let beads = town.beads().map(|bead| {
        let holders: Vec<(&str, u64)> = town
            .holders(&bead.id)
            .map(|agent| (agent.id.as_str(), agent.session))
            .collect();
        let record = format!("{:?} {holders:?} {}", bead.status, bead.dispatch_attempts);
        (format!("bead {}", bead.id), record)
    });
    let agents = town.agents().map(|agent| {
        let record = format!(
            "{:?} {:?} {} {}",
            agent.status, agent.hook, agent.session, agent.dispatch_attempts
        );
        (format!("agent {}", agent.id), record)
    });
    beads.chain(agents).collect()
}

proptest! {
    #[test]
    fn p1_determinism(seed in seeds(0..=40)) {
        let town = seed.town();
        let actions = text(&reconcile(&town, now()));
        prop_assert_eq!(&actions, &text(&reconcile(&town, now())));
        let other = wire::snapshot_from_value(reversed(seed.snapshot())).unwrap();
        prop_assert_eq!(&actions, &text(&reconcile(&other, now())));
    }

    #[test]
    fn p2_applicable_and_p3_settles(mut town in towns(0..=60)) {
        let settled = settle(&mut town, now());
        prop_assert_eq!(settled.fault, None, "{:?}", rules(&settled.actions));
        prop_assert!(reconcile(&town, now()).is_empty());
        let healing: Vec<_> = check(&town, now())
            .into_iter()
            .filter(|found| ["I2", "I4", "I5", "I6", "I7"].contains(&found.invariant))
            .collect();
        prop_assert_eq!(healing, vec![]);
    }

    #[test]
    fn p4_no_contradiction(mut town in towns(0..=40)) {
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut dispatched: BTreeSet<String> = BTreeSet::new();
        let mut all: Vec<String> = Vec::new();
        for _ in 0..=town.policy().settle_limit {
            for (name, record) in records(&town) {
                let past = seen.entry(name.clone()).or_default();
                if past.last() != Some(&record) {
                    prop_assert!(!past.contains(&record), "{} returns to {}: {:?}", name, record, past);
                    past.push(record);
                }
            }
            let before = town.clone();
            let actions = reconcile(&town, now());
            all.extend(rules(&actions));
            for action in &actions {
                if let ActionKind::DispatchAgent(dispatch) = &action.kind {
                    for name in [dispatch.agent_id.as_str(), dispatch.bead_id.as_str()] {
                        prop_assert!(
                            dispatched.insert(name.to_string()),
                            "{} goes twice: {:?}",
                            name,
                            all
                        );
                    }
                }
                town.apply(action, now()).unwrap();
            }
            prop_assert_eq!(check_step(&before, &actions, &town, now()), vec![]);
            if actions.is_empty() {
                break;
            }
        }
    }

    #[test]
    fn p5_sound_and_p6_tight_wakeup(mut town in towns(0..=25), at in 0.0f64..1.0) {
        let _ = settle(&mut town, now());
        let wakeup = next_wakeup(&town, now());
        let horizon = wakeup.unwrap_or_else(|| gastown_testkit::towns::after(40 * 86_400));
        let span = horizon.as_millis() - now().as_millis();
        prop_assert!(span > 0, "a settled town is due later");
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
        let between = Timestamp::from_millis(now().as_millis() + (span as f64 * at) as i64);
        if between < horizon {
            prop_assert_eq!(rules(&reconcile(&town, between)), Vec::<String>::new());
        }
        if let Some(wakeup) = wakeup {
            prop_assert!(!reconcile(&town, wakeup).is_empty());
        }
    }

    #[test]
    fn p7_no_silent_stall(mut town in towns(0..=25), which in any::<prop::sample::Index>()) {
        let _ = settle(&mut town, now());
        let live: Vec<_> = town.live_beads().collect();
        prop_assume!(!live.is_empty());
        let bead = which.get(&live);
        let explanation = explain(&town, now(), &bead.id).unwrap();
        prop_assert!(
            !explanation.waits_for.is_empty(),
            "{:?} waits for nothing: {}",
            bead,
            wire::snapshot_to_value(&town).unwrap()
        );
    }

    #[test]
    fn p16_explain_is_decide(mut town in towns(1..=12), which in any::<prop::sample::Index>()) {
        let _ = settle(&mut town, now());
        let live: Vec<_> = town.live_beads().map(|bead| bead.id.clone()).collect();
        prop_assume!(!live.is_empty());
        let bead_id = which.get(&live);
        let explanation = explain(&town, now(), bead_id).unwrap();
        let Some(next) = explanation.next_rule else { return Ok(()) };
        let was = serde_json::to_string(town.bead(bead_id).unwrap()).unwrap();
        let mut at = now();
        for _ in 0..300 {
            let wakeup = next_wakeup(&town, at);
            prop_assert!(wakeup.is_some_and(|wakeup| wakeup <= next.at), "{:?} after {:?}", wakeup, next);
            at = wakeup.unwrap();
            let settled = settle(&mut town, at);
            if at == next.at && settled.actions.iter().any(|action| action.rule == next.rule) {
                return Ok(());
            }
            prop_assert_eq!(&was, &serde_json::to_string(town.bead(bead_id).unwrap()).unwrap());
        }
        prop_assert!(false, "{:?} never fires", next);
    }

    #[test]
    fn i9_no_sentinel_in_actions_effects_and_rows(mut town in towns(0..=30)) {
        let settled = settle(&mut town, now());
        let texts = [
            text(&settled.actions),
            serde_json::to_string(&settled.effects).unwrap(),
            format!("{:?}", town.take_changes()),
        ];
        for text in texts {
            prop_assert!(!text.contains("\"__"), "a reserved word: {}", text);
            for field in ["bead_id", "rig_id", "agent_id", "convoy_id", "subject", "id"] {
                prop_assert!(!text.contains(&format!("\"{field}\":\"\"")), "an empty {}: {}", field, text);
            }
        }
    }

    #[test]
    fn rows_round_trip(mut town in towns(0..=40)) {
        let _ = settle(&mut town, now());
        let again = wire::snapshot_from_value(wire::snapshot_to_value(&town).unwrap()).unwrap();
        prop_assert_eq!(&again, &town);
    }
}
