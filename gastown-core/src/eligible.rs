//! What keeps an issue from being dispatched (spec 3.6).

use alloc::format;
use alloc::vec::Vec;

use crate::bead::{Bead, BeadStatus};
use crate::breaker::BreakerState;
use crate::config::Settings;
use crate::edge::EdgeKind;
use crate::ids::{AgentId, BeadId};
use crate::pass::{Due, Pass, Plan};
use crate::town::{Blocker, Town};
use crate::verdict::{Wait, WaitFor};
use crate::work::Work;

/// One reason for which an issue is not eligible, backoff aside: that is a matter of time and is
/// asked last, of [`Pass::backoff`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Obstacle<'a> {
    /// It is not open.
    NotOpen,
    /// It is a triage request: a batch carries it.
    TriageRequest,
    /// It is a step: its molecule's bead is worked on.
    MoleculeStep,
    /// A triage batch whose requests all ended, or end in this pass: it closes (3.8).
    NothingToJudge,
    /// A person holds it.
    Held,
    /// It names no rig that exists.
    NoRig,
    /// An agent has it already.
    Assigned(&'a AgentId),
    /// An agent is hooked to it.
    Hooked(&'a AgentId),
    /// Its convoy waits for `start_convoy`.
    StagedConvoy(&'a BeadId),
    /// A blocker is not settled.
    Blocked(Blocker<'a>),
    /// Every attempt was made.
    AttemptsSpent,
    /// Its line of work has no budget left.
    LineageSpent,
    /// Its convoy's branch is not there yet.
    BranchMissing(&'a BeadId),
    /// Its convoy, whose branch its work would go to, has ended.
    ConvoyEnded(&'a BeadId),
    /// Another repair of the same branch is under way.
    SiblingRepair(&'a BeadId),
}

/// Every reason for which the issue is not eligible, backoff aside.
pub(crate) fn issue_obstacles<'a>(pass: &Pass<'a>, bead: &'a Bead) -> Vec<Obstacle<'a>> {
    let town = pass.town;
    let mut out = Vec::new();
    let mut note = |holds: bool, obstacle: Obstacle<'a>| {
        if holds {
            out.push(obstacle);
        }
    };
    note(bead.status != BeadStatus::Open, Obstacle::NotOpen);
    note(
        matches!(bead.work(), Some(Work::TriageRequest(_))),
        Obstacle::TriageRequest,
    );
    note(
        bead.work() == Some(&Work::MoleculeStep),
        Obstacle::MoleculeStep,
    );
    note(
        crate::rules::triage::is_idle_batch(pass, bead),
        Obstacle::NothingToJudge,
    );
    note(bead.held, Obstacle::Held);
    note(town.rig_of(bead).is_none(), Obstacle::NoRig);
    note(pass.attempts_spent(bead), Obstacle::AttemptsSpent);
    note(town.lineage_spent(bead), Obstacle::LineageSpent);
    out.extend(bead.assignee.as_ref().map(Obstacle::Assigned));
    out.extend(
        town.holders(&bead.id)
            .map(|agent| Obstacle::Hooked(&agent.id)),
    );
    out.extend(
        town.open_blockers(&bead.id)
            .into_iter()
            .map(Obstacle::Blocked),
    );
    out.extend(convoy_obstacle(town, bead));
    let under_way = |mr: &BeadId| pass.planned(|plan: &Plan| plan.repair_of(mr).cloned());
    let sibling = town.repaired_mr(bead).and_then(under_way);
    out.extend(
        sibling
            .and_then(|id| town.bead(&id))
            .map(|sibling| Obstacle::SiblingRepair(&sibling.id)),
    );
    out
}

fn convoy_obstacle<'a>(town: &'a Town, bead: &'a Bead) -> Option<Obstacle<'a>> {
    let convoy_bead = town.convoy_of(&bead.id)?;
    let convoy = convoy_bead.convoy()?;
    if convoy.staged && convoy_bead.is_live() {
        return Some(Obstacle::StagedConvoy(&convoy_bead.id));
    }
    convoy.lands_from()?;
    // Whatever is merged into the branch of a convoy that has ended, nobody lands.
    if !convoy_bead.is_live() {
        return Some(Obstacle::ConvoyEnded(&convoy_bead.id));
    }
    town.rig_of(bead)
        .is_some_and(|rig| !convoy.branch_created(&rig.id))
        .then_some(Obstacle::BranchMissing(&convoy_bead.id))
}

impl Obstacle<'_> {
    /// Who or what has to move, for a person; nothing for what is no wait at all.
    pub(crate) fn wait(&self) -> Option<Wait> {
        let wait = match self {
            Obstacle::NotOpen | Obstacle::NothingToJudge => return None,
            Obstacle::TriageRequest => Wait::on(
                WaitFor::Person,
                "waits for the triage agent or a person to judge it",
            ),
            Obstacle::MoleculeStep => {
                Wait::on(WaitFor::Bead, "is worked on through its molecule's bead")
            }
            Obstacle::Held => Wait::on(WaitFor::Person, "is held until a person releases it"),
            Obstacle::NoRig => Wait::on(WaitFor::Person, "waits for a person to name a rig"),
            Obstacle::Assigned(agent) => {
                Wait::on(WaitFor::Agent, format!("is assigned to agent {agent}")).id(agent.as_str())
            }
            Obstacle::Hooked(agent) => {
                Wait::on(WaitFor::Agent, format!("agent {agent} is hooked to it"))
                    .id(agent.as_str())
            }
            Obstacle::StagedConvoy(convoy) => Wait::on(
                WaitFor::Person,
                "its convoy is staged until a person starts it",
            )
            .id(convoy.as_str()),
            Obstacle::Blocked(Blocker::Unsettled(other)) => Wait::on(
                WaitFor::Bead,
                format!("builds on {other}, whose work is not merged yet"),
            )
            .id(other.as_str()),
            Obstacle::Blocked(Blocker::Failed(other)) => Wait::on(
                WaitFor::Person,
                format!("builds on {other}, which failed or closed without its merge"),
            )
            .id(other.as_str()),
            Obstacle::AttemptsSpent => Wait::on(
                WaitFor::Person,
                "every attempt was made; a person may grant more",
            ),
            Obstacle::LineageSpent => Wait::on(
                WaitFor::Person,
                "its line of work has no dispatch left; a person may grant more",
            ),
            // The convoy says what its branch waits for: the forge, or a person once it was tried too often.
            Obstacle::BranchMissing(convoy) => Wait::on(
                WaitFor::Bead,
                "its convoy's feature branch is not there yet",
            )
            .id(convoy.as_str()),
            Obstacle::ConvoyEnded(convoy) => Wait::on(
                WaitFor::Person,
                "its convoy has ended, so that nobody would land its work; closed and retried, it \
                 goes on without",
            )
            .id(convoy.as_str()),
            Obstacle::SiblingRepair(repair) => Wait::on(
                WaitFor::Bead,
                "another repair of the same branch is under way",
            )
            .id(repair.as_str()),
        };
        Some(wait)
    }
}

/// Why nobody is judged by silence now: a drain.
pub(crate) fn drain_obstacle(pass: &Pass<'_>) -> Option<Wait> {
    let drain = pass.town.state().drain.as_ref()?;
    let until = drain.started_at.stale_at(pass.policy().drain_timeout);
    Some(
        Wait::on(WaitFor::Time, "the container is being replaced")
            .since(drain.started_at)
            .not_before(until),
    )
}

/// When an open breaker lets its next dispatch through, to see; none where a person has to ask for
/// it (spec 3.6).
pub(crate) fn probe_due(pass: &Pass<'_>) -> Option<Due> {
    let (breaker, policy) = (&pass.town.state().breaker, pass.policy());
    if breaker.probe_asked {
        return Some(Due::Now);
    }
    if breaker.probes >= policy.probe_limit {
        return None;
    }
    let opened = breaker.opened_at;
    Some(opened.map_or(Due::Now, |at| {
        pass.stale(at, policy.probe_pause(breaker.probes))
    }))
}

/// Whether the breaker lets one dispatch through as soon as something can be dispatched.
pub(crate) fn is_probe_due(pass: &Pass<'_>) -> bool {
    pass.town.state().breaker.state == BreakerState::Open
        && !pass.town.is_draining()
        && probe_due(pass) == Some(Due::Now)
}

/// What an open breaker waits for, whatever there is to dispatch.
pub(crate) fn probe_wait(pass: &Pass<'_>) -> Wait {
    let wait = match probe_due(pass) {
        None => Wait::on(
            WaitFor::Person,
            "starts keep failing; a person must send `probe`",
        ),
        Some(Due::Now) => Wait::on(
            WaitFor::Time,
            "starts keep failing; the next one that can be made is the breaker's probe",
        ),
        Some(Due::At(until)) => Wait::on(
            WaitFor::Time,
            "starts keep failing; the breaker probes again later",
        )
        .not_before(until),
    };
    match pass.town.state().breaker.opened_at {
        Some(opened) => wait.since(opened),
        None => wait,
    }
}

/// Why nothing at all is dispatched now: a drain, or the breaker.
pub(crate) fn town_obstacle(pass: &Pass<'_>) -> Option<Wait> {
    if let Some(wait) = drain_obstacle(pass) {
        return Some(wait);
    }
    let breaker = &pass.town.state().breaker;
    let opened = breaker.opened_at.unwrap_or(pass.now);
    match breaker.state {
        BreakerState::Closed => None,
        BreakerState::HalfOpen => {
            let probed = breaker.probe.as_ref().map(|probe| &probe.bead_id);
            let wait = Wait::on(WaitFor::Bead, "the breaker waits for its probe").since(opened);
            Some(match probed {
                Some(bead) => wait.id(bead.as_str()),
                None => wait,
            })
        }
        BreakerState::Open => Some(probe_wait(pass)),
    }
}

/// What keeps a review from a refinery, whatever its budgets and agents are.
pub(crate) fn review_obstacles(town: &Town, mr: &Bead) -> Vec<Wait> {
    let mut waits = blocker_waits(town, mr);
    // A step or a request is not worked on by itself: a review of one came from outside, and ends
    // with it (`review/source-gone`), perhaps in the same settlement.
    let source = town.source_of(mr).and_then(|id| town.bead(id));
    if let Some(source) = source.filter(|source| is_no_work_of_its_own(source)) {
        let text = "its source is a step or a request, which is not worked on by itself";
        waits.push(Wait::on(WaitFor::Bead, text).id(source.id.as_str()));
    }
    waits.extend(kept_back(town, mr));
    waits
}

/// What keeps a refinery from an MR bead whether it is sent or goes on.
fn kept_back(town: &Town, mr: &Bead) -> impl Iterator<Item = Wait> {
    [hold_on, overtaken, without_branch]
        .into_iter()
        .filter_map(move |keeps| keeps(town, mr))
}

/// Whether the refinery of an MR bead merges it, and no forge: to send it is to merge.
fn is_merged_by_agent(town: &Town, mr: &Bead) -> bool {
    mr.review().is_some_and(|review| review.pr_url.is_none())
        && town.is_direct(mr, &town.settings_of_review(mr))
}

/// What a refinery would merge although it is no longer what is wanted: its source was taken up again, or a
/// newer review has what came of that. The merge of a pull request asks for both itself (spec 4.4, 6).
fn overtaken(town: &Town, mr: &Bead) -> Option<Wait> {
    let source = town.bead(town.source_of(mr)?)?;
    let is_issue = source.work().is_some() && !is_no_work_of_its_own(source);
    if !is_issue || !source.is_live() || !is_merged_by_agent(town, mr) {
        return None;
    }
    // What waits for this review itself does not go first: both would wait for ever.
    let is_behind = |id: &BeadId| *id == mr.id || town.waits_behind(id, |bead| bead.id == mr.id);
    if source.status != BeadStatus::InReview {
        if town.depends_on(&source.id, EdgeKind::Blocks).any(is_behind) {
            return None;
        }
        let text = format!("{} was taken up again", source.id);
        return Some(Wait::on(WaitFor::Bead, text).id(source.id.as_str()));
    }
    let newer = town
        .newer_review(mr)
        .filter(|newer| !is_behind(&newer.id))?;
    let text = format!("{} of the same source is newer", newer.id);
    Some(Wait::on(WaitFor::Bead, text).id(newer.id.as_str()))
}

/// What keeps a refinery from merging into the branch of a convoy: that is not there yet, or nobody
/// lands it any more (spec 3.5).
fn without_branch(town: &Town, mr: &Bead) -> Option<Wait> {
    let has_no_pr = mr.review().is_some_and(|review| review.pr_url.is_none());
    if !has_no_pr || !town.targets_feature_branch(mr) {
        return None;
    }
    convoy_obstacle(town, town.bead(town.source_of(mr)?)?)?.wait()
}

/// What of an MR bead a person holds: itself, or what it reviews.
pub(crate) fn held_of<'a>(town: &'a Town, mr: &'a Bead) -> Option<&'a Bead> {
    let source = town.source_of(mr).and_then(|id| town.bead(id));
    let mut both = [Some(mr), source].into_iter().flatten();
    both.find(|bead| bead.held)
}

/// What keeps a refinery from an MR bead: a person who holds it, or holds what it reviews where the refinery
/// would merge that; the merge of a pull request asks for the hold itself (spec 4.4, 6).
fn hold_on(town: &Town, mr: &Bead) -> Option<Wait> {
    let held = held_of(town, mr)?;
    let text = "is held until a person releases it";
    if held.id == mr.id {
        return Some(Wait::on(WaitFor::Person, text));
    }
    is_merged_by_agent(town, mr).then(|| {
        let text = format!("{} {text}", held.id);
        Wait::on(WaitFor::Person, text).id(held.id.as_str())
    })
}

/// Whether an idle refinery may keep an MR bead, to be dispatched again (spec 3.6).
pub(crate) fn refinery_may_go_on(town: &Town, mr: &Bead) -> bool {
    mr.status == BeadStatus::InProgress
        && kept_back(town, mr).next().is_none()
        && !town.has_live_blocker(&mr.id)
}

fn is_no_work_of_its_own(bead: &Bead) -> bool {
    matches!(
        bead.work(),
        Some(Work::MoleculeStep | Work::TriageRequest(_))
    )
}

/// What blocks an MR bead: for each live blocker, who has to move.
pub(crate) fn blocker_waits(town: &Town, mr: &Bead) -> Vec<Wait> {
    let wait = |blocker: &Bead| {
        let what = match blocker.work() {
            Some(work) if work.is_repair() => "waits for a repair of its branch",
            Some(_) | None => "waits for what blocks it",
        };
        Wait::on(WaitFor::Bead, what).id(blocker.id.as_str())
    };
    town.live_blockers(&mr.id).map(wait).collect()
}

/// Whether a refinery has something to do with an MR bead (spec 3.6, `dispatch/review`).
pub(crate) fn needs_refinery(town: &Town, mr: &Bead, settings: &Settings) -> bool {
    let Some(review) = mr.review() else {
        return false;
    };
    // One under verification is left alone: its refinery has said its word (spec 3.4).
    // A pass speaks of a pull request: without one nobody else would open it.
    let is_passed = review.pr_url.is_some() && is_reviewed(mr, settings);
    review.verify.is_none()
        && ((settings.code_review && !is_passed)
            || town.is_direct(mr, settings)
            || town.in_review_and_merge_convoy(mr)
            || review.is_landing())
}

/// Whether a refinery passed the head of an MR bead; any head with review_every_head off. A pass
/// that names no head counts only there (spec 4.1).
pub(crate) fn is_reviewed(mr: &Bead, settings: &Settings) -> bool {
    let Some(review) = mr.review() else {
        return false;
    };
    let Some(reviewed) = &review.reviewed else {
        return false;
    };
    if !settings.review_every_head {
        return true;
    }
    match (&reviewed.head_sha, &review.head_sha) {
        (Some(passed), Some(head)) => passed == head,
        // No head was seen yet: it is taken at the refinery's word until one is.
        (Some(_), None) => true,
        (None, _) => false,
    }
}
