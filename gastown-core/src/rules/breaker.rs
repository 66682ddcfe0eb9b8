//! The circuit breaker (spec 3.6).

use super::Rule;

pub(super) const RULES: &[Rule] = &[];
