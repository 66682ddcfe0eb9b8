//! I15 quiet-drain: while draining no dispatch, no new agent, no nudge.

use alloc::format;
use alloc::vec::Vec;

use super::{Transition, Violation};
use crate::action::ActionKind;

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    if !step.before.is_draining() {
        return;
    }
    for action in step.actions() {
        if matches!(
            action.kind,
            ActionKind::DispatchAgent(_) | ActionKind::CreateAgent(_) | ActionKind::SendNudge(_)
        ) {
            let message = format!("{} while draining", action.kind.type_name());
            out.push(Violation::new("I15", [&action.rule], message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::step_violations;

    #[test]
    fn i15_nothing_new_while_draining() {
        for loud in [
            r#"{"rule":"x/y","type":"dispatch_agent","agent_id":"a1","bead_id":"b1","rig_id":"r1","session":1,"attempt":1}"#,
            r#"{"rule":"x/y","type":"create_agent","agent_id":"a1","role":"polecat","name":"n","identity":"i","rig_id":"r1"}"#,
            r#"{"rule":"x/y","type":"send_nudge","agent_id":"a1","nudge_id":"n1","tier":"warn","message":"go on"}"#,
        ] {
            let actions = std::format!("[{loud}]");
            let drained = "town drain.nonce=n drain.started_at=0s";
            assert!(step_violations(drained, &actions, drained).starts_with("I15 x/y: "));
            assert_eq!(step_violations("", &actions, ""), "");
        }
    }
}
