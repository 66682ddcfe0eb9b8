use alloc::string::String;

use super::*;
use crate::testing::town;

const RIG: &str = r#"
        town config.merge_strategy=pr config.refinery.gates=["make verify"] config.role_models.polecat=small config.default_model=big config.organization_id=org1 config.env_vars.LANG=C
        rig r1 name=api config.git_push_flags=--no-verify
    "#;

fn prompt_in(text: &str) -> String {
    let town = town(&alloc::format!("{RIG}\n{text}"));
    prompt(&town, &"a1".parse().unwrap()).unwrap()
}

fn prime_in(text: &str) -> String {
    let town = town(&alloc::format!("{RIG}\n{text}"));
    let prime = prime(&town, &"a1".parse().unwrap()).unwrap();
    serde_json::to_string_pretty(&prime).unwrap()
}

const ISSUE: &str = r#"
        agent a1 polecat working name=Amber rig_id=r1 hook=b1 session=3 checkpoint={"at":"tests"}
        bead b1 issue in_progress title="Fix the parser" body="It takes no empty input." rig_id=r1
        bead b2 issue open rig_id=r1 priority=high
        bead b3 issue open rig_id=r2
        bead s1 message open title=Hello body="Mind the gap." message.to=a1 message.from=mayor
        bead s2 message open message.to=a2
    "#;

#[test]
fn prime_holds_what_an_agent_needs() {
    insta::assert_snapshot!(prime_in(ISSUE), @r#"
        {
          "town_id": "t1",
          "agent": {
            "id": "a1",
            "role": "polecat",
            "name": "Amber",
            "identity": "a1",
            "rig_id": "r1",
            "session": 3
          },
          "bead": {
            "id": "b1",
            "type": "issue",
            "status": "in_progress",
            "title": "Fix the parser",
            "body": "It takes no empty input.",
            "rig_id": "r1",
            "parent_id": null,
            "assignee": null,
            "priority": "medium",
            "labels": [],
            "metadata": {},
            "dispatch_attempts": 0,
            "last_dispatch_attempt_at": null,
            "created_by": null,
            "created_at": "2026-03-05T12:00:00.000Z",
            "updated_at": "2026-03-05T12:00:00.000Z",
            "status_changed_at": null,
            "closed_at": null,
            "failure": null
          },
          "branch": "gt/amber/b1",
          "target_branch": "main",
          "mail": [
            {
              "id": "s1",
              "from": "mayor",
              "subject": "Hello",
              "body": "Mind the gap.",
              "at": "2026-03-05T12:00:00.000Z"
            }
          ],
          "open_beads": [
            {
              "id": "b2",
              "title": "b2",
              "priority": "high"
            }
          ],
          "checkpoint": {
            "at": "tests"
          }
        }
        "#);
}

#[test]
fn prompt_for_an_issue() {
    insta::assert_snapshot!(prompt_in(ISSUE), @"
        You are Amber, a polecat: you write code in rig api.

        Your work is bead b1: Fix the parser

        It takes no empty input.

        How to work:
        - Your worktree is on branch `gt/amber/b1`, begun from `main`. Work there and nowhere else: never switch to another branch.
        - Commit in small steps that each say why.
        - Run these gates; every one must pass:
          - `make verify`
        - Push with these flags: `--no-verify`

        When you are done:
        - Push `gt/amber/b1`, open a pull request from it to `main`, and call `gt_done` with the branch, pr_url, head_sha and a summary of what you did.

        If you are stuck, or the task can't be what is meant, say so with `gt_escalate` and what you need. Do not call `gt_done` for work that is not finished.
        Say what you are doing with `gt_status` from time to time, and keep with `gt_checkpoint` what you would need if you had to start again.
        ");
}

#[test]
fn prompt_for_an_issue_of_a_convoy_asks_for_no_pull_request() {
    let convoy = alloc::format!(
        "{ISSUE}\nbead c1 convoy open convoy.feature_branch=convoy/x/c1/head\nedge b1 tracks c1"
    );
    let prompt = prompt_in(&convoy);
    assert!(
        prompt.contains("branch `convoy/x/gt/amber/b1`")
            || prompt.contains("branch `convoy/x/c1/gt/amber/b1`")
    );
    assert!(prompt.contains("Open no pull request"), "{prompt}");
    assert!(
        prompt.contains("merges it into `convoy/x/c1/head`"),
        "{prompt}"
    );
}

#[test]
fn prompt_lists_the_steps_of_a_molecule() {
    let steps = alloc::format!(
        "{ISSUE}
            bead f1 molecule open parent_id=b1
            bead f3 issue closed title=read parent_id=f1 labels=[\"gt:molecule-step\"]
            bead f2 issue open title=write parent_id=f1 labels=[\"gt:molecule-step\"]
            edge f2 blocks f3"
    );
    let prompt = prompt_in(&steps);
    assert!(prompt.contains("  - [x] read\n  - [ ] write\n"), "{prompt}");
}

#[test]
fn prompt_appends_the_custom_instructions_of_the_rig_else_the_town() {
    let of_town = RIG.replace(
        "config.merge_strategy=pr",
        "config.merge_strategy=pr config.custom_instructions.polecat=Town!",
    );
    let of_rig = of_town.replace(
        "name=api",
        "name=api config.custom_instructions.polecat=Rig!",
    );
    for (text, expected) in [(of_town, "Town!"), (of_rig, "Rig!")] {
        let town = town(&alloc::format!("{text}\n{ISSUE}"));
        let prompt = prompt(&town, &"a1".parse().unwrap()).unwrap();
        let end = alloc::format!("\nInstructions of this town:\n\n{expected}\n");
        assert!(prompt.ends_with(&end), "{prompt}");
    }
}

const REVIEW: &str = "
        bead b0 issue in_review title=\"Fix the parser\" rig_id=r1
        bead m1 merge_request in_progress title=\"Review: Fix the parser\" rig_id=r1 review.source=b0 review.branch=gt/amber/b0 review.pr_url=https://github.com/acme/r1/pull/7
        edge m1 tracks b0
    ";

#[test]
fn prompt_for_rework() {
    let rework = r#"
            agent a1 polecat working name=Amber rig_id=r1 hook=b1 session=1
            bead b1 issue in_progress title="Rework: Fix the parser" body="Handle the empty input." rig_id=r1 parent_id=m1 labels=["gt:rework"] metadata.rework_for=b0 metadata.mr_bead_id=m1 metadata.branch=gt/amber/b0 metadata.target_branch=main metadata.files=["src/parser.rs"]
        "#;
    let text = alloc::format!("{rework}{REVIEW}");
    insta::assert_snapshot!(prompt_in(&text), @r#"
        You are Amber, a polecat: you write code in rig api.

        Your work is bead b1: Rework: Fix the parser. A review of "Fix the parser" (merge request m1) asked for changes.

        What has to change:

        Handle the empty input.

        The files meant: src/parser.rs

        How to work:
        - The work exists already. Check out branch `gt/amber/b0`, the branch under review (your worktree should be on it), and stay on it. It goes to `main`.
        - Change what was asked for, and nothing that was not.
        - Run these gates; every one must pass:
          - `make verify`
        - Push with these flags: `--no-verify`

        When you are done, push to `gt/amber/b0` and call `gt_done` with that branch. Open no second pull request. The review goes on by itself.
        If the feedback can't be followed, say why with `gt_escalate`.
        "#);
    let prime = prime_in(&text);
    let context = prime.split("\"rework_context\"").nth(1).unwrap();
    insta::assert_snapshot!(context, @r#"
        : {
            "feedback": "Handle the empty input.",
            "branch": "gt/amber/b0",
            "target_branch": "main",
            "files": [
              "src/parser.rs"
            ],
            "original_title": "Fix the parser",
            "mr_bead_id": "m1"
          }
        }
        "#);
}

#[test]
fn prompt_for_a_fixup() {
    insta::assert_snapshot!(prompt_in(r#"
            agent a1 polecat working name=Amber rig_id=r1 hook=b1 session=1
            bead b1 issue in_progress title="Repair it" rig_id=r1 labels=["gt:pr-fixup"] metadata.pr_url=https://github.com/acme/r1/pull/9 metadata.branch=theirs metadata.target_branch=main
        "#), @"
        You are Amber, a polecat: you write code in rig api.

        Your work is bead b1: Repair it. It repairs a pull request that exists already: https://github.com/acme/r1/pull/9

        (There is no further description.)

        How to work:
        - Check out branch `theirs`, the pull request's own (your worktree should be on it), and stay on it. It goes to `main`.
        - Where reviewers left comments, settle each thread as a whole: read all of it, change the code or answer, and resolve the thread. A reply to a single comment is not enough.
        - Run these gates; every one must pass:
          - `make verify`
        - Push with these flags: `--no-verify`

        When you are done, push to `theirs` and call `gt_done` with that branch and the pull request's URL. Open no second pull request.
        If you are stuck, say so with `gt_escalate`.
        ");
}

const FEEDBACK: &str = r#"
        agent a1 polecat working name=Amber rig_id=r1 hook=b1 session=1
        bead b1 issue in_progress title="Settle 2 review threads" rig_id=r1 parent_id=m1 labels=["gt:pr-feedback"] metadata.pr_feedback_for=m1 metadata.pr_url=https://github.com/acme/r1/pull/7 metadata.branch=gt/amber/b0
    "#;

#[test]
fn prompt_for_feedback() {
    insta::assert_snapshot!(prompt_in(&alloc::format!("{FEEDBACK}{REVIEW}")), @"
        You are Amber, a polecat: you write code in rig api.

        Your work is bead b1: Settle 2 review threads. Reviewers or checks found something in a pull request: https://github.com/acme/r1/pull/7

        (There is no further description.)

        How to work:
        - Check out branch `gt/amber/b0`, the pull request's own (your worktree should be on it), and stay on it. It goes to `main`.
        - Look at the review threads yourself. Settle each unresolved thread as a whole: read all of it, change the code or answer, and resolve the thread. A reply to a single comment is not enough.
        - Look at the failing checks, find the cause and repair it. Do not switch a check off.
        - Run these gates; every one must pass:
          - `make verify`
        - Push with these flags: `--no-verify`

        When you are done, push to `gt/amber/b0` and call `gt_done` with that branch and the pull request's URL. Open no second pull request.
        If a comment needs a decision that is not yours, say so with `gt_escalate`.
        ");
}

#[test]
fn feedback_with_conflicts_is_worked_on_as_a_conflict() {
    let conflicts = FEEDBACK.replace(
        "metadata.branch",
        "metadata.has_conflicts=true metadata.conflict_target_branch=main metadata.branch",
    );
    insta::assert_snapshot!(prompt_in(&alloc::format!("{conflicts}{REVIEW}")), @"
        You are Amber, a polecat: you write code in rig api.

        Your work is bead b1: Settle 2 review threads. A pull request can't be merged into `main` as it is: https://github.com/acme/r1/pull/7

        (There is no further description.)

        How to work:
        - Check out branch `gt/amber/b0`, the pull request's own (your worktree should be on it), and stay on it.
        - Fetch, rebase it on `origin/main`, and resolve every conflict so that both sides' intent survives. Then push with `--force-with-lease`, never with a plain force.
        - There is feedback too. Settle each unresolved review thread as a whole and resolve it, and repair the failing checks.
        - Run these gates; every one must pass:
          - `make verify`
        - Push with these flags: `--no-verify`

        When you are done, call `gt_done` with that branch and the pull request's URL. Open no second pull request.
        If two changes contradict each other, do not guess: say so with `gt_escalate`.
        ");
    let prime = prime_in(&alloc::format!("{conflicts}{REVIEW}"));
    let context = prime.split("\"pr_conflict_context\"").nth(1).unwrap();
    insta::assert_snapshot!(context, @r#"
        : {
            "pr_url": "https://github.com/acme/r1/pull/7",
            "branch": "gt/amber/b0",
            "target_branch": "main",
            "has_feedback": true
          }
        }
        "#);
}

#[test]
fn prompt_for_a_triage_batch() {
    insta::assert_snapshot!(prompt_in(r#"
            agent a1 polecat working name=Amber rig_id=r1 hook=b1 session=1
            bead b1 issue in_progress title="Triage: 1 open requests" created_by=patrol rig_id=r1 labels=["gt:triage"]
            bead q1 issue open title="stuck agent: Basil" body="No activity for two hours." rig_id=r1 labels=["gt:triage-request"] metadata.triage_type=stuck_agent metadata.agent_id=a2 metadata.hooked_bead_id=b2 metadata.options=["RESTART","DISCARD"]
        "#), @"
        You are Amber, and this time you triage: you judge what rules can't. Write no code and change no repository.

        Your work is bead b1: Triage: 1 open requests

        Judge each of these requests, and answer each with `gt_triage_resolve` (request_id, action, notes):

        - q1 (stuck_agent): No activity for two hours.
          agent a2, bead b2, options: RESTART, DISCARD

        What the actions do, each to the bead and agent that the request names:
        - `RESTART`: the agent's session ends, the bead is dispatched again at once. `RESTART_WITH_BACKOFF`: after its pause.
        - `REASSIGN_BEAD`: the bead goes to another agent. `CLOSE_BEAD`: the bead fails, with your notes as the reason.
        - `NUDGE`: your notes are pushed to the agent. `PROVIDE_GUIDANCE`: your notes become mail for it.
        - `ESCALATE_TO_MAYOR`: a person has to decide. `DISCARD`: nothing is wrong.

        Prefer the mildest action that can help. What needs a person is escalated, not guessed.
        When every request is answered, call `gt_done` with the branch `gt/amber/b1`.
        ");
}

const REFINERY: &str = "agent a1 refinery working name=refinery rig_id=r1 hook=m1 session=1";

#[test]
fn prompt_for_a_review_by_comments() {
    let comments = RIG.replace(
        "config.merge_strategy=pr",
        "config.merge_strategy=pr config.refinery.review_mode=comments",
    );
    let town = town(&alloc::format!("{comments}{REFINERY}{REVIEW}"));
    insta::assert_snapshot!(prompt(&town, &"a1".parse().unwrap()).unwrap(), @"
        You are refinery, the refinery of rig api: you review what polecats made.

        Your work is merge request m1: Review: Fix the parser
        It brings branch `gt/amber/b0` to `main`, in pull request https://github.com/acme/r1/pull/7.

        What its author says:

        (Its author said nothing more about it.)

        What was asked for: Fix the parser

        How to review:
        - Fetch, and look at `git diff origin/main...origin/gt/amber/b0` as a whole. Read the code around it where the diff alone does not tell.
        - If the repository has a `REVIEW.md`, follow it.
        - Run these gates; every one must pass:
          - `make verify`
        - Look for what is wrong, missing or dangerous, not for what you would have written otherwise.

        What to say about it:
        - Write what you found as inline review comments on the lines that they are about, and one summary comment. Submit them as a *comment* review: never as an approval, which the account that opened the pull request can't give, nor as a request for changes.
        - If you found nothing, say so in the summary comment.
        - Then call `gt_done` with the branch `gt/amber/b0`, pr_url, and head_sha: the commit that you have read. Do not merge. The open threads keep it from being merged until they are settled, and a new head comes back for review.
        If you can't judge or merge it, say so with `gt_escalate`.
        ");
}

#[test]
fn prompt_for_a_review_by_rework() {
    insta::assert_snapshot!(prompt_in(&alloc::format!("{REFINERY}{REVIEW}")), @"
        You are refinery, the refinery of rig api: you review what polecats made.

        Your work is merge request m1: Review: Fix the parser
        It brings branch `gt/amber/b0` to `main`, in pull request https://github.com/acme/r1/pull/7.

        What its author says:

        (Its author said nothing more about it.)

        What was asked for: Fix the parser

        How to review:
        - Fetch, and look at `git diff origin/main...origin/gt/amber/b0` as a whole. Read the code around it where the diff alone does not tell.
        - If the repository has a `REVIEW.md`, follow it.
        - Run these gates; every one must pass:
          - `make verify`
        - Look for what is wrong, missing or dangerous, not for what you would have written otherwise.

        If something has to change:
        - Call `gt_request_changes` with feedback that somebody else can work from, and the files. A polecat makes the changes on the same branch, then the merge request comes back to you.
        - Then call `gt_done` with the branch `gt/amber/b0` alone, which gives it back. Never merge what you asked changes for, nor call `gt_done` as if you had.

        If it is good:
        - Call `gt_done` with the branch `gt/amber/b0`, pr_url, and head_sha: the commit that you have read and that passed the gates. Do not merge it yourself: that happens once everything else is green.
        If you can't judge or merge it, say so with `gt_escalate`.
        ");
}

#[test]
fn prompt_for_a_direct_merge() {
    let direct = RIG.replace("config.merge_strategy=pr", "config.merge_strategy=direct");
    let review = REVIEW.replace("review.pr_url=https://github.com/acme/r1/pull/7", "");
    let town = town(&alloc::format!("{direct}{REFINERY}{review}"));
    insta::assert_snapshot!(prompt(&town, &"a1".parse().unwrap()).unwrap(), @"
        You are refinery, the refinery of rig api: you review what polecats made and merge what is good.

        Your work is merge request m1: Review: Fix the parser
        It brings branch `gt/amber/b0` to `main`.

        What its author says:

        (Its author said nothing more about it.)

        What was asked for: Fix the parser

        How to review:
        - Fetch, and look at `git diff origin/main...origin/gt/amber/b0` as a whole. Read the code around it where the diff alone does not tell.
        - If the repository has a `REVIEW.md`, follow it.
        - Run these gates; every one must pass:
          - `make verify`
        - Look for what is wrong, missing or dangerous, not for what you would have written otherwise.

        If something has to change:
        - Call `gt_request_changes` with feedback that somebody else can work from, and the files. A polecat makes the changes on the same branch, then the merge request comes back to you.
        - Then call `gt_done` with the branch `gt/amber/b0` alone, which gives it back. Never merge what you asked changes for, nor call `gt_done` as if you had.

        If it is good:
        - Merge it: detach at `origin/main`, merge `origin/gt/amber/b0` (if that conflicts, request changes instead), run the gates on the result, and push it to `main` with `--no-verify`. If the push is refused because the target moved, begin again.
        - Then call `gt_done` with the branch `gt/amber/b0`, no pr_url, and merge_commit: the commit that you pushed.
        If you can't judge or merge it, say so with `gt_escalate`.
        ");
}

#[test]
fn prompt_for_a_landing_opens_the_pull_request() {
    let landing = alloc::format!(
            "{REFINERY}
            bead c1 convoy open title=\"New parser\" convoy.total=1 convoy.closed=1 convoy.feature_branch=convoy/x/c1/head
            bead b1 issue closed rig_id=r1
            edge b1 tracks c1
            bead m1 merge_request in_progress title=\"Land convoy: New parser\" rig_id=r1 review.source=c1 review.convoy=c1 review.landing_rig=r1 review.branch=convoy/x/c1/head
            edge m1 tracks c1"
        );
    let prompt = prompt_in(&landing);
    assert!(
        prompt.contains("It lands convoy c1 (New parser)."),
        "{prompt}"
    );
    assert!(
        prompt.contains("Open a pull request from `convoy/x/c1/head` to `main`"),
        "{prompt}"
    );
    let prime = prime_in(&landing);
    let context = prime.split("\"review_context\"").nth(1).unwrap();
    insta::assert_snapshot!(context, @r#"
        : {
            "mr_bead_id": "m1",
            "source_bead_id": "c1",
            "original_title": "New parser",
            "original_body": null,
            "pr_url": null,
            "branch": "convoy/x/c1/head",
            "target_branch": "main",
            "review_mode": "rework",
            "gates": [
              "make verify"
            ],
            "is_direct": false,
            "lands_convoy": true,
            "convoy": {
              "convoy_id": "c1",
              "title": "New parser",
              "closed": 1,
              "total": 1
            }
          }
        }
        "#);
}

#[test]
fn prompt_for_the_mayor() {
    insta::assert_snapshot!(prompt_in("agent a1 mayor working name=Mayor session=1"), @"
        You are Mayor, the mayor of town t1: you talk to people, and turn what they want into work for the agents of these rigs:

        - r1 (api)

        How to give work:
        - One thing: `gt_sling` with rig_id, a title in one line, and a body that says all that a polecat needs who knows nothing of your conversation. What must be merged first goes into depends_on.
        - Several things that belong together: `gt_sling_batch` with tasks, whose depends_on are indexes of tasks in the same list, from 0. They become a convoy, which lands as a whole unless merge_mode is `review-and-merge`. A staged convoy waits for `gt_start_convoy`.
        - A pull request that somebody else opened and that needs repair: `gt_sling` with the label `gt:pr-fixup` and metadata that have pr_url and branch.
        - `metadata` is always a JSON object, never JSON inside a string.

        How to see to it:
        - Escalations come to you. Deal with the cause, or ask a person, then `gt_acknowledge`.
        - What failed can be retried (`gt_retry`), what must not go on is held (`gt_hold`, `gt_release`), a running agent is spoken to with `gt_nudge`, and `gt_mail_send` reaches one at its next start.
        - You write no code yourself.
        ");
}

#[test]
fn no_prompt_leaves_a_placeholder_unfilled() {
    let texts = [ISSUE, FEEDBACK];
    for text in texts {
        let prompt = prompt_in(text);
        assert!(!prompt.contains("{{") && !prompt.contains("``"), "{prompt}");
    }
}

#[test]
fn a_start_says_all_that_a_runtime_needs() {
    let text = alloc::format!("{RIG}{ISSUE}");
    let town = town(&text);
    let mut start = StartAgent {
        agent_id: "a1".parse().unwrap(),
        bead_id: "b1".parse().unwrap(),
        rig_id: "r1".parse().unwrap(),
        session: 3,
        attempt: 1,
    };
    let request = start_request(&town, &start).unwrap();
    assert_eq!(request.branch, "gt/amber/b1");
    assert_eq!(request.target_branch, "main");
    assert_eq!(request.model.as_deref(), Some("small"));
    assert_eq!(request.organization_id.as_deref(), Some("org1"));
    assert_eq!(request.env_vars.get("LANG").map(String::as_str), Some("C"));
    assert_eq!(request.context["bead"]["id"], "b1");
    start.session = 2;
    assert_eq!(
        start_request(&town, &start),
        None,
        "an older session is not wanted"
    );
}

#[test]
fn models_are_resolved_by_role_then_default() {
    let rig = |config: &str| {
        let text = alloc::format!("{}{ISSUE}", RIG.replace("name=api", config));
        let town = town(&text);
        let rig = town.rig(&"r1".parse().unwrap()).unwrap().clone();
        (
            model(&town, &rig, Role::Polecat),
            model(&town, &rig, Role::Refinery),
        )
    };
    let some = |text: &str| Some(String::from(text));
    assert_eq!(rig("name=api"), (some("small"), some("big")));
    assert_eq!(
        rig("name=api config.default_model=own config.role_models.polecat=mine"),
        (some("mine"), some("own"))
    );
}
