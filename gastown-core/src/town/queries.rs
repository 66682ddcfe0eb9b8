//! What rules ask of a town. The edges decide membership; where a field disagrees, the edge wins
//! (spec 1.7).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Town;
use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::config::{ConvoyMergeMode, MergeStrategy, Settings};
use crate::edge::EdgeKind;
use crate::ids::{BeadId, RigId};
use crate::policy::FailedBlocker;
use crate::review::{Review, ReviewOutcome};
use crate::rig::{Repository, Rig};
use crate::time::Timestamp;
use crate::work::Work;

/// A blocker that is not settled (spec 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blocker<'a> {
    /// Its work is under way; or its review, which is named then, since what has ended moves no more.
    Unsettled(&'a BeadId),
    /// It failed, or closed without its merge: only a person can help.
    Failed(&'a BeadId),
}

impl Town {
    /// Whether nothing new is dispatched because the container is being evicted.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.state.drain.is_some()
    }

    /// The agents hooked to a bead, by id. A mayor holds nothing: it works without a hook, and one
    /// that comes from outside keeps no bead from its worker (spec 3.2).
    pub fn holders(&self, bead: &BeadId) -> impl Iterator<Item = &Agent> {
        self.index
            .holders(bead)
            .filter_map(|id| self.agents.get(id))
            .filter(|agent| agent.role != Role::Mayor)
    }

    /// The values in force for a rig; a rig that is not there counts as none.
    #[must_use]
    pub fn settings(&self, rig: Option<&RigId>) -> Settings {
        let rig = rig.and_then(|id| self.rigs.get(id));
        Settings::resolve(&self.state.config, rig.map(|rig| &rig.config))
    }

    /// The bead's rig, if there is such a rig.
    #[must_use]
    pub fn rig_of(&self, bead: &Bead) -> Option<&Rig> {
        bead.rig_id.as_ref().and_then(|id| self.rigs.get(id))
    }

    /// The source of an MR bead, whether it exists or not.
    #[must_use]
    pub fn source_of<'a>(&'a self, mr: &'a Bead) -> Option<&'a BeadId> {
        let review = mr.review()?;
        self.depends_on(&mr.id, EdgeKind::Tracks)
            .next()
            .or(Some(&review.source))
    }

    /// The source of an MR bead that reopens, or waits, when that fails: an issue in review. While another
    /// review of it goes on, that one decides, and the work is not begun a third time beside it.
    pub(crate) fn source_in_review<'a>(&'a self, mr: &'a Bead) -> Option<&'a Bead> {
        let source = self.bead(self.source_of(mr)?)?;
        let is_other = |other: &&Bead| other.id != mr.id && other.is_live();
        (source.work().is_some()
            && source.status == BeadStatus::InReview
            && !self.reviews_of(&source.id).iter().any(is_other))
        .then_some(source)
    }

    /// The newest live review of the same source, if that is another one; of a landing, of those
    /// that go to the same repository.
    pub(crate) fn newer_review<'a>(&'a self, mr: &'a Bead) -> Option<&'a Bead> {
        let is_landing = mr.review().is_some_and(Review::is_landing);
        let rig = self.rig_of_review(mr).map(|rig| &rig.id);
        let is_beside =
            |other: &Bead| !is_landing || self.rig_of_review(other).map(|rig| &rig.id) == rig;
        let live = (self.reviews_of(self.source_of(mr)?).into_iter())
            .filter(|other| other.is_live() && is_beside(other));
        live.max_by_key(|other| (other.created_at, &other.id))
            .filter(|newest| newest.id != mr.id)
    }

    /// The MR beads that track a source, by id.
    #[must_use]
    pub fn reviews_of(&self, source: &BeadId) -> Vec<&Bead> {
        let by_edge = self.dependents(source, EdgeKind::Tracks);
        by_edge_or_field(by_edge, self.index.reviews(source))
            .into_iter()
            .filter_map(|id| self.bead(id))
            .filter(|mr| mr.review().is_some() && self.source_of(mr) == Some(source))
            .collect()
    }

    /// The convoy that an issue belongs to.
    #[must_use]
    pub fn convoy_of(&self, issue: &BeadId) -> Option<&Bead> {
        self.depends_on(issue, EdgeKind::Tracks)
            .filter_map(|id| self.bead(id))
            .find(|bead| bead.convoy().is_some())
    }

    /// The issues of a convoy, by id.
    #[must_use]
    pub fn issues_of(&self, convoy: &BeadId) -> Vec<&Bead> {
        self.dependents(convoy, EdgeKind::Tracks)
            .filter_map(|id| self.bead(id))
            .filter(|bead| bead.work().is_some())
            .collect()
    }

    /// How many issues a convoy has, and how many of them are terminal.
    #[must_use]
    pub fn convoy_counts(&self, convoy: &BeadId) -> (u32, u32) {
        let issues = self.issues_of(convoy);
        let terminal = issues.iter().filter(|bead| !bead.is_live()).count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (count(issues.len()), count(terminal))
    }

    /// The bead that another was made for: by its edge, else by its field.
    #[must_use]
    pub fn parent_of<'a>(&'a self, bead: &'a Bead) -> Option<&'a BeadId> {
        self.depends_on(&bead.id, EdgeKind::ParentChild)
            .next()
            .or(bead.parent_id.as_ref())
    }

    /// The bead through which a molecule or a step of one is worked on. None where what it was made
    /// for is no bead of that kind, as only in a town from outside: it would wait for itself there.
    pub(crate) fn worked_on_through<'a>(&'a self, bead: &'a Bead) -> Option<&'a BeadId> {
        let is_step = |bead: &Bead| bead.work() == Some(&Work::MoleculeStep);
        let is_molecule = |bead: &Bead| matches!(bead.kind, BeadKind::Molecule);
        if !is_step(bead) && !is_molecule(bead) {
            return None;
        }
        let parent = self.parent_of(bead)?;
        let fits = self.bead(parent).is_none_or(|parent| {
            if is_step(bead) {
                is_molecule(parent)
            } else {
                !is_molecule(parent) && !is_step(parent)
            }
        });
        fits.then_some(parent)
    }

    /// The MR bead that a repair bead repairs, whether it exists or not.
    #[must_use]
    pub fn repaired_mr<'a>(&'a self, bead: &'a Bead) -> Option<&'a BeadId> {
        let work = bead.work().filter(|work| work.is_repair())?;
        self.parent_of(bead).or_else(|| work.repaired_mr())
    }

    /// The children of a bead, by id.
    #[must_use]
    pub fn children_of(&self, parent: &BeadId) -> Vec<&Bead> {
        let by_edge = self.dependents(parent, EdgeKind::ParentChild);
        by_edge_or_field(by_edge, self.index.children(parent))
            .into_iter()
            .filter_map(|id| self.bead(id))
            .filter(|child| self.parent_of(child) == Some(parent))
            .collect()
    }

    /// The repair beads of an MR bead, by id.
    #[must_use]
    pub fn repairs_of(&self, mr: &BeadId) -> Vec<&Bead> {
        // One that came without its parent is known by what it blocks, and by what it says.
        let blocking = self
            .depends_on(mr, EdgeKind::Blocks)
            .filter_map(|id| self.bead(id))
            .filter(|bead| self.repaired_mr(bead) == Some(mr));
        let mut repairs = self.children_of(mr);
        repairs.extend(blocking);
        repairs.retain(|bead| bead.work().is_some_and(Work::is_repair));
        repairs.sort_by_key(|bead| &bead.id);
        repairs.dedup_by_key(|bead| &bead.id);
        repairs
    }

    /// The convoy that a bead belongs to: an issue's own, or a review's by its source.
    #[must_use]
    pub(crate) fn convoy_around(&self, bead: &BeadId) -> Option<&Bead> {
        self.convoy_of(bead).or_else(|| {
            let source = self.source_of(self.bead(bead)?)?;
            let landed = self.bead(source).filter(|bead| bead.convoy().is_some());
            landed.or_else(|| self.convoy_of(source))
        })
    }

    /// Live MR beads with a pull request, by priority, age and id.
    pub(crate) fn live_pull_requests(&self) -> impl Iterator<Item = &Bead> {
        self.live_beads()
            .filter(|bead| bead.review().is_some_and(|review| review.pr_url.is_some()))
    }

    /// Live MR beads with this pull request, by id.
    pub fn live_reviews_with_pr(&self, url: &str) -> impl Iterator<Item = &Bead> {
        let key = super::index::pr_key(url);
        let ids: Vec<&BeadId> = self.index.pull_requests(&key).collect();
        ids.into_iter().filter_map(|id| self.bead(id))
    }

    /// Pull requests that more than one live MR bead has (invariant I14).
    pub(crate) fn shared_pull_requests(&self) -> impl Iterator<Item = (&str, &BTreeSet<BeadId>)> {
        self.index
            .all_pull_requests()
            .filter(|(_, ids)| ids.len() > 1)
    }

    /// The blockers of a bead that are not settled, by id: what builds on them waits (spec 1.7).
    ///
    /// A batch for the triage agent builds on nothing: every request waits for it, so it would
    /// wait for itself by any request that it had to wait for.
    pub(crate) fn open_blockers(&self, bead: &BeadId) -> Vec<Blocker<'_>> {
        if self.bead(bead).is_some_and(Self::is_patrol_batch) {
            return Vec::new();
        }
        self.depends_on(bead, EdgeKind::Blocks)
            .filter_map(|id| self.unsettled(id))
            .collect()
    }

    /// The blockers of a bead that are live, by id. A review waits only for these: what has ended,
    /// however it did, blocks no review (spec 3.4, 4.4), and the rules of a failed repair decide
    /// what follows from it.
    pub(crate) fn live_blockers(&self, bead: &BeadId) -> impl Iterator<Item = &Bead> {
        self.depends_on(bead, EdgeKind::Blocks)
            .filter_map(|id| self.bead(id))
            .filter(|blocker| blocker.is_live())
    }

    /// Whether a live bead blocks this one.
    pub(crate) fn has_live_blocker(&self, bead: &BeadId) -> bool {
        self.live_blockers(bead).next().is_some()
    }

    /// Says what keeps `blocker` from being settled, if anything does. A blocker that does not
    /// exist is settled.
    fn unsettled<'a>(&'a self, blocker: &'a BeadId) -> Option<Blocker<'a>> {
        let bead = self.bead(blocker)?;
        let release = self.policy().failed_blocker == FailedBlocker::Release;
        match bead.status {
            BeadStatus::Open | BeadStatus::InProgress | BeadStatus::InReview => {
                Some(Blocker::Unsettled(blocker))
            }
            BeadStatus::Failed => (!release).then_some(Blocker::Failed(blocker)),
            BeadStatus::Closed => {
                // A review is settled as the work is that it is of: one that a person withdrew merged nothing.
                let is_review = bead.review().is_some();
                let source = self.source_of(bead).filter(|_| is_review);
                let mut reviews = self.reviews_of(source.unwrap_or(blocker));
                if is_review && reviews.is_empty() {
                    reviews.push(bead);
                }
                if let Some(mr) = reviews.iter().find(|mr| mr.is_live()) {
                    Some(Blocker::Unsettled(&mr.id))
                } else if reviews.is_empty() || reviews.iter().any(|mr| is_merged(mr)) || release {
                    None
                } else {
                    Some(Blocker::Failed(blocker))
                }
            }
        }
    }

    /// The rig of an MR bead: its own, else inferred (spec 3.6). With a pull request only the rig
    /// whose repository it names is inferred, and nothing else.
    #[must_use]
    pub fn rig_of_review<'a>(&'a self, mr: &'a Bead) -> Option<&'a Rig> {
        if let Some(rig) = self.rig_of(mr) {
            return Some(rig);
        }
        let review = mr.review()?;
        if let Some(url) = &review.pr_url {
            let (repository, _) = Repository::of_pr_url(url)?;
            return self
                .rigs
                .values()
                .find(|rig| rig.repository().as_ref() == Some(&repository));
        }
        let source = self.source_of(mr).and_then(|id| self.bead(id));
        source
            .and_then(|source| self.rig_of(source))
            .or_else(|| {
                let agent = self.agents.get(review.source_agent.as_ref()?)?;
                self.rigs.get(agent.rig_id.as_ref()?)
            })
            .or_else(|| {
                let mut rigs = self.rigs.values();
                rigs.next().filter(|_| rigs.next().is_none())
            })
    }

    /// The values in force for an MR bead: those of its rig, known or inferred.
    #[must_use]
    pub fn settings_of_review(&self, mr: &Bead) -> Settings {
        self.settings(self.rig_of_review(mr).map(|rig| &rig.id))
    }

    /// Whether a review is merged by a refinery and not by the forge: strategy `direct`, a
    /// feature-branch target, a review-and-merge convoy under `direct`, or a landing MR.
    #[must_use]
    pub fn is_direct(&self, mr: &Bead, settings: &Settings) -> bool {
        settings.merge_strategy == MergeStrategy::Direct || self.targets_feature_branch(mr)
    }

    /// Whether a review goes to the feature branch of its source's convoy.
    #[must_use]
    pub fn targets_feature_branch(&self, mr: &Bead) -> bool {
        let Some(review) = mr.review() else {
            return false;
        };
        self.source_of(mr)
            .and_then(|source| self.convoy_of(source))
            .and_then(Bead::convoy)
            .and_then(|convoy| convoy.feature_branch.as_ref())
            .is_some_and(|branch| *branch == review.target_branch)
    }

    /// Whether the source of a review is in a review-and-merge convoy.
    #[must_use]
    pub fn in_review_and_merge_convoy(&self, mr: &Bead) -> bool {
        self.source_of(mr)
            .and_then(|source| self.convoy_of(source))
            .and_then(Bead::convoy)
            .is_some_and(|convoy| convoy.merge_mode == ConvoyMergeMode::ReviewAndMerge)
    }

    /// Whether an agent's role and rig fit a bead (spec 3.2, `agents/wrong-hook`; invariant I6).
    #[must_use]
    pub fn fits(&self, agent: &Agent, bead: &Bead) -> bool {
        match agent.role {
            Role::Mayor => true,
            Role::Polecat => {
                bead.work().is_some()
                    && self
                        .rig_of(bead)
                        .is_some_and(|rig| agent.rig_id.as_ref() == Some(&rig.id))
            }
            Role::Refinery => {
                // A review without a rig of its own fits any refinery that has one.
                let has_rig = agent
                    .rig_id
                    .as_ref()
                    .is_some_and(|id| self.rig(id).is_some());
                has_rig
                    && bead.review().is_some()
                    && self
                        .rig_of(bead)
                        .is_none_or(|rig| agent.rig_id.as_ref() == Some(&rig.id))
            }
        }
    }

    /// The mayor, the oldest that is not dead.
    #[must_use]
    pub fn mayor(&self) -> Option<&Agent> {
        self.agents_by_age()
            .find(|agent| agent.role == Role::Mayor && agent.status != AgentStatus::Dead)
    }

    /// From when on the age of a silence counts: from the end of the last observation gap at the
    /// earliest (spec 1.8).
    pub(crate) fn judged_since(&self, since: Timestamp) -> Timestamp {
        let gap = self.state().judge_from;
        gap.map_or(since, |gap| gap.max(since))
    }

    /// Since when an agent has nothing to do.
    #[must_use]
    pub fn idle_since(agent: &Agent) -> Timestamp {
        agent
            .last_activity_at
            .max(agent.exited_at)
            .unwrap_or(agent.created_at)
    }

    /// Whether an agent works on a triage batch.
    pub(crate) fn is_on_triage(&self, agent: &Agent) -> bool {
        agent
            .hook
            .as_ref()
            .and_then(|hook| self.bead(hook))
            .is_some_and(Self::is_patrol_batch)
    }

    /// Whether a bead is a triage batch that the engine made.
    pub(crate) fn is_patrol_batch(bead: &Bead) -> bool {
        bead.work() == Some(&Work::TriageBatch)
            && bead.created_by == Some(crate::bead::CreatedBy::Patrol)
    }
}

/// What an edge or a field names, each once, by id.
fn by_edge_or_field<'a>(
    by_edge: impl Iterator<Item = &'a BeadId>,
    by_field: impl Iterator<Item = &'a BeadId>,
) -> Vec<&'a BeadId> {
    let mut ids: Vec<&BeadId> = by_edge.chain(by_field).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Whether an MR bead ended with its work on the target; an absent outcome means merged.
pub(crate) fn is_merged(mr: &Bead) -> bool {
    mr.status == BeadStatus::Closed
        && mr
            .review()
            .is_some_and(|review| matches!(review.outcome, None | Some(ReviewOutcome::Merged)))
}
