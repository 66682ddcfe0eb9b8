//! P7: every live bead waits for somebody or something that can move.

use std::collections::BTreeSet;

use gastown_core::{
    AgentId, AgentStatus, Bead, BeadId, BeadKind, BreakerState, ExplainedWait, Timestamp, Town,
    WaitFor, explain, waits_for,
};

/// Every live bead of a settled town is explained, and one of its waits at least is for somebody
/// or something that can move.
///
/// # Errors
/// The bead that nobody moves, and what is said of it.
pub fn no_silent_stall(town: &Town, now: Timestamp) -> Result<(), String> {
    let mut sound: BTreeSet<BeadId> = BTreeSet::new();
    for bead in town.live_beads() {
        let mut way = Vec::new();
        moves(town, now, bead, &mut sound, &mut way)?;
    }
    Ok(())
}

/// Follows the waits of a bead to one that can move.
fn moves(
    town: &Town,
    now: Timestamp,
    bead: &Bead,
    sound: &mut BTreeSet<BeadId>,
    way: &mut Vec<BeadId>,
) -> Result<(), String> {
    if sound.contains(&bead.id) {
        return Ok(());
    }
    if way.contains(&bead.id) {
        return Err(format!("P7: {} waits for itself by {way:?}", bead.id));
    }
    way.push(bead.id.clone());
    let found = first_sound(town, now, bead, sound, way);
    way.pop();
    found.map(|()| {
        sound.insert(bead.id.clone());
    })
}

/// Whether any wait of a bead is sound. Which rule is next needs a look ahead, so it is asked for
/// only where no wait is sound without it.
fn first_sound(
    town: &Town,
    now: Timestamp,
    bead: &Bead,
    sound: &mut BTreeSet<BeadId>,
    way: &mut Vec<BeadId>,
) -> Result<(), String> {
    let waits = waits_for(town, now, &bead.id);
    let mut problem = "it waits for nothing".to_string();
    for goes_on in [false, true] {
        if goes_on {
            let explanation = explain(town, now, &bead.id);
            if explanation.is_none_or(|explanation| explanation.next_rule.is_none()) {
                break;
            }
        }
        for wait in &waits {
            match is_sound(town, now, bead, goes_on, wait, sound, way) {
                Ok(()) => return Ok(()),
                Err(why) => problem = why,
            }
        }
    }
    Err(format!("P7: {}: {problem}; {waits:?}; {bead:?}", bead.id))
}

fn is_sound(
    town: &Town,
    now: Timestamp,
    bead: &Bead,
    goes_on: bool,
    wait: &ExplainedWait,
    sound: &mut BTreeSet<BeadId>,
    way: &mut Vec<BeadId>,
) -> Result<(), String> {
    let demand = |holds: bool, why: &str| {
        if holds {
            Ok(())
        } else {
            Err(format!("{why}: {wait:?}"))
        }
    };
    match wait.kind {
        WaitFor::Time => demand(
            goes_on || wait.until.is_some_and(|until| until > now),
            "a time that does not come",
        ),
        WaitFor::Agent => demand(
            goes_on
                || wait
                    .id
                    .as_deref()
                    .is_some_and(|id| is_at_work(town, bead, id)),
            "an agent that does nothing",
        ),
        WaitFor::Bead => match other_bead(town, wait) {
            Some(other) if other.is_live() => moves(town, now, other, sound, way),
            _ => demand(goes_on, "a bead that is not there, or has ended"),
        },
        WaitFor::Forge => demand(
            goes_on || wait.until.is_some_and(|until| until > now) || asks_the_forge(bead),
            "a forge that nobody asks",
        ),
        WaitFor::Person => demand(knows(town, bead), "a person whom nobody told"),
        // One that ends at a time of its own is told to nobody.
        WaitFor::Condition => demand(
            goes_on
                || wait.until.is_some_and(|until| until > now)
                || town
                    .conditions()
                    .any(|condition| condition.told_at.is_some()),
            "a condition that nobody was told of",
        ),
    }
}

fn other_bead<'a>(town: &'a Town, wait: &ExplainedWait) -> Option<&'a Bead> {
    town.bead(&wait.id.as_deref()?.parse().ok()?)
}

/// An agent that runs, or a rig whose agents do; mail waits for whoever reads it.
fn is_at_work(town: &Town, bead: &Bead, id: &str) -> bool {
    let agent = id.parse::<AgentId>().ok().and_then(|id| town.agent(&id));
    let rig_works = town.agents().any(|agent| {
        agent.hook.is_some() && agent.rig_id.as_ref().is_some_and(|rig| rig.as_str() == id)
    });
    let runs = agent.is_some_and(|agent| {
        agent.status == AgentStatus::Working || agent.status == AgentStatus::Stalled
    });
    runs || rig_works || matches!(bead.kind, BeadKind::Message(_))
}

/// A merge, or the question whether one landed, is under way. What else asks the forge is waited for until a
/// time of its own.
fn asks_the_forge(bead: &Bead) -> bool {
    bead.review().is_some_and(|review| {
        let is_asked = (review.verify.as_ref()).is_some_and(|verify| verify.asked_at.is_some());
        review.auto_merge.attempt.is_some() || is_asked
    })
}

/// A person was told, or a person's own command makes it wait, or the forge tells the people of
/// an open pull request.
fn knows(town: &Town, bead: &Bead) -> bool {
    let by_nature = match &bead.kind {
        BeadKind::Escalation(_) => true,
        BeadKind::MergeRequest(review) => review.pr_url.is_some(),
        BeadKind::Convoy(_) | BeadKind::Issue(_) | BeadKind::Molecule | BeadKind::Message(_) => {
            false
        }
    };
    by_nature || was_told(town, bead)
}

/// A person was told of a bead, or a person's own command makes it wait.
fn was_told(town: &Town, bead: &Bead) -> bool {
    let told = !bead.told.is_empty() || bead.held;
    let is_staged = |bead: &Bead| bead.convoy().is_some_and(|convoy| convoy.staged);
    // A convoy is started by a person's command, and ends before its branch by one only.
    let staged = is_staged(bead)
        || town
            .convoy_of(town.source_of(bead).unwrap_or(&bead.id))
            .is_some_and(|of| !of.is_live() || is_staged(of));
    // The source of a review waits with it.
    let source_held = town
        .source_of(bead)
        .and_then(|id| town.bead(id))
        .is_some_and(|source| source.held);
    let breaker = &town.state().breaker;
    let breaker_told = breaker.state != BreakerState::Closed && breaker.told_at.is_some();
    told || staged || source_held || breaker_told
}
