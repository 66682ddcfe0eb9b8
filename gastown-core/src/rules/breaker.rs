//! The circuit breaker (spec 3.6): starts that fail don't go on burning money.

mod probe;
mod reset;
mod trip;

use super::Rule;

pub(super) const RULES: &[Rule] = &[reset::RULE, trip::RULE, probe::RULE];
