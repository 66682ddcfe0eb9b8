use serde_json::json;

use super::*;
use crate::context::{MAIL_MAX, TRIAGE_REQUESTS_MAX, start_request};
use crate::effect::StartAgent;
use crate::testing::town;

#[test]
fn texts_are_cut_names_are_not_and_what_the_forge_said_is_left_out() {
    let long = "x".repeat(200);
    let mut value = json!({
        "bead": {"body": long, "labels": ["short", long], "metadata": {"files": [long, long, long]},
            "review": {"branch": long, "observation": {"head_sha": "h1"}, "pr_url": long}},
        "checkpoint": 7,
    });
    cut_texts(&mut value, 128);
    let cut = alloc::format!("{}{CUT}", "x".repeat(128));
    let expected = json!({
        "bead": {"body": cut, "labels": ["short", cut], "metadata": {"files": [long, long, "… (cut)"]},
            "review": {"branch": long, "observation": null, "pr_url": long}},
        "checkpoint": 7,
    });
    assert_eq!(value, expected);
    // Once more changes nothing, and further cutting leaves one mark.
    cut_texts(&mut value, 128);
    assert_eq!(value["bead"]["body"], cut);
    cut_texts(&mut value, 10);
    assert_eq!(value["bead"]["body"], "xxxxxxxxxx … (cut)");
}

/// A town in which the agent has all that its bead, its mail and its settings may hold, each text
/// filled with `fill`; the rest of it is `more`.
fn full_of(fill: &str, more: &str) -> Town {
    use crate::command::limits;
    let text = |bytes: usize| fill.repeat(bytes / fill.len());
    let quoted = |bytes: usize| serde_json::to_string(&text(bytes)).unwrap();
    let title = serde_json::to_string(&fill.repeat(limits::TITLE_CHARACTERS_MAX)).unwrap();
    let gate = fill.repeat(limits::SETTING_CHARACTERS_MAX / 8);
    let gates = serde_json::to_string(&alloc::vec![gate; limits::GATES_MAX]).unwrap();
    let files = alloc::vec!["f".repeat(limits::PATH_CHARACTERS_MAX); limits::FILES_MAX];
    let files = serde_json::to_string(&files).unwrap();
    let branch = "b".repeat(limits::PATH_CHARACTERS_MAX);
    let checkpoint = serde_json::json!({"at": "x".repeat(limits::CHECKPOINT_BYTES_MAX - 10)});
    let mut out = alloc::format!(
        "town config.refinery.gates={gates}
        rig r1 git_url=https://github.com/acme/r1.git
        agent a1 polecat working rig_id=r1 hook=b1 session=1 checkpoint={checkpoint}
        {more}
        "
    );
    for number in 0..MAIL_MAX {
        let body = quoted(limits::TEXT_BYTES_MAX);
        out.push_str(&alloc::format!(
            "bead s{number} message open title={title} body={body} message.to=a1\n"
        ));
    }
    let body = quoted(limits::TEXT_BYTES_MAX);
    for (name, value) in [
        ("{files}", &files),
        ("{title}", &title),
        ("{branch}", &branch),
        ("{text}", &body),
        ("{body}", &quoted(limits::BODY_BYTES_MAX)),
    ] {
        out = out.replace(name, value);
    }
    town(&out)
}

/// What more there may be, each in the words of a town.
fn fullest() -> [String; 4] {
    use crate::command::limits;
    let bead = "bead b1 issue in_progress title={title} body={body} rig_id=r1";
    let mut steps = alloc::format!("{bead}\nbead f0 molecule open parent_id=b1\n");
    for step in 1..=limits::STEPS_MAX {
        steps.push_str(&alloc::format!(
            "bead f{step} issue open title={{title}} body={{text}} parent_id=f0 labels=[\"gt:molecule-step\"]\n"
        ));
    }
    let mut triage = String::from(
        "bead b1 issue in_progress title=Triage created_by=patrol rig_id=r1 labels=[\"gt:triage\"]\n",
    );
    for request in 0..TRIAGE_REQUESTS_MAX {
        triage.push_str(&alloc::format!(
            "bead q{request} issue open title={{title}} body={{text}} rig_id=r1 labels=[\"gt:triage-request\"] metadata.triage_type=stuck_agent metadata.agent_id=a2\n"
        ));
    }
    let rework = alloc::format!(
        "{bead} parent_id=m1 labels=[\"gt:rework\"] metadata.rework_for=b0 metadata.mr_bead_id=m1 metadata.branch={{branch}} metadata.target_branch={{branch}} metadata.files={{files}}
        bead b0 issue in_review title={{title}} body={{body}} rig_id=r1
        bead m1 merge_request open rig_id=r1 review.source=b0 review.branch={{branch}}
        edge m1 tracks b0"
    );
    [bead.into(), steps, triage, rework]
}

/// A start that can't be said is a refused dispatch, and five of these stop the town.
#[test]
fn a_start_fits_into_a_line_whatever_there_is_to_say() {
    let start = StartAgent {
        agent_id: "a1".parse().unwrap(),
        bead_id: "b1".parse().unwrap(),
        rig_id: "r1".parse().unwrap(),
        session: 1,
        attempt: 1,
    };
    // JSON writes the last one in six bytes.
    for fill in ["x", "\u{e9}", "\u{1}"] {
        for (number, more) in fullest().iter().enumerate() {
            let request = start_request(&full_of(fill, more), &start).unwrap();
            let prompt = serde_json::to_string(&request.prompt).unwrap();
            let context = serde_json::to_string(&request.context).unwrap();
            let bytes = prompt.len() + context.len();
            assert!(bytes <= START_BYTES_MAX, "{number} {fill:?}: {bytes}");
            let is_cut = context.contains(" … (cut)");
            assert_eq!(is_cut, number > 0 || fill == "\u{1}", "{number} {fill:?}");
            let branch = request.context["branch"].as_str().unwrap();
            assert_eq!(branch, request.branch, "names stay whole");
        }
    }
}
