//! What has to happen in some state of a small town, else its search shows nothing.

use gastown_core::{Bead, BreakerState, Review, Work};

use super::Sometimes;
use super::scenarios::Scenario;
use super::small_town::{State, is_of_the_current_session};

/// What happens sometimes in a scenario, with or without faults and human acts.
pub(super) fn of(scenario: Scenario, faults: u8) -> Vec<Sometimes<State>> {
    let mut all: Vec<Sometimes<State>> = vec![
        ("a person is told", |state| {
            let mut beads = state.town.live_beads();
            beads.any(|bead| bead.escalation().is_some())
        }),
        ("the breaker opens", |state| {
            state.town.state().breaker.state != BreakerState::Closed
        }),
    ];
    // Whether the work of a review without a rig was merged can't be found out.
    if scenario != Scenario::NoRig {
        all.push(("a review is merged", |state| {
            any_review(state, |review| review.merge_commit.is_some())
        }));
    }
    if matches!(scenario, Scenario::Convoy | Scenario::Town) {
        all.push(("a convoy lands", |state| {
            let mut beads = state.town.beads();
            beads.any(|bead| bead.convoy().is_some() && !bead.is_live())
        }));
    }
    if faults == 0 {
        return all;
    }
    if matches!(
        scenario,
        Scenario::PullRequest | Scenario::Blocked | Scenario::Town
    ) {
        all.push(("a merge is refused", |state| {
            any_review(state, |review| review.auto_merge.refusals > 0)
        }));
    }
    all.extend::<[Sometimes<State>; 7]>([
        ("a rework is made", |state| {
            let mut beads = state.town.beads();
            beads.any(|bead| matches!(bead.work(), Some(Work::Rework(_))))
        }),
        ("an agent is lost", |state| state.happened.contains("dies")),
        ("the host crashes", |state| state.happened.contains("crash")),
        ("a result is lost", |state| state.happened.contains("lost")),
        ("a result comes late", |state| {
            state.happened.contains("late")
        }),
        ("an exit of an older session is under way", |state| {
            let late = state.late.as_ref();
            late.is_some_and(|late| !is_of_the_current_session(&state.town, late))
        }),
        ("a town drains", |state| state.town.is_draining()),
    ]);
    all
}

fn any_review(state: &State, is_so: impl Fn(&Review) -> bool) -> bool {
    state.town.beads().filter_map(Bead::review).any(is_so)
}
