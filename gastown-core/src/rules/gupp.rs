//! Rules of the group `gupp` (spec 3).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
