//! Rules of the group `convoys` (spec 3).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
