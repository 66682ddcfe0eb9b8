//! `done`: an agent says that its work is done (spec 4.1).

use alloc::string::ToString;

use crate::event::AgentDone;
use crate::observe::Outcome;
use crate::time::Timestamp;
use crate::town::Town;

impl Town {
    pub(in crate::observe) fn agent_done(
        &mut self,
        _event: &AgentDone,
        _now: Timestamp,
    ) -> Outcome {
        Err("not observed yet".to_string())
    }
}
