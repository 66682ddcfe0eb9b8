//! Rules of the group `beads` (spec 3).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
