//! Rules of the group `agents` (spec 3).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
