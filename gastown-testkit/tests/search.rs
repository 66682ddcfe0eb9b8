//! Small towns, searched: every order of what may happen, up to a number of moves; far with
//! `GASTOWN_LONG=1`.

// Helpers of tests may stop a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]
#![allow(clippy::arithmetic_side_effects, clippy::wildcard_enum_match_arm)]

use gastown_testkit::search::{
    Found, Limits, Model, Order, Scenario, SmallTown, Sometimes, replay, scenarios, search,
};
use serde_json::json;

fn explored(scenario: Scenario, faults: u8, limits: Limits) -> Found {
    let found = search(&SmallTown::new(scenario, faults), limits);
    if let Some(broken) = &found.broken {
        panic!("{}\n  {}", broken.what, broken.path.join("\n  "));
    }
    found
}

/// P3, P5, P7, P8, P9, P10, P15 and every invariant in every state within so many moves of the
/// beginning, one of them a fault or a human act. How many states that are is known: another number
/// means that the engine, or the model, reaches less or more than it did, and has to be looked at. So
/// is what never happens among them.
#[test]
fn nothing_breaks_near_the_beginning_of_any_small_town() {
    let mut counted = Vec::new();
    for (name, scenario) in scenarios() {
        let moves = if scenario == Scenario::Town { 2 } else { 3 };
        let limits = Limits {
            states_max: usize::MAX,
            moves_max: Some(moves),
            order: Order::BreadthFirst,
            calm_steps_max: 400,
        };
        let found = explored(scenario, 1, limits);
        assert!(found.complete, "{name}: {found:?}");
        let late = [
            "the work of a lost agent goes on",
            "a result that comes twice is ignored",
        ];
        let (too_late, never): (Vec<_>, Vec<_>) = found
            .never
            .into_iter()
            .partition(|name| late.contains(name));
        assert_eq!(too_late, late, "{name}");
        counted.push((name, moves, found.states, never.join(", ")));
    }
    // Most of what happens later takes more moves.
    let known = [
        (
            "pull-request",
            3,
            173,
            "the engine merges, a merge is refused, a person's merge is seen, a person's close fails a \
             review, a rework is made",
        ),
        (
            "blocked",
            3,
            406,
            "the engine merges, a merge is refused, an exit of an older session is under way",
        ),
        ("direct", 3, 390, ""),
        (
            "no-rig",
            3,
            173,
            "nobody can tell whether it was merged, an exit of an older session is under way",
        ),
        (
            "convoy",
            3,
            252,
            "a landing is verified, a convoy lands, a rework is made, an exit of an older session is \
             under way",
        ),
        (
            "town",
            2,
            325,
            "the engine merges, a landing is verified, a convoy lands, a merge is refused, an exit of an \
             older session is under way",
        ),
    ]
    .map(|(name, moves, states, never)| (name, moves, states, never.to_string()));
    assert_eq!(counted, known);
}

/// The same, far: two faults along each path, some of everything.
#[test]
fn nothing_breaks_far_away() {
    if std::env::var_os("GASTOWN_LONG").is_none() {
        return;
    }
    for (name, scenario) in scenarios() {
        let limits = Limits {
            states_max: 500_000,
            moves_max: None,
            order: Order::Scattered,
            calm_steps_max: 400,
        };
        let found = explored(scenario, 2, limits);
        assert!(found.never.is_empty(), "{name} never: {:?}", found.never);
    }
}

/// A calm world that is given too little time shows what a counterexample is: it can be gone again.
#[test]
fn a_counterexample_is_replayed_by_its_moves() {
    let model = SmallTown::new(Scenario::Blocked, 1);
    let enough = (1..400).find(|steps| replay(&model, &[], *steps).is_ok());
    let limits = Limits {
        states_max: 10_000,
        moves_max: None,
        order: Order::BreadthFirst,
        calm_steps_max: enough.expect("the beginning settles"),
    };
    for order in [Order::BreadthFirst, Order::Scattered] {
        let broken = search(&model, Limits { order, ..limits }).broken.unwrap();
        assert!(broken.what.starts_with("P8"), "{broken:?}");
        assert_eq!(broken.moves.len(), broken.path.len());
        let (_, before) = broken.moves.split_last().expect("the beginning is sound");
        let gone = |moves: &[usize]| replay(&model, moves, limits.calm_steps_max);
        assert_eq!(gone(&broken.moves).err(), Some(broken.clone()), "{order:?}");
        assert!(gone(before).is_ok(), "only the last move breaks it");
    }
    let nowhere = replay(&model, &[1_000], 400).err().unwrap();
    assert!(nowhere.what.contains("no move 1000"), "{nowhere:?}");
}

/// A host searches with its own thresholds and settings; what they can't be is said.
#[test]
fn a_host_searches_with_its_own_policy_and_settings() {
    let town = || SmallTown::new(Scenario::PullRequest, 1);
    let limits = Limits {
        states_max: 1_000,
        moves_max: None,
        order: Order::BreadthFirst,
        calm_steps_max: 400,
    };
    let steps = |town: &SmallTown| {
        let found = search(town, limits);
        assert_eq!(found.broken, None);
        found.steps
    };
    let own = town()
        .with_policy(
            json!({"repair_rounds": 2, "stuck_review": "PT3M59.999S", "merge_refusal_limit": 1}),
        )
        .and_then(|town| town.with_config(json!({"refinery": {"code_review": false}})))
        .unwrap();
    assert_ne!(steps(&own), steps(&town()), "it is another town");

    let refused = |policy| town().with_policy(policy).unwrap_err();
    let off_grid = refused(json!({"stuck_review": "PT30M"}));
    assert!(
        off_grid.contains("policy.stuck_review: PT30M"),
        "{off_grid}"
    );
    // What comes of several times, or after ever longer ones, is not beyond what is told apart.
    for (policy, why) in [
        (
            json!({"poll_quiet_interval": "PT3M59.999S"}),
            "policy.poll_quiet_interval: longer than pr_poll_interval",
        ),
        (
            json!({"pr_waiting_notice": "PT59.999S"}),
            "policy.pr_waiting_notice: reminders come after ever longer times",
        ),
        (json!({"probe_limit": 9}), "policy.probe_interval: "),
        (
            json!({"forge_backoff_max": "P3000D"}),
            "policy.forge_backoff: doubled without end",
        ),
    ] {
        let told = refused(policy);
        assert!(told.contains(why), "{told}");
        assert!(!told.contains("on the grid"), "{told}");
    }
    // A time is a time, however it is written: as the engine writes it, too.
    let written = ["PT0M59.999S", "PT59.999S"].map(|minute| {
        let town = town().with_policy(json!({"stuck_review": minute}));
        steps(&town.unwrap())
    });
    assert_eq!(written[0], written[1]);
    let delayed =
        |minutes| town().with_config(json!({"refinery": {"auto_merge_delay_minutes": minutes}}));
    let never = |town: &SmallTown| {
        let limits = Limits {
            states_max: 2_000,
            order: Order::Scattered,
            ..limits
        };
        let found = search(town, limits);
        assert_eq!(found.broken, None);
        found.never
    };
    // Ten minutes of green are told from six.
    let never = never(&delayed(json!(10)).unwrap());
    assert!(!never.contains(&"the engine merges"), "{never:?}");
    let beside = delayed(json!(0.5)).unwrap_err();
    assert!(beside.contains("auto_merge_delay_minutes"), "{beside}");
    let long = delayed(json!(200)).unwrap_err();
    assert!(long.contains("200 minutes"), "{long}");
    let unknown = refused(json!({"stuck_reviews": "PT0S"}));
    assert!(unknown.contains("stuck_reviews"), "{unknown}");
    let config = town().with_config(json!({"merge_strategy": "by hand"}));
    assert!(config.unwrap_err().contains("merge_strategy"));
}

/// Numbers that grow by one or two, and a step that panics.
struct Panics;

impl Model for Panics {
    type State = u128;
    type Move = u128;

    fn start(&self) -> Result<u128, String> {
        Ok(0)
    }
    fn moves(&self, state: &u128) -> Vec<u128> {
        match state {
            0..4 => vec![1, 2],
            other => panic!("no moves from {other}"),
        }
    }
    fn take(&self, state: &u128, step: &u128) -> Result<u128, String> {
        Ok(state + step)
    }
    fn digest(&self, state: &u128) -> Result<u128, String> {
        Ok(*state)
    }
    fn always(&self, _: &u128) -> Result<(), String> {
        Ok(())
    }
    fn calm(&self, _: &u128) -> Result<Option<u128>, String> {
        Ok(None)
    }
    fn is_settled(&self, _: &u128) -> bool {
        true
    }
    fn sometimes(&self) -> Vec<Sometimes<u128>> {
        Vec::new()
    }
}

/// A panic is a counterexample as any other, with its path.
#[test]
fn a_panic_is_a_counterexample() {
    let limits = Limits {
        states_max: 100,
        moves_max: None,
        order: Order::BreadthFirst,
        calm_steps_max: 4,
    };
    let broken = search(&Panics, limits).broken.unwrap();
    assert_eq!(broken.what, "P12: panic: no moves from 4");
    assert_eq!(broken.moves, [1, 1]);
    assert_eq!(broken.path, ["2", "2"]);
}
