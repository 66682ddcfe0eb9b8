//! Rules of the group `conditions` (spec 3).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
