//! Commands of people, of the mayor and of agents, many of which have to be refused.

use serde_json::{Value, json};

use super::{World, choose};

/// What people may do to the beads of a world.
const COMMANDS: &[&str] = &[
    "hold",
    "release",
    "release",
    "close_bead",
    "fail_bead",
    "reopen_bead",
    "retry",
    "grant",
    "acknowledge",
    "start_convoy",
    "land_convoy",
    "convoy_add",
    "convoy_remove",
    "set_dependencies",
    "update_bead",
    "delete_beads",
    "create_molecule",
    "resolve_triage",
    "nudge",
    "update_config",
    "update_rig",
    "send_mail",
];

const TRIAGE_ACTIONS: &[&str] = &[
    "RESTART",
    "RESTART_WITH_BACKOFF",
    "CLOSE_BEAD",
    "REASSIGN_BEAD",
    "NUDGE",
    "ESCALATE",
    "DISCARD",
    "DANCE",
];

impl World {
    pub(super) fn person(&mut self, which: u8, what: u8, other: u8) {
        let beads: Vec<String> = self.town.beads().map(|bead| bead.id.to_string()).collect();
        let (Some(bead), Some(name)) = (choose(&beads, which), choose(COMMANDS, what)) else {
            return;
        };
        let Some(second) = choose(&beads, other) else {
            return;
        };
        let user = json!({"kind": "user", "id": "ann"});
        let mut command = self.fields(name, bead, second, other);
        if let Some(object) = command.as_object_mut() {
            object.insert("type".into(), (*name).into());
            object.insert("caller".into(), user);
        }
        self.command(command);
    }

    /// The fields of a command about one bead, and perhaps another.
    fn fields(&self, name: &str, bead: &str, second: &str, other: u8) -> Value {
        let agents: Vec<String> = self.town.agents().map(|a| a.id.to_string()).collect();
        match name {
            "grant" => json!({"bead_id": bead, "dispatches": 3}),
            "acknowledge" => json!({"escalation_id": bead}),
            "start_convoy" | "land_convoy" => json!({"convoy_id": bead}),
            "convoy_add" | "convoy_remove" => json!({"convoy_id": second, "bead_id": bead}),
            "set_dependencies" => json!({"bead_id": bead, "depends_on": [second]}),
            "update_bead" => {
                // Two keys that look like one path, and a null that looks like nothing.
                let metadata = match other % 3 {
                    0 => json!({"a.b": other, "a": {"b": other, "c": null}}),
                    1 => json!({"a": {"b": other}}),
                    _ => json!({}),
                };
                json!({"bead_id": bead, "rig_id": if other < 128 { "r1" } else { "r2" }, "metadata": metadata,
                       "priority": if other.is_multiple_of(2) { "critical" } else { "low" }})
            }
            "delete_beads" => json!({"bead_ids": if other < 64 { vec![bead] } else { Vec::new() }}),
            "create_molecule" => {
                json!({"bead_id": bead, "steps": [{"title": "one"}, {"title": "two"}]})
            }
            "resolve_triage" => json!({"request_id": bead, "notes": "so",
                                       "action": choose(TRIAGE_ACTIONS, other)}),
            "nudge" => json!({"agent_id": choose(&agents, other), "message": "go on",
                              "mode": choose(&["immediate", "when_idle", "queue"], other)}),
            "update_config" => json!({"config": {"refinery": {
                "code_review": other.is_multiple_of(2), "auto_merge_delay_minutes": other % 7}}}),
            "update_rig" => {
                json!({"rig_id": "r1", "default_branch": if other < 200 { "main" } else { "next" }})
            }
            "send_mail" => json!({"to": choose(&agents, other), "subject": "so", "body": "so"}),
            _ => json!({"bead_id": bead}),
        }
    }

    /// An agent uses one of its tools.
    pub(super) fn tool(&mut self, which: u8, what: u8, other: u8) {
        let agents: Vec<_> = self.town.agents().cloned().collect();
        let Some(agent) = choose(&agents, which) else {
            return;
        };
        let beads: Vec<String> = self.town.beads().map(|bead| bead.id.to_string()).collect();
        let branch = format!(
            "work/{}",
            agent.hook.as_ref().map_or("none", |hook| hook.as_str())
        );
        let mut command = match what % 9 {
            0 => json!({"type": "done", "branch": branch, "merge_commit": "c0ffee"}),
            // A pull request of somebody else.
            1 => {
                json!({"type": "done", "branch": branch, "pr_url": "https://github.com/evil/r1/pull/1"})
            }
            2 => json!({"type": "report_status", "message": "at it"}),
            // A float that a careless reader takes for its neighbour.
            3 => {
                json!({"type": "checkpoint", "data": {"step": other, "done": 0.945_270_695_553_922_3}})
            }
            4 => json!({"type": "advance_step", "summary": "so"}),
            5 => {
                json!({"type": "send_mail", "to": choose(&agents, other).map(|a| a.id.to_string()),
                        "subject": "so", "body": "so"})
            }
            6 => json!({"type": "check_mail"}),
            7 => {
                json!({"type": "resolve_triage", "request_id": choose(&beads, other), "notes": "so",
                        "action": choose(TRIAGE_ACTIONS, other)})
            }
            _ => json!({"type": "create_molecule", "bead_id": choose(&beads, other),
                        "steps": [{"title": "one"}]}),
        };
        if let Some(object) = command.as_object_mut() {
            let caller = json!({"kind": "agent", "id": agent.id.as_str()});
            object.insert("caller".into(), caller);
        }
        self.command(command);
    }
}
