//! Sessions of agents: how they end, and what they leave behind.

use gastown_core::commands::RequestChanges;
use gastown_core::events::{AgentDone, AgentExited, ContainerEviction, ExitStatus};
use gastown_core::{AgentId, Bead, Caller, Command, Event, MergeStrategy, RigId, Work};

use crate::search::small_town::{Fate, Pr, State};

pub(super) fn evicted(state: &mut State) {
    state.happened.insert("evicted");
    state.tell(ContainerEviction {
        nonce: "nonce".into(),
    });
    for agent in state.sessions.keys().cloned().collect::<Vec<_>>() {
        let exit = agent_exits(
            state,
            &agent,
            ExitStatus::Completed,
            Some("container eviction"),
        );
        state.observe(exit);
    }
}

/// A session ends; what its container says of that.
pub(super) fn agent_exits(
    state: &mut State,
    agent: &AgentId,
    status: ExitStatus,
    reason: Option<&str>,
) -> Option<Event> {
    let session = state.sessions.remove(agent)?;
    state.event(AgentExited {
        agent_id: agent.clone(),
        status,
        session: Some(session.number),
        bead_id: None,
        reason: reason.map(Into::into),
        note: None,
    })
}

/// A session is done with the bead that it was sent to.
pub(super) fn agent_done(state: &mut State, agent: &AgentId, asks_for_changes: bool) {
    let Some(session) = state.sessions.remove(agent) else {
        return;
    };
    if asks_for_changes {
        let asked = RequestChanges {
            feedback: "more tests".into(),
            files: Vec::new(),
        };
        let command = Command::new(Caller::agent(agent.clone()), asked);
        state.execute(command);
    }
    // A session that its agent has no longer did its own work, not that of the next.
    let bead = session.bead.and_then(|id| state.town.bead(&id)).cloned();
    let mut done = AgentDone {
        agent_id: agent.clone(),
        branch: bead
            .as_ref()
            .map_or_else(|| "work/none".into(), |bead| format!("work/{}", bead.id)),
        session: Some(session.number),
        bead_id: None,
        pr_url: None,
        head_sha: None,
        merge_commit: None,
        summary: None,
    };
    if let Some(bead) = bead {
        match bead.work() {
            Some(Work::Plain) => opens_pr(state, &bead, &mut done),
            Some(work) if work.is_repair() => pushes(state, &bead),
            Some(_) => {}
            None => merges_or_passes(state, &bead, &mut done),
        }
    }
    state.tell(done);
}

fn opens_pr(state: &mut State, bead: &Bead, done: &mut AgentDone) {
    let Some(rig) = state.town.rig_of(bead) else {
        return;
    };
    let settings = state.town.settings(Some(&rig.id));
    if settings.merge_strategy != MergeStrategy::Pr || state.town.convoy_of(&bead.id).is_some() {
        return;
    }
    let url = format!(
        "https://github.com/acme/{}/pull/{}",
        rig.id,
        10 + state.prs.len()
    );
    let known = state
        .prs
        .iter()
        .find(|(_, pr)| pr.branch == done.branch && pr.fate == Fate::Open);
    let url = known.map_or(url, |(url, _)| url.clone());
    let pr = Pr {
        fate: Fate::Open,
        heads: 1,
        branch: done.branch.clone(),
        base: rig.default_branch.clone(),
    };
    let pr = state.prs.entry(url.clone()).or_insert(pr);
    done.head_sha = Some(format!("head{}", pr.heads));
    done.pr_url = Some(url);
}

fn pushes(state: &mut State, repair: &Bead) {
    let mr = state
        .town
        .repaired_mr(repair)
        .and_then(|mr| state.town.bead(mr));
    let url = mr
        .and_then(|mr| mr.review())
        .and_then(|review| review.pr_url.clone());
    if let Some(pr) = url.and_then(|url| state.prs.get_mut(&url)) {
        pr.heads += 1;
    }
}

fn merges_or_passes(state: &mut State, mr: &Bead, done: &mut AgentDone) {
    let Some(review) = mr.review() else { return };
    done.branch.clone_from(&review.branch);
    match &review.pr_url {
        Some(url) => {
            done.pr_url = Some(url.clone());
            done.head_sha = state.prs.get(url).map(|pr| format!("head{}", pr.heads));
        }
        None => {
            let rig = repository_of(state, mr);
            let way = |rig| (rig, review.branch.clone(), review.target_branch.clone());
            state.landed.extend(rig.map(way));
            done.merge_commit = Some("landed".into());
        }
    }
}

/// In which rig's repository the work of a review is, asked of no rule of the engine. What no bead has a
/// rig for is in one that a stand-in would not hit on: not the town's first, nor that of its refinery.
fn repository_of(state: &State, mr: &Bead) -> Option<RigId> {
    let review = mr.review()?;
    let source = state.town.bead(&review.source);
    let known = [
        mr.rig_id.as_ref(),
        review.landing_rig.as_ref(),
        source.and_then(|source| source.rig_id.as_ref()),
    ];
    known
        .into_iter()
        .flatten()
        .next()
        .or_else(|| state.town.rigs().last().map(|rig| &rig.id))
        .cloned()
}
