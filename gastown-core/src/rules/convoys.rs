//! Rules of the group `convoys` (spec 3.5).

mod all_failed;
mod branch;
mod close;
mod empty;
mod land;
mod landing_exhausted;
mod progress;
mod ready;
mod some_failed;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Rule;
use crate::bead::{Bead, BeadStatus};
use crate::convoy::Convoy;
use crate::ids::RigId;
use crate::pass::Pass;
use crate::rig::Rig;
use crate::time::Timestamp;
use crate::town::{Town, is_merged};

pub(super) const RULES: &[Rule] = &[
    branch::RULE,
    progress::RULE,
    empty::RULE,
    all_failed::RULE,
    some_failed::RULE,
    close::RULE,
    ready::RULE,
    landing_exhausted::RULE,
    land::RULE,
];

/// A live convoy with its issues: those that track it.
struct Issues<'a> {
    bead: &'a Bead,
    convoy: &'a Convoy,
    all: Vec<&'a Bead>,
}

impl<'a> Issues<'a> {
    fn of(town: &'a Town, bead: &'a Bead) -> Option<Self> {
        Some(Self {
            bead,
            convoy: bead.convoy()?,
            all: town.issues_of(&bead.id),
        })
    }

    /// As [`Self::of`], of a convoy that was started: staged ones get only their counts.
    fn of_started(town: &'a Town, bead: &'a Bead) -> Option<Self> {
        Self::of(town, bead).filter(|issues| !issues.convoy.staged)
    }

    fn with_status(&self, status: BeadStatus) -> impl Iterator<Item = &'a Bead> {
        self.all
            .iter()
            .copied()
            .filter(move |issue| issue.status == status)
    }

    /// The branch that the convoy lands from, if it lands at all.
    fn lands_from(&self) -> Option<&'a str> {
        self.convoy.lands_from()
    }

    /// At least one issue closed, all closed or (once that was ordered) terminal, and no live MR
    /// bead tracks any of them.
    fn are_done(&self, town: &Town) -> bool {
        let ended = |issue: &&Bead| {
            issue.status == BeadStatus::Closed
                || (self.convoy.landing_ordered && issue.status == BeadStatus::Failed)
        };
        self.with_status(BeadStatus::Closed).next().is_some()
            && self.all.iter().all(ended)
            && !self.all.iter().any(|issue| is_reviewed_still(town, issue))
    }

    /// How the landing stands in each existing rig of the closed issues.
    fn landings(&self, pass: &Pass<'a>) -> BTreeMap<&'a RigId, (&'a Rig, Landed<'a>)> {
        let town = pass.town;
        let mut last_closed: BTreeMap<&RigId, (&Rig, Timestamp)> = BTreeMap::new();
        for issue in self.with_status(BeadStatus::Closed) {
            let closed_at = issue.closed_at.unwrap_or(issue.in_status_since());
            if let Some(rig) = town.rig_of(issue) {
                let (_, last) = last_closed.entry(&rig.id).or_insert((rig, closed_at));
                *last = closed_at.max(*last);
            }
        }
        let landing_mrs = town.reviews_of(&self.bead.id);
        let landed = |rig: &Rig, since| self.landed_in(&landing_mrs, &rig.id, since);
        last_closed
            .into_iter()
            .map(|(id, (rig, since))| (id, (rig, landed(rig, since))))
            .collect()
    }

    /// How the landing stands in one rig whose last issue closed at `since`.
    fn landed_in(&self, landing_mrs: &[&'a Bead], rig: &RigId, since: Timestamp) -> Landed<'a> {
        let of_rig = |mr: &&&Bead| mr.review().is_some_and(|review| review.lands_in(mr, rig));
        let lands_all = |mr: &Bead| {
            let known = mr.review().and_then(|review| review.lands_all);
            known.unwrap_or(mr.created_at >= since)
        };
        let mrs: Vec<&Bead> = landing_mrs.iter().filter(of_rig).copied().collect();
        let record = self.convoy.landing_of(rig);
        let merged = mrs.iter().any(|mr| is_merged(mr) && lands_all(mr));
        // The record speaks where the review itself is gone.
        let recorded =
            mrs.is_empty() && record.landed_at.is_some_and(|landed_at| landed_at >= since);
        if merged || recorded {
            return Landed::Yes;
        }
        match mrs.into_iter().find(|mr| mr.is_live()) {
            Some(mr) => Landed::UnderReview(mr),
            None => Landed::NotYet {
                attempts: record.attempts,
                last_attempt_at: record.last_attempt_at,
            },
        }
    }
}

/// How the landing of a convoy stands in one rig.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Landed<'a> {
    /// A landing MR was merged after the rig's last issue closed.
    Yes,
    /// A landing MR is live.
    UnderReview(&'a Bead),
    /// None is.
    NotYet {
        attempts: u32,
        last_attempt_at: Option<Timestamp>,
    },
}

fn is_reviewed_still(town: &Town, issue: &Bead) -> bool {
    town.reviews_of(&issue.id).iter().any(|mr| mr.is_live())
}
