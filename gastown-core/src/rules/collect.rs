//! Rules of the group `collect` (spec 3).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
