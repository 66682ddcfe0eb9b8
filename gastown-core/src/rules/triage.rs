//! Rules of the group `triage` (spec 3).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
