//! The container is being evicted (spec 3.1).

mod timeout;

use super::Rule;

pub(super) const RULES: &[Rule] = &[timeout::RULE];
