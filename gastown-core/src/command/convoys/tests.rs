use crate::testing::executes;

const RIGS: &str = r#"
        rig r1
        rig r2
    "#;

#[test]
fn sling_convoy_makes_issues_that_wait_for_each_other() {
    insta::assert_snapshot!(executes(RIGS, r#"
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "New parser", "tasks": [{"title": "lexer"}, {"title": "parser", "depends_on": [0]}, {"title": "docs", "rig_id": "r2"}], "metadata": {"feature_branch": "mine", "ticket": 7}}
        "#), @r#"
        sling_convoy [t1-c1 t1-b2 t1-b3 t1-b4]: made convoy t1-c1 of 3 issues
          t1-b2 tracks t1-c1.type: - → "tracks"
          t1-b2.created_by: - → "mayor"
          t1-b2.priority: - → "medium"
          t1-b2.rig_id: - → "r1"
          t1-b2.status: - → "open"
          t1-b2.title: - → "lexer"
          t1-b2.type: - → "issue"
          t1-b3 blocks t1-b2.type: - → "blocks"
          t1-b3 tracks t1-c1.type: - → "tracks"
          t1-b3.created_by: - → "mayor"
          t1-b3.priority: - → "medium"
          t1-b3.rig_id: - → "r1"
          t1-b3.status: - → "open"
          t1-b3.title: - → "parser"
          t1-b3.type: - → "issue"
          t1-b4 tracks t1-c1.type: - → "tracks"
          t1-b4.created_by: - → "mayor"
          t1-b4.priority: - → "medium"
          t1-b4.rig_id: - → "r2"
          t1-b4.status: - → "open"
          t1-b4.title: - → "docs"
          t1-b4.type: - → "issue"
          t1-c1.convoy.branches.r1.state: - → "none"
          t1-c1.convoy.branches.r2.state: - → "none"
          t1-c1.convoy.feature_branch: - → "convoy/new-parser/t1-c1/head"
          t1-c1.convoy.merge_mode: - → "review-then-land"
          t1-c1.convoy.total: - → 3
          t1-c1.created_by: - → "mayor"
          t1-c1.labels: - → ["gt:convoy"]
          t1-c1.metadata.ticket: - → 7
          t1-c1.priority: - → "medium"
          t1-c1.status: - → "open"
          t1-c1.title: - → "New parser"
          t1-c1.type: - → "convoy"
        "#);
}

#[test]
fn sling_convoy_of_single_merges_needs_no_branch() {
    insta::assert_snapshot!(executes(RIGS, r#"
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "tasks": [{"title": "a"}], "merge_mode": "review-and-merge", "staged": true}
        "#), @r#"
        sling_convoy [t1-c1 t1-b2]: made convoy t1-c1 of 1 issues
          t1-b2 tracks t1-c1.type: - → "tracks"
          t1-b2.created_by: - → "mayor"
          t1-b2.priority: - → "medium"
          t1-b2.rig_id: - → "r1"
          t1-b2.status: - → "open"
          t1-b2.title: - → "a"
          t1-b2.type: - → "issue"
          t1-c1.convoy.merge_mode: - → "review-and-merge"
          t1-c1.convoy.staged: - → true
          t1-c1.convoy.total: - → 1
          t1-c1.created_by: - → "mayor"
          t1-c1.labels: - → ["gt:convoy"]
          t1-c1.priority: - → "medium"
          t1-c1.status: - → "open"
          t1-c1.title: - → "x"
          t1-c1.type: - → "convoy"
        "#);
}

#[test]
fn sling_convoy_refuses_the_whole_call_and_names_the_tasks() {
    insta::assert_snapshot!(executes(RIGS, r#"
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "tasks": []}
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "tasks": [{"title": "a", "depends_on": [1]}]}
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "tasks": [{"title": "a"}, {"title": "b", "depends_on": [1]}]}
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "tasks": [{"title": "a", "depends_on": [2]}, {"title": "b", "depends_on": [0]}, {"title": "c", "depends_on": [1]}, {"title": "d", "depends_on": [0]}]}
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "tasks": [{"title": "a"}, {"title": "b", "depends_on": [0, 0]}]}
            {"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "tasks": [{"title": "a", "rig_id": "r3"}]}
        "#), @r#"
        refused Invalid: tasks: expected one at least
        refused Invalid: tasks[0].depends_on[0]: task 0 ("a") depends on task 1, expected 0 to 0
        refused Invalid: tasks[1].depends_on[0]: task 1 ("b") depends on itself
        refused Invalid: tasks: these tasks depend on each other: 0 ("a"), 2 ("c"), 1 ("b")
        refused Invalid: tasks[1].depends_on[1]: names task 0 twice
        refused NotFound: tasks[0].rig_id: there is no rig "r3"
        "#);
}

#[test]
fn sling_convoy_at_and_over_the_limit_of_tasks() {
    let command = |tasks: usize| {
        alloc::format!(
            r#"{{"type": "sling_convoy", "caller": {{"kind": "mayor"}}, "rig_id": "r1", "title": "x", "tasks": [{}]}}"#,
            alloc::vec![r#"{"title": "a"}"#; tasks].join(",")
        )
    };
    assert!(executes(RIGS, &command(200)).starts_with("sling_convoy [t1-c1 t1-b2"));
    insta::assert_snapshot!(executes(RIGS, &command(201)), @"refused Limit: tasks: expected 200 items at most");
}

const CONVOY: &str = r#"
        rig r1
        rig r2
        bead c1 convoy open convoy.total=2 convoy.staged=true convoy.feature_branch=convoy/x/c1/head convoy.landing.attempts=2
        bead b1 issue open rig_id=r1
        bead b2 issue open rig_id=r1
        bead b3 issue open rig_id=r2
        bead b4 issue open
        bead b5 issue closed rig_id=r1
        bead c2 convoy closed
        bead c3 convoy open
        edge b1 tracks c1
        edge b2 tracks c1
        edge b2 blocks b1
        edge b3 blocks c3
    "#;

#[test]
fn start_and_land_once() {
    insta::assert_snapshot!(executes(CONVOY, r#"
            {"type": "land_convoy", "caller": {"kind": "mayor"}, "convoy_id": "c1"}
            {"type": "start_convoy", "caller": {"kind": "mayor"}, "convoy_id": "c1"}
            {"type": "start_convoy", "caller": {"kind": "mayor"}, "convoy_id": "c1"}
            {"type": "land_convoy", "caller": {"kind": "mayor"}, "convoy_id": "c1"}
            {"type": "land_convoy", "caller": {"kind": "mayor"}, "convoy_id": "c1"}
            {"type": "start_convoy", "caller": {"kind": "mayor"}, "convoy_id": "b1"}
            {"type": "start_convoy", "caller": {"kind": "mayor"}, "convoy_id": "c2"}
            {"type": "start_convoy", "caller": {"kind": "mayor"}, "convoy_id": "c9"}
        "#), @r#"
        refused Conflict: convoy_id: the convoy is staged; start it first
        start_convoy []: convoy c1 has started
          c1.convoy.staged: true → false
        refused Conflict: convoy_id: convoy "c1" is not staged
        land_convoy []: what is closed of convoy c1 lands once nothing of it is under way
          c1.convoy.landing_ordered: false → true
        land_convoy []: the landing was ordered already
        refused Invalid: convoy_id: "b1" is no convoy
        refused Conflict: convoy_id: bead "c2" is closed, which is final
        refused NotFound: convoy_id: there is no bead "c9"
        "#);
}

#[test]
fn start_tries_branches_again_that_were_given_up() {
    let given_up = r#"
            rig r1
            bead c1 convoy open told.branch_failed=-1h convoy.feature_branch=x/head convoy.branches={"r1":{"state":"failed","tries":10}}
        "#;
    insta::assert_snapshot!(executes(given_up, r#"
            {"type": "start_convoy", "caller": {"kind": "mayor"}, "convoy_id": "c1"}
        "#), @r#"
        start_convoy []: convoy c1 has started
          c1.convoy.branches.r1.forgiven: - → 10
          c1.told.branch_failed: "2026-04-04T11:00:00.000Z" → -
        "#);
}

#[test]
fn adding_keeps_totals_right_and_asks_for_the_branch_of_a_new_rig() {
    insta::assert_snapshot!(executes(CONVOY, r#"
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "b3"}
        "#), @r#"
        convoy_add []: b3 joined convoy c1
          b3 tracks c1.type: - → "tracks"
          c1.convoy.branches.r2.state: - → "none"
          c1.convoy.landing.attempts: 2 → 0
          c1.convoy.landings.r1.attempts: - → 2
          c1.convoy.total: 2 → 3
        "#);
}

#[test]
fn adding_outdates_the_landings_of_its_rig() {
    let town = std::format!(
        "{CONVOY}
        bead m1 merge_request in_progress rig_id=r1 review.source=c1 review.convoy=c1 review.landing_rig=r1 review.lands_all=true
        edge m1 tracks c1
        bead m2 merge_request in_progress rig_id=r2 review.source=c1 review.convoy=c1 review.landing_rig=r2 review.lands_all=true
        edge m2 tracks c1"
    );
    let did = executes(
        &town,
        r#"
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "b3"}
        "#,
    );
    let of_landings = did.lines().filter(|line| line.contains("lands_all"));
    let of_landings: std::vec::Vec<_> = of_landings.collect();
    assert_eq!(
        of_landings,
        ["  m2.review.lands_all: true → false"],
        "{did}"
    );
}

#[test]
fn adding_an_issue_of_another_rig_leaves_the_landing_of_the_first() {
    let town = r#"
        rig r1
        rig r2
        bead c1 convoy open convoy.total=1 convoy.closed=1 convoy.landing.attempts=2 convoy.landing.landed_at=-1h
        bead b1 issue closed rig_id=r1
        edge b1 tracks c1
        bead b2 issue open rig_id=r2
    "#;
    insta::assert_snapshot!(executes(town, r#"
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "b2"}
        "#), @r#"
        convoy_add []: b2 joined convoy c1
          b2 tracks c1.type: - → "tracks"
          c1.convoy.landing.attempts: 2 → 0
          c1.convoy.landing.landed_at: "2026-04-04T11:00:00.000Z" → -
          c1.convoy.landings.r1.attempts: - → 2
          c1.convoy.landings.r1.landed_at: - → "2026-04-04T11:00:00.000Z"
          c1.convoy.total: 1 → 2
        "#);
}

#[test]
fn adding_is_refused_where_it_makes_no_sense() {
    insta::assert_snapshot!(executes(CONVOY, r#"
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "b1"}
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "b4"}
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "b5"}
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "c3"}
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c2", "bead_id": "b3"}
            {"type": "convoy_add", "caller": {"kind": "mayor"}, "convoy_id": "c3", "bead_id": "b3"}
        "#), @r#"
        refused Conflict: bead_id: is in convoy "c1" already
        refused Invalid: bead_id: expected an issue that has a rig and is neither a repair nor the engine's own
        refused Conflict: bead_id: bead "b5" is closed, which is final
        refused Invalid: bead_id: expected an issue that has a rig and is neither a repair nor the engine's own
        refused Conflict: convoy_id: bead "c2" is closed, which is final
        refused Invalid: bead_id: these beads would wait for each other: c3, b3
        "#);
}

#[test]
fn removing_drops_the_edges_to_siblings() {
    insta::assert_snapshot!(executes(CONVOY, r#"
            {"type": "convoy_remove", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "b1"}
            {"type": "convoy_remove", "caller": {"kind": "mayor"}, "convoy_id": "c1", "bead_id": "b3"}
        "#), @r#"
        convoy_remove []: b1 left convoy c1
          b1 tracks c1.type: "tracks" → -
          b2 blocks b1.type: "blocks" → -
          c1.convoy.total: 2 → 1
        refused Conflict: bead_id: is not in convoy "c1"
        "#);
}
