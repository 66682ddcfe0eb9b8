//! Sending agents to work (spec 3.6).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
