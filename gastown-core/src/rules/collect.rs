//! Clean-up, nudges, molecules, tokens and the container (spec 3.11).

mod active_work;
mod agents;
mod molecules_complete;
mod molecules_fail;
mod nudges_deliver;
mod nudges_expire;
mod refresh_token;
mod renew_llm_token;
mod stop_idle;

use super::Rule;

pub(super) const RULES: &[Rule] = &[
    agents::RULE,
    nudges_deliver::RULE,
    nudges_expire::RULE,
    molecules_complete::RULE,
    molecules_fail::RULE,
    refresh_token::RULE,
    renew_llm_token::RULE,
    stop_idle::RULE,
];
