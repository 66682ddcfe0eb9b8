use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::testing::executes;

const TOWN: &str = r#"
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=1
        agent a9 polecat dead rig_id=r1
        bead b1 issue in_progress rig_id=r1
    "#;

#[test]
fn every_command_is_in_the_catalogue_once() {
    let types: Vec<&str> = COMMANDS.iter().map(|info| info.type_name).collect();
    assert_eq!(types, CommandKind::TYPES);
    let tools: BTreeSet<&str> = COMMANDS.iter().filter_map(|info| info.tool_name).collect();
    assert_eq!(tools.len(), tool_schemas().len());
    for name in [
        "gt_sling",
        "gt_sling_batch",
        "gt_done",
        "gt_request_changes",
        "gt_escalate",
        "gt_triage_resolve",
        "gt_nudge",
        "gt_mail_send",
        "gt_mail_check",
        "gt_status",
        "gt_checkpoint",
        "gt_mol_advance",
    ] {
        assert!(tools.contains(name), "{name}");
    }
}

#[test]
fn every_schema_forbids_what_is_unknown_and_describes_its_fields() {
    for (name, schema) in tool_schemas() {
        assert_eq!(schema["additionalProperties"], false, "{name}");
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            assert!(property["description"].is_string(), "{name}.{field}");
        }
    }
    let sling = &command_schemas()["sling"];
    assert_eq!(sling["properties"]["type"]["const"], "sling");
    assert_eq!(
        sling["required"],
        serde_json::json!(["rig_id", "title", "type", "caller"])
    );
}

#[test]
fn tools_by_role() {
    let names = |role| -> String {
        let names: Vec<&str> = tools_of(role).filter_map(|info| info.tool_name).collect();
        names.join(" ")
    };
    insta::assert_snapshot!(names(Role::Polecat), @"gt_done gt_escalate gt_triage_resolve gt_mail_send gt_mail_check gt_status gt_checkpoint gt_create_molecule gt_mol_advance");
    insta::assert_snapshot!(names(Role::Refinery), @"gt_done gt_request_changes gt_escalate gt_triage_resolve gt_mail_send gt_mail_check gt_status gt_checkpoint gt_create_molecule gt_mol_advance");
    insta::assert_snapshot!(names(Role::Mayor), @"gt_sling gt_sling_batch gt_start_convoy gt_land_convoy gt_convoy_add gt_convoy_remove gt_escalate gt_acknowledge gt_update_bead gt_hold gt_release gt_close_bead gt_fail_bead gt_reopen_bead gt_retry gt_set_dependencies gt_nudge gt_mail_send gt_mail_check gt_status gt_checkpoint gt_create_molecule");
}

#[test]
fn callers_are_looked_up_and_bound() {
    insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "hold", "caller": {"kind": "agent", "id": "a1"}, "bead_id": "b1"}
            {"type": "report_status", "caller": {"kind": "agent", "id": "a2"}, "message": "x"}
            {"type": "report_status", "caller": {"kind": "agent", "id": "a9"}, "message": "x"}
            {"type": "report_status", "caller": {"kind": "user", "id": "ann"}, "message": "x"}
            {"type": "hold", "caller": {"kind": "user", "id": "patrol"}, "bead_id": "b1"}
            {"type": "hold", "caller": {"kind": "user", "id": "__ann__"}, "bead_id": "b1"}
            {"type": "hold", "caller": {"kind": "user", "id": "ann", "rig_id": "r2"}, "bead_id": "b1"}
            {"type": "hold", "caller": {"kind": "nobody"}, "bead_id": "b1"}
            {"type": "hold", "caller": {"kind": "host"}, "bead_id": "b1"}
        "#), @r#"
        refused Forbidden: caller: a1 may not hold
        refused NotFound: caller.id: there is no agent "a2"
        refused Forbidden: caller: the agent was given up
        refused Forbidden: caller: ann may not report_status
        refused Invalid: caller.id: "patrol" is a name of the engine's own
        refused Invalid: caller.id: is a reserved word (it begins and ends with two underscores)
        refused Forbidden: bead_id: belongs to another rig than "r2", the caller's
        unreadable: caller.kind: unknown variant `nobody`, expected one of `user`, `mayor`, `agent`, `host`
        hold []: b1 is held
          b1.labels: [] → ["gt:held"]
        "#);
}

#[test]
fn what_can_not_be_read_is_refused_with_its_path() {
    insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "slung", "caller": {"kind": "mayor"}}
            {"type": "sling", "rig_id": "r1", "title": "x"}
            {"type": "sling", "caller": {"kind": "mayor"}, "title": "x"}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "__null_rig__", "title": "x"}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "metadata": "{}"}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "urgency": 1}
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "tasks": [{"title": "a"}, {"title": "b", "depends_on": ["a"]}]}
        "#), @r#"
        unreadable: type: unknown type "slung", expected one of sling, sling_convoy, start_convoy, land_convoy, convoy_add, convoy_remove, done, request_changes, escalate, acknowledge, resolve_triage, update_bead, hold, release, close_bead, fail_bead, reopen_bead, retry, grant, delete_beads, set_dependencies, nudge, send_mail, check_mail, report_status, checkpoint, create_molecule, advance_step, add_rig, update_rig, remove_rig, update_config, probe
        unreadable: caller: missing field `caller`
        unreadable: rig_id: missing field `rig_id`
        unreadable: rig_id: not a valid rig id: "__null_rig__" is a reserved word (it begins and ends with two underscores)
        unreadable: metadata: expected a JSON object, found a string: pass the object itself, not JSON inside a string
        unreadable: urgency: unknown field `urgency`, expected one of `rig_id`, `title`, `body`, `priority`, `labels`, `metadata`, `depends_on`
        unreadable: tasks[1].depends_on[0]: invalid type: string "a", expected usize
        "#);
}

#[test]
fn a_command_survives_its_wire_form() {
    let text = r#"{"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x",
            "body": null, "priority": "high", "labels": [], "metadata": {}, "depends_on": ["b0"]}"#;
    let command = crate::wire::command_from_str(text).unwrap();
    let written = serde_json::to_string(&command).unwrap();
    insta::assert_snapshot!(written, @r#"{"caller":{"kind":"mayor"},"type":"sling","rig_id":"r1","title":"x","priority":"high","depends_on":["b0"]}"#);
    assert_eq!(crate::wire::command_from_str(&written).unwrap(), command);
}
