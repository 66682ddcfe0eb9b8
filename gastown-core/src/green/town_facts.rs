//! The conditions of *green* that the town knows by itself. They are true at the moment of asking.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::GreenCondition;
use crate::bead::{Bead, BeadStatus};
use crate::config::{AutoMergeDelay, Settings};
use crate::eligible::{held_of, is_reviewed};
use crate::review::Review;
use crate::rig::Repository;
use crate::town::Town;
use crate::verdict::WaitFor;

/// The name of the condition that the stored URL is this review's alone and of its rig.
pub(crate) const PULL_REQUEST: &str = "pull_request";

pub(super) fn conditions(
    town: &Town,
    mr: &Bead,
    review: &Review,
    settings: &Settings,
) -> Vec<GreenCondition> {
    let mut out = Vec::from([
        rig(town, mr),
        pull_request(town, mr, review),
        unblocked(town, mr),
        not_held(town, mr),
        source(town, mr, review),
        newest(town, mr),
        auto_merge(settings),
        delay(settings),
        not_off(review),
    ]);
    if settings.code_review {
        out.push(reviewed(mr, review, settings));
    }
    out
}

fn rig(town: &Town, mr: &Bead) -> GreenCondition {
    let rig = town.rig_of_review(mr);
    let value = rig.map_or(Cow::Borrowed("no rig is known for it"), |rig| {
        rig.id.to_string().into()
    });
    GreenCondition::town("rig", rig.is_some(), WaitFor::Person, value)
}

/// The stored URL names the rig's repository and belongs to this review alone (invariant I14).
fn pull_request(town: &Town, mr: &Bead, review: &Review) -> GreenCondition {
    let url = review.pr_url.as_deref().unwrap_or("");
    let known = town.rig_of_review(mr).and_then(|rig| rig.repository());
    let named = Repository::of_pr_url(url).map(|(repository, _)| repository);
    let value =
        |holds, text| GreenCondition::town(PULL_REQUEST, holds, WaitFor::Person, Cow::Owned(text));
    if named.is_none() || named != known {
        return value(false, format!("{url} is not of the rig's repository"));
    }
    match town
        .live_reviews_with_pr(url)
        .find(|other| other.id != mr.id)
    {
        Some(other) => value(false, format!("{} has it too", other.id))
            .of(&other.id)
            .since(Some(other.created_at)),
        None => value(true, url.to_string()),
    }
}

fn unblocked(town: &Town, mr: &Bead) -> GreenCondition {
    const NAME: &str = "unblocked";
    match town.live_blockers(&mr.id).next() {
        None => GreenCondition::town(NAME, true, WaitFor::Bead, "nothing blocks it"),
        Some(Bead { id, created_at, .. }) => {
            let value = format!("{id} is not finished");
            GreenCondition::town(NAME, false, WaitFor::Bead, value)
                .of(id)
                .since(Some(*created_at))
        }
    }
}

fn not_held(town: &Town, mr: &Bead) -> GreenCondition {
    match held_of(town, mr) {
        None => GreenCondition::town("not_held", true, WaitFor::Person, "not held"),
        Some(bead) => {
            let value = format!("{} is held until a person releases it", bead.id);
            GreenCondition::town("not_held", false, WaitFor::Person, value).of(&bead.id)
        }
    }
}

fn source(town: &Town, mr: &Bead, review: &Review) -> GreenCondition {
    let id = town.source_of(mr).unwrap_or(&review.source);
    let status = town.bead(id).map(|source| source.status);
    let (holds, value) = match status {
        None => (false, "missing"),
        Some(status) if review.is_landing() => (!status.is_terminal(), "a convoy to land"),
        Some(status) => (status == BeadStatus::InReview, status.as_str()),
    };
    GreenCondition::town("source", holds, WaitFor::Bead, value)
        .of(id)
        .since(town.bead(id).map(Bead::in_status_since))
}

/// The newest live review of its source, of those that go to the same repository.
fn newest(town: &Town, mr: &Bead) -> GreenCondition {
    match town.newer_review(mr) {
        None => GreenCondition::town("newest", true, WaitFor::Bead, "the newest of its source"),
        Some(newer) => {
            let value = format!("{} of the same source is newer", newer.id);
            GreenCondition::town("newest", false, WaitFor::Bead, value)
                .of(&newer.id)
                .since(Some(newer.created_at))
        }
    }
}

fn auto_merge(settings: &Settings) -> GreenCondition {
    let value = if settings.auto_merge {
        "on"
    } else {
        "off; people merge"
    };
    GreenCondition::town("auto_merge", settings.auto_merge, WaitFor::Person, value)
}

fn delay(settings: &Settings) -> GreenCondition {
    let (holds, value) = match settings.auto_merge_delay {
        AutoMergeDelay::Never => (false, Cow::Borrowed("never; people merge")),
        AutoMergeDelay::After(span) => (true, format!("{} s", span.as_secs()).into()),
    };
    GreenCondition::town("delay", holds, WaitFor::Person, value)
}

fn not_off(review: &Review) -> GreenCondition {
    let off = review.auto_merge.off_for_head.as_deref();
    let is_off = off.is_some() && (off == review.head_sha.as_deref() || review.head_sha.is_none());
    let value = if is_off {
        "off for this head; a person was told"
    } else {
        "not off for this head"
    };
    GreenCondition::town("not_off", !is_off, WaitFor::Person, value)
}

fn reviewed(mr: &Bead, review: &Review, settings: &Settings) -> GreenCondition {
    let holds = is_reviewed(mr, settings);
    let passed = review.reviewed.as_ref().map(|reviewed| {
        reviewed
            .head_sha
            .as_deref()
            .unwrap_or("a head that it did not name")
    });
    let value = match (holds, passed) {
        (true, Some(head)) => Cow::Owned(format!("a refinery passed {head}")),
        (_, Some(head)) => format!("a refinery passed {head}, not this head").into(),
        (_, None) => "no refinery has passed it".into(),
    };
    GreenCondition::town("reviewed", holds, WaitFor::Agent, value).since(review.head_seen_at)
}
