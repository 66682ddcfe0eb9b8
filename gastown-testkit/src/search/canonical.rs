//! A town as what it can still do: the same digest for states that differ only in what no rule can
//! tell apart.

mod digest;
mod horizon;
mod names;
mod town;
mod writer;

use gastown_core::{Effect, EffectKind, Town};

pub(crate) use self::digest::{Digest, Mark};
pub(crate) use self::horizon::Horizon;
pub(crate) use self::names::{Names, behind};
pub(crate) use self::town::town;

/// The grid of all times, in milliseconds.
pub(crate) const GRID: i64 = 60_000;

/// Adds an effect under way to a digest: what it is for, and whether it is current.
pub(crate) fn effect(effect: &Effect, town: &Town, names: &Names<'_>, out: &mut Digest) {
    names.text(&effect.key.kind, out);
    names.text(&effect.key.subject, out);
    out.yes_or_no(town.wants(effect));
    if let EffectKind::StopAgent(stop) = &effect.kind {
        let current = names.session_of(stop.agent_id.as_str());
        out.number(behind(current, stop.session));
        let current = town.agent(&stop.agent_id).map(|agent| agent.stops);
        out.yes_or_no(current == Some(effect.key.attempt));
    }
}
