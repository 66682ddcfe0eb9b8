//! What has to happen in some state of a small town, else its search shows nothing.

use gastown_core::reviews::ReviewOutcome;
use gastown_core::{
    Bead, BeadStatus, BranchState, BreakerState, ConvoyBranch, ReasonCode, Review, Work,
};

use super::Sometimes;
use super::scenarios::Scenario;
use super::small_town::{Fate, State, is_of_the_current_session};

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
    let has_pull_requests = matches!(
        scenario,
        Scenario::PullRequest | Scenario::Blocked | Scenario::Town
    );
    let lands = matches!(
        scenario,
        Scenario::Direct | Scenario::Convoy | Scenario::Town
    );
    let has_no_rig = matches!(scenario, Scenario::NoRig | Scenario::Town);
    if has_pull_requests {
        all.push(("the engine merges", |state| {
            ended_with(state, Fate::MergedByEngine, is_merged)
        }));
    }
    if lands {
        all.push(("a landing is verified", |state| {
            let by_itself = |bead: &Bead, review: &Review| {
                is_merged(bead) && review.pr_url.is_none() && review.merge_commit.is_some()
            };
            any_review(state, by_itself)
        }));
    }
    if scenario == Scenario::NoRig {
        all.push(("nobody can tell whether it was merged", |state| {
            any_review(state, |bead, _| {
                bead.told.contains_key(&ReasonCode::MergeUnverified)
            })
        }));
    }
    if matches!(scenario, Scenario::Convoy | Scenario::Town) {
        all.extend::<[Sometimes<State>; 2]>([
            ("a convoy lands", |state| {
                let mut beads = state.town.beads();
                beads.any(|bead| bead.convoy().is_some() && !bead.is_live())
            }),
            ("a branch is made", |state| {
                any_branch(state, |branch| branch.state == BranchState::Created)
            }),
        ]);
    }
    if faults == 0 {
        return all;
    }
    if has_pull_requests {
        all.extend::<[Sometimes<State>; 3]>([
            ("a merge is refused", |state| {
                any_review(state, |_, review| review.auto_merge.refusals > 0)
            }),
            ("a person's merge is seen", |state| {
                ended_with(state, Fate::MergedByHand, is_merged)
            }),
            ("a person's close fails a review", |state| {
                ended_with(state, Fate::Closed, |bead| {
                    let failure = bead.failure.as_ref();
                    failure.is_some_and(|failure| failure.code == ReasonCode::PrClosed)
                })
            }),
        ]);
    }
    if matches!(scenario, Scenario::Convoy | Scenario::Town) {
        all.push(("a branch is asked for again", |state| {
            any_branch(state, |branch| {
                branch.tries > 1 && branch.state == BranchState::Asked
            })
        }));
    }
    if has_no_rig {
        all.push(("a review without a rig ends", |state| {
            any_review(state, |bead, _| bead.rig_id.is_none() && !bead.is_live())
        }));
    }
    all.extend::<[Sometimes<State>; 10]>([
        ("a rework is made", |state| {
            let mut beads = state.town.beads();
            beads.any(|bead| matches!(bead.work(), Some(Work::Rework(_))))
        }),
        ("an agent is lost", |state| state.happened.contains("dies")),
        ("the work of a lost agent goes on", |state| {
            let mut sessions = state.sessions.values();
            state.happened.contains("dies") && sessions.any(|session| session.number > 1)
        }),
        ("the host crashes", |state| state.happened.contains("crash")),
        ("a result is lost", |state| state.happened.contains("lost")),
        ("a result comes late", |state| {
            state.happened.contains("late")
        }),
        ("a result that comes twice is ignored", |state| {
            state.happened.contains("ignored")
        }),
        ("an exit of an older session is under way", |state| {
            let late = state.late.as_ref();
            late.is_some_and(|late| !is_of_the_current_session(&state.town, late))
        }),
        ("a town drains", |state| state.town.is_draining()),
        ("a drain ends", |state| {
            state.happened.contains("evicted") && !state.town.is_draining()
        }),
    ]);
    all
}

fn any_branch(state: &State, is_so: impl Fn(&ConvoyBranch) -> bool) -> bool {
    let mut convoys = state.town.beads().filter_map(Bead::convoy);
    convoys.any(|convoy| convoy.branches.values().any(&is_so))
}

fn any_review(state: &State, is_so: impl Fn(&Bead, &Review) -> bool) -> bool {
    let mut beads = state.town.beads();
    beads.any(|bead| bead.review().is_some_and(|review| is_so(bead, review)))
}

/// Whether a review is so, and its pull request came to that end in the forge.
fn ended_with(state: &State, fate: Fate, is_so: impl Fn(&Bead) -> bool) -> bool {
    any_review(state, |bead, review| {
        let url = review.pr_url.as_ref();
        let pr = url.and_then(|url| state.prs.get(url));
        pr.is_some_and(|pr| pr.fate == fate) && is_so(bead)
    })
}

fn is_merged(bead: &Bead) -> bool {
    let outcome = bead.review().and_then(|review| review.outcome);
    bead.status == BeadStatus::Closed && outcome == Some(ReviewOutcome::Merged)
}
