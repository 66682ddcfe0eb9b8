//! Rules of the group `escalations` (spec 3).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
