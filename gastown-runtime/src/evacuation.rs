//! What happens to running agents before their container goes away (spec 6.4): asked to wrap up,
//! waited for, stopped, their work saved, their beads told where it is.

use std::time::Duration;

use gastown_core::events::{AgentExited, CONTAINER_EVICTION, ExitStatus};
use gastown_core::{Agent, AgentRuntimeError, AgentStatus, SavedWork, SessionId, Timestamp, Town};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::effects::Performer;
use crate::inbox::Item;
use crate::supervisor::StopOutcome;
use crate::telemetry;

/// An agent without an active tool that was quiet for so long is idle: it is not waited for.
const IDLE_AFTER: Duration = Duration::from_secs(30);
/// How often the saving of an agent's work is tried.
const SAVE_TRIES_MAX: u32 = 3;
/// How long to wait before the next try.
const SAVE_PAUSE: Duration = Duration::from_secs(2);
/// What agents are told.
const REASON: &str = "the container is being evicted: save your work and exit";

/// An agent that has to leave.
#[derive(Debug)]
pub(crate) struct Leaving {
    session: SessionId,
    is_idle: bool,
    /// It was heard of, so it had begun to work.
    had_begun: bool,
}

/// The agents of a town that run, or are taken to: what ran in the container ends with it.
pub(crate) fn leaving(town: &Town, now: Timestamp) -> Vec<Leaving> {
    let running = town.agents().filter(|agent| agent.status.is_running());
    running
        .map(|agent| Leaving {
            session: SessionId {
                town_id: town.id().clone(),
                agent_id: agent.id.clone(),
                session: agent.session,
            },
            is_idle: is_idle(agent, now),
            had_begun: agent.reported,
        })
        .collect()
}

fn is_idle(agent: &Agent, now: Timestamp) -> bool {
    // Of an agent that tells no events nothing is known.
    let is_quiet = agent
        .last_event_at
        .is_some_and(|at| now.since(at) > IDLE_AFTER);
    agent.status == AgentStatus::Stalled || (agent.active_tools.is_empty() && is_quiet)
}

/// Sees all of them out, side by side; each has ended and is reported when this returns. From
/// `hurry` on none is waited for.
pub(crate) async fn evacuate(
    performer: Performer,
    leaving: Vec<Leaving>,
    hurry: watch::Receiver<bool>,
) {
    let mut agents = JoinSet::new();
    for agent in leaving {
        let (performer, hurry) = (performer.clone(), hurry.clone());
        agents.spawn(async move { see_out(&performer, agent, hurry).await });
    }
    while let Some(seen_out) = agents.join_next().await {
        if let Err(error) = seen_out {
            tracing::error!(town = %performer.town_id, %error, "an evacuation was cut off");
        }
    }
    tracing::info!(town = %performer.town_id, "evacuated");
}

async fn see_out(performer: &Performer, leaving: Leaving, mut hurry: watch::Receiver<bool>) {
    let Leaving {
        session,
        is_idle,
        had_begun,
    } = leaving;
    let supervisor = &performer.workshop.supervisor;
    if !is_idle {
        let wrapped_up = async {
            // Who can't be asked is stopped below.
            if supervisor.wrap_up(&session, REASON).await.is_ok() {
                supervisor.ended_after_wrap_up(&session).await;
            }
        };
        tokio::select! {
            () = wrapped_up => {}
            () = hurried(&mut hurry) => {}
        }
    }
    // Of a session that has ended this is a no-op; a start that is under way is undone.
    let stopped = supervisor.stop(&session, REASON).await;
    let saved = save(performer, &session).await;
    if let Err(error) = &saved {
        tracing::error!(town = %session.town_id, agent = %session.agent_id, %error, "could not save its work");
    }
    let status = match (&stopped, &saved) {
        (StopOutcome::Stopped, Ok(_)) => ExitStatus::Completed,
        (StopOutcome::Unknown { .. }, _) | (_, Err(_)) => ExitStatus::Failed,
    };
    let outcome = if saved.is_ok() { "saved" } else { "unsaved" };
    metrics::counter!(telemetry::EVACUATED, "outcome" => outcome).increment(1);
    let exited = AgentExited {
        agent_id: session.agent_id,
        status,
        session: Some(session.session),
        bead_id: None,
        reason: Some(CONTAINER_EVICTION.into()),
        note: Some(note(&saved, had_begun)),
    };
    // A town that is closed finds out when it is opened again.
    drop(performer.inbox.push(Item::Ended(Box::new(exited.into()))));
}

async fn hurried(hurry: &mut watch::Receiver<bool>) {
    // Without the loop that may hurry this goes on as before.
    if hurry.wait_for(|hurry| *hurry).await.is_err() {
        std::future::pending().await
    }
}

async fn save(
    performer: &Performer,
    session: &SessionId,
) -> Result<Option<SavedWork>, AgentRuntimeError> {
    let supervisor = &performer.workshop.supervisor;
    let mut tries = 1_u32;
    loop {
        let saved = supervisor.save_work(session).await;
        if saved.is_ok() || tries >= SAVE_TRIES_MAX {
            return saved;
        }
        tries = tries.saturating_add(1);
        sleep(SAVE_PAUSE).await;
    }
}

/// What the bead says to whoever takes it up again: which branch, and how to resume.
fn note(saved: &Result<Option<SavedWork>, AgentRuntimeError>, had_begun: bool) -> String {
    const HEAD: &str = "The container was evicted while an agent worked on this.";
    let saved = match saved {
        Ok(Some(saved)) => saved,
        Ok(None) if had_begun => {
            return format!("{HEAD} No work of it was found here. Begin from what was pushed.");
        }
        Ok(None) => return format!("{HEAD} There was nothing to save."),
        Err(error) => {
            return format!("{HEAD} Its work may be lost: {error}. Begin from what was pushed.");
        }
    };
    let mut note = HEAD.to_owned();
    if let Some(branch) = &saved.branch {
        let commit = saved.commit.as_deref().unwrap_or("its head");
        note.push_str(&format!(
            " Its work is saved on branch `{branch}` at {commit}. To resume: `git fetch origin`, \
             then `git merge origin/{branch}`, and go on from there."
        ));
    }
    if let Some(aside) = &saved.aside {
        note.push_str(&format!(
            " What did not fit onto the branch is at `{aside}`: `git fetch origin {aside}`, then \
             look at `git show FETCH_HEAD`."
        ));
    }
    if saved.branch.is_none() && saved.aside.is_none() {
        note.push_str(" There was nothing to save.");
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_says_which_branch_and_how_to_resume() {
        let saved = |branch: Option<&str>, aside: Option<&str>| {
            Ok(Some(SavedWork {
                branch: branch.map(String::from),
                commit: branch.map(|_| "abc".into()),
                aside: aside.map(String::from),
            }))
        };
        let cases = [
            (
                saved(Some("gt/ash/b1"), None),
                "saved on branch `gt/ash/b1` at abc. To resume: `git fetch origin`, then `git merge origin/gt/ash/b1`",
            ),
            (
                saved(None, Some("refs/gastown/saved/a1-0")),
                "`git fetch origin refs/gastown/saved/a1-0`",
            ),
            (saved(None, None), "nothing to save"),
            (Ok(None), "No work of it was found here"),
            (
                Err(AgentRuntimeError::Unknown {
                    reason: "no route".into(),
                }),
                "may be lost",
            ),
        ];
        for (saved, expected) in cases {
            let note = note(&saved, true);
            assert!(note.contains(expected), "{note}");
        }
        let never_begun = note(&Ok(None), false);
        assert!(never_begun.contains("nothing to save"), "{never_begun}");
    }
}
