//! Rigs (spec 2.1).

use alloc::format;
use alloc::vec::Vec;

use super::check::{self, limits};
use super::data::{AddRig, RemoveRig, UpdateRig};
use super::town::{check_attempts, check_per_role, check_texts, refused, under_config};
use super::{Actor, CommandError, Did, Executed, Refusal};
use crate::bead::{Bead, BeadStatus};
use crate::condition::ConditionSubject;
use crate::config::RigConfig;
use crate::ids::{AgentId, BeadId, RigId};
use crate::rig::{Repository, Rig};
use crate::town::Town;
use crate::wire::WireError;

impl Town {
    pub(super) fn add_rig(&mut self, add: AddRig, actor: &Actor) -> Executed {
        actor.may_touch("rig_id", Some(&add.rig_id))?;
        if self.rig(&add.rig_id).is_some() {
            return Err(CommandError::conflict(
                "rig_id",
                "there is such a rig already",
            ));
        }
        if self.rigs().count() >= limits::RIGS_MAX {
            return Err(CommandError::new(
                Refusal::Limit,
                "rig_id",
                format!("the town has {} rigs already", limits::RIGS_MAX),
            ));
        }
        check::name("name", &add.name)?;
        check::git_url("git_url", &add.git_url)?;
        check::branch("default_branch", &add.default_branch)?;
        let config = rig_config(add.config.applied_to(&RigConfig::default()))?;
        let id = add.rig_id.clone();
        let rig = Rig {
            id: add.rig_id,
            name: add.name,
            git_url: add.git_url,
            default_branch: add.default_branch,
            config,
            created_at: actor.now,
        };
        // What names the rig already belongs to the repository that it will have (invariant I14).
        let elsewhere = self.live_beads().find(|bead| {
            let url = bead.review().and_then(|review| review.pr_url.as_ref());
            bead.rig_id.as_ref() == Some(&id) && url.is_some_and(|url| !rig.has_pull_request(url))
        });
        if let Some(mr) = elsewhere {
            return Err(CommandError::conflict(
                "git_url",
                format!(
                    "merge request \"{}\" names this rig and has a pull request elsewhere",
                    mr.id
                ),
            ));
        }
        self.insert_rig(rig);
        Ok(Did::made(&id, format!("rig {id} is added")))
    }

    pub(super) fn update_rig(&mut self, update: UpdateRig, actor: &Actor) -> Executed {
        let rig = self.rig_for("rig_id", &update.rig_id, actor)?;
        if let Some(name) = &update.name {
            check::name("name", name)?;
        }
        if let Some(branch) = &update.default_branch {
            check::branch("default_branch", branch)?;
        }
        let config = rig_config(update.config.applied_to(&rig.config))?;
        if let Some(url) = &update.git_url {
            check::git_url("git_url", url)?;
            self.check_new_url(rig, url)?;
        }
        let id = update.rig_id;
        self.edit_rig(&id, |rig| {
            rig.config = config;
            if let Some(name) = update.name {
                rig.name = name;
            }
            if let Some(url) = update.git_url {
                rig.git_url = url;
            }
            if let Some(branch) = update.default_branch {
                rig.default_branch = branch;
            }
        });
        self.end_merge_method_impossible(Some(&id), actor.now);
        let convoys: Vec<BeadId> = self
            .live_beads()
            .filter(|bead| bead.convoy().is_some_and(|c| c.branches.contains_key(&id)))
            .map(|bead| bead.id.clone())
            .collect();
        for convoy in convoys {
            self.retry_branches(&convoy, Some(&id));
        }
        self.settings_changed(Some(&id));
        Ok(Did::text(format!("rig {id} is updated")))
    }

    /// Pull requests under way belong to the repository that the rig has now (invariant I14).
    fn check_new_url(&self, rig: &Rig, url: &str) -> Result<(), CommandError> {
        if Repository::of_git_url(url) == rig.repository() {
            return Ok(());
        }
        let held_by = self.live_beads().find(|bead| {
            bead.review().is_some_and(|review| review.pr_url.is_some())
                && self.rig_of_review(bead).is_some_and(|of| of.id == rig.id)
        });
        match held_by {
            None => Ok(()),
            Some(mr) => Err(CommandError::conflict(
                "git_url",
                format!("merge request \"{}\" has a pull request there", mr.id),
            )),
        }
    }

    /// Whether a convoy has finished work that is still to be landed in a rig.
    fn is_to_land(&self, bead: &Bead, rig: &RigId) -> bool {
        bead.convoy().is_some_and(|convoy| {
            convoy.lands_from().is_some()
                && convoy.landing_of(rig).landed_at.is_none()
                && self.issues_of(&bead.id).iter().any(|issue| {
                    issue.status == BeadStatus::Closed && issue.rig_id.as_ref() == Some(rig)
                })
        })
    }

    pub(super) fn remove_rig_by_command(&mut self, remove: &RemoveRig, actor: &Actor) -> Executed {
        let id = &remove.rig_id;
        self.rig_for("rig_id", id, actor)?;
        let live = self.live_beads().find(|bead| {
            bead.rig_id.as_ref() == Some(id)
                || bead
                    .review()
                    .is_some_and(|review| review.landing_rig.as_ref() == Some(id))
                || self.is_to_land(bead, id)
        });
        if let Some(bead) = live {
            return Err(CommandError::conflict(
                "rig_id",
                format!("bead \"{}\" is live and names it", bead.id),
            ));
        }
        let agents: Vec<(AgentId, bool)> = self
            .agents()
            .filter(|agent| agent.rig_id.as_ref() == Some(id))
            .map(|agent| (agent.id.clone(), agent.status.is_running()))
            .collect();
        if let Some((agent, _)) = agents.iter().find(|(_, runs)| *runs) {
            return Err(CommandError::conflict(
                "rig_id",
                format!("agent \"{agent}\" still runs there"),
            ));
        }
        for (agent, _) in agents {
            self.delete_agent(&agent, actor.now);
        }
        let subject = ConditionSubject::Rig(id.clone());
        let kinds: Vec<_> = self
            .conditions()
            .filter(|condition| condition.subject == subject)
            .map(|condition| condition.kind)
            .collect();
        for kind in kinds {
            self.remove_condition(kind, &subject);
        }
        self.remove_rig(id);
        Ok(Did::text(format!("rig {id} is removed")))
    }
}

fn rig_config(updated: Result<RigConfig, WireError>) -> Result<RigConfig, CommandError> {
    let config = updated.map_err(|error| under_config(&error))?;
    config.validate().map_err(refused)?;
    check_attempts(config.max_dispatch_attempts)?;
    check_per_role(&config.role_models)?;
    let texts = [
        ("default_model", &config.default_model),
        ("small_model", &config.small_model),
        ("git_push_flags", &config.git_push_flags),
        (
            "git_auth.platform_integration_id",
            &config.git_auth.platform_integration_id,
        ),
    ];
    check_texts(&texts)?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use crate::testing::executes;

    const TOWN: &str = r#"
        rig r1 config.max_dispatch_attempts=2
        rig r2
        agent a1 polecat idle rig_id=r2
        bead b1 issue open rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1
        bead c1 convoy open told.branch_failed=-1h convoy.branches={"r1":{"state":"failed","tries":10}}
    "#;

    #[test]
    fn rigs_are_added_once_and_checked() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "add_rig", "caller": {"kind": "host"}, "rig_id": "r3", "name": "web", "git_url": "https://github.com/acme/web.git", "default_branch": "main", "config": {"refinery": {"code_review": true}}}
            {"type": "add_rig", "caller": {"kind": "host"}, "rig_id": "r3", "name": "web", "git_url": "https://github.com/acme/web.git", "default_branch": "main"}
            {"type": "add_rig", "caller": {"kind": "host"}, "rig_id": "r4", "name": "web", "git_url": "https://me:pass@github.com/acme/web.git", "default_branch": "main"}
            {"type": "add_rig", "caller": {"kind": "host"}, "rig_id": "r4", "name": "web", "git_url": "ext::sh", "default_branch": "main"}
            {"type": "add_rig", "caller": {"kind": "host"}, "rig_id": "r4", "name": "web", "git_url": "git@github.com:acme/web.git", "default_branch": "-x"}
            {"type": "add_rig", "caller": {"kind": "host"}, "rig_id": "r4", "name": "web", "git_url": "/srv/web", "default_branch": "main", "config": {"refinery": {"gates": []}}}
            {"type": "add_rig", "caller": {"kind": "host"}, "rig_id": "r4", "name": "web", "git_url": "/srv/web", "default_branch": "main", "config": {"max_polecats_per_rig": 51}}
            {"type": "add_rig", "caller": {"kind": "mayor"}, "rig_id": "r4", "name": "web", "git_url": "/srv/web", "default_branch": "main"}
        "#), @r#"
        add_rig [r3]: rig r3 is added
          r3.config.refinery.code_review: - → true
          r3.default_branch: - → "main"
          r3.git_url: - → "https://github.com/acme/web.git"
          r3.name: - → "web"
        refused Conflict: rig_id: there is such a rig already
        refused Invalid: git_url: holds credentials; store them in the town's settings
        refused Invalid: git_url: expected a git URL or a path
        refused Invalid: default_branch: "-x" is no name of a branch
        refused Invalid: config.refinery.gates: only the town sets this
        refused Invalid: config.max_polecats_per_rig: expected 1 to 50
        refused Forbidden: caller: mayor may not add_rig
        "#);
    }

    #[test]
    fn an_update_of_a_rig_is_partial_and_takes_overrides_back() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "update_rig", "caller": {"kind": "host"}, "rig_id": "r1", "config": {"max_dispatch_attempts": null, "refinery": {"merge_method": "squash"}}}
            {"type": "update_rig", "caller": {"kind": "host"}, "rig_id": "r1", "git_url": "https://github.com/acme/other.git"}
            {"type": "update_rig", "caller": {"kind": "host"}, "rig_id": "r1", "config": {"max_dispatch_attempts": 0}}
            {"type": "update_rig", "caller": {"kind": "host"}, "rig_id": "r9", "name": "x"}
        "#), @r#"
        update_rig []: rig r1 is updated
          c1.convoy.branches.r1.forgiven: - → 10
          c1.told.branch_failed: "2026-04-04T11:00:00.000Z" → -
          m1.review.poll.due_now: false → true
          r1.config.max_dispatch_attempts: 2 → -
          r1.config.refinery.merge_method: - → "squash"
        refused Conflict: git_url: merge request "m1" has a pull request there
        refused Invalid: config.max_dispatch_attempts: expected 1 to 1000
        refused NotFound: rig_id: there is no rig "r9"
        "#);
    }

    #[test]
    fn a_rig_is_removed_with_its_idle_agents_unless_live_beads_name_it() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "remove_rig", "caller": {"kind": "host"}, "rig_id": "r1"}
            {"type": "remove_rig", "caller": {"kind": "host"}, "rig_id": "r2"}
        "#), @r#"
        refused Conflict: rig_id: bead "b1" is live and names it
        remove_rig []: rig r2 is removed
          a1.active_tools: [] → -
          a1.dispatch_attempts: 0 → -
          a1.identity: "a1" → -
          a1.name: "a1" → -
          a1.reported: true → -
          a1.rig_id: "r2" → -
          a1.role: "polecat" → -
          a1.session: 0 → -
          a1.status: "idle" → -
          a1.stops: 0 → -
          r2.default_branch: "main" → -
          r2.git_url: "https://github.com/acme/r2.git" → -
          r2.name: "r2" → -
        "#);
    }

    /// Finished work that is still to be landed is not left behind with its rig.
    #[test]
    fn rigs_are_not_removed_while_a_convoy_is_to_land_there() {
        let town = r#"
            rig r1
            rig r2
            bead c1 convoy open convoy.total=2 convoy.closed=1 convoy.feature_branch=convoy/x/c1/head
            bead b1 issue closed rig_id=r1
            bead b2 issue open rig_id=r2
            edge b1 tracks c1
            edge b2 tracks c1
        "#;
        let remove = r#"{"type": "remove_rig", "caller": {"kind": "host"}, "rig_id": "r1"}"#;
        let told = executes(town, remove);
        assert!(
            told.contains("refused Conflict: rig_id: bead \"c1\""),
            "{told}"
        );
        for (from, to) in [
            (
                "convoy.closed=1",
                "convoy.closed=1 convoy.merge_mode=review-and-merge",
            ),
            (
                "convoy.closed=1",
                "convoy.closed=1 convoy.landings={\"r1\":{\"landed_at\":\"2026-04-04T11:00:00Z\"},\"r2\":{}}",
            ),
            ("c1 convoy open", "c1 convoy closed"),
        ] {
            let told = executes(&town.replace(from, to), remove);
            assert!(!told.contains("refused"), "{to}: {told}");
        }
    }

    /// I14: what named the rig before it was there must not turn out to be elsewhere.
    #[test]
    fn rigs_are_not_added_under_a_name_whose_pull_requests_are_elsewhere() {
        let town = r#"
            bead b1 issue in_review rig_id=r9
            bead m1 merge_request in_progress rig_id=r9 review.source=b1 review.pr_url=https://github.com/acme/r9/pull/1
            edge m1 tracks b1
        "#;
        let add = |name: &str| {
            executes(
                town,
                &std::format!(
                    r#"{{"type": "add_rig", "caller": {{"kind": "host"}}, "rig_id": "r9", "name": "x", "git_url": "https://github.com/acme/{name}.git", "default_branch": "main"}}"#
                ),
            )
        };
        assert!(
            add("web").contains("refused Conflict: git_url"),
            "{}",
            add("web")
        );
        assert!(!add("r9").contains("refused"), "{}", add("r9"));
    }
}
