//! The town as it begins: its settings, two rigs, four issues and a convoy.

use std::time::Duration;

use gastown_core::commands::{AddRig, ConvoyTask, Sling, SlingConvoy};
use gastown_core::{
    BeadId, Caller, Command, CommandKind, Commit, ConvoyMergeMode, MergeStrategy, Policy,
    RefineryConfig, ReviewMode, RigId, Store, Timestamp, Town, TownConfig, TownId,
};

use crate::directory::Directory;
use crate::failure::Failure;
use crate::jobs;
use crate::origins::{DEFAULT_BRANCH, ORIGINS};

/// The town's name for itself.
pub(crate) const TOWN: &str = "example";

/// Founds the town if it is not there: all of it in one commit, so that a crash leaves it whole or
/// not there at all, and nothing is ever slung twice.
pub(crate) async fn found(
    store: &dyn Store,
    town_id: &TownId,
    directory: &Directory,
    now: Timestamp,
) -> Result<(), Failure> {
    if store.towns().await?.contains(town_id) {
        return Ok(());
    }
    let mut town = Town::new(town_id.clone(), config(), policy());
    add_rigs(&mut town, directory, now)?;
    sling_issues(&mut town, now)?;
    sling_convoy(&mut town, now)?;
    save(store, town, now).await
}

/// Keeps a new town.
pub(crate) async fn save(store: &dyn Store, mut town: Town, now: Timestamp) -> Result<(), Failure> {
    let town_id = town.id().clone();
    let commit = Commit {
        expected_version: 0,
        lease_token: None,
        changes: town.take_changes(),
        consumed: Vec::new(),
        effects: Vec::new(),
        at: now,
    };
    // Founding asks for no effects: what is to be done follows from the rules.
    drop(store.commit(&town_id, commit).await?);
    Ok(())
}

/// Merged by refineries, reviewed in rounds of rework.
pub(crate) fn config() -> TownConfig {
    // Agents' git is not to depend on what the machine's owner has configured.
    let env_vars = [
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
    ];
    TownConfig {
        merge_strategy: Some(MergeStrategy::Direct),
        convoy_merge_mode: Some(ConvoyMergeMode::ReviewThenLand),
        staged_convoys_default: Some(false),
        max_polecats_per_rig: Some(3),
        // Being killed again and again costs attempts.
        max_dispatch_attempts: Some(50),
        tick_interval_active: Some(Duration::from_secs(1)),
        refinery: RefineryConfig {
            code_review: Some(true),
            review_mode: Some(ReviewMode::Rework),
            gates: Some(vec!["sh tests/run.sh".into()]),
            ..RefineryConfig::default()
        },
        env_vars: env_vars
            .map(|(name, value)| (name.into(), value.into()))
            .into(),
        ..TownConfig::default()
    }
}

/// The rules' own thresholds, for agents that think in fractions of a second.
pub(crate) fn policy() -> Policy {
    let seconds = Duration::from_secs;
    Policy {
        heartbeat_timeout: seconds(5),
        start_grace: seconds(20),
        dispatch_backoff: [1, 1, 2, 2, 3].map(seconds),
        stale_in_progress: seconds(10),
        settled_review_grace: seconds(10),
        abandoned_review: seconds(1),
        stuck_review: seconds(8),
        merge_outcome_timeout: seconds(5),
        forge_backoff: seconds(2),
        landing_cooldown: seconds(1),
        lineage_dispatches: 200,
        ..Policy::default()
    }
}

fn add_rigs(town: &mut Town, directory: &Directory, now: Timestamp) -> Result<(), Failure> {
    for origin in &ORIGINS {
        let path = directory.origin(origin.rig);
        let git_url = path.to_str().map(str::to_owned).ok_or_else(|| {
            Failure::NotReady(format!(
                "{} is not UTF-8: name another --dir",
                path.display()
            ))
        })?;
        let rig = AddRig {
            rig_id: rig_id(origin.rig)?,
            name: origin.rig.into(),
            git_url,
            default_branch: DEFAULT_BRANCH.into(),
            config: Default::default(),
        };
        execute(town, rig, now)?;
    }
    Ok(())
}

pub(crate) fn sling_issues(town: &mut Town, now: Timestamp) -> Result<(), Failure> {
    for job in &jobs::ISSUES {
        let blockers = town
            .beads()
            .filter(|bead| job.after.contains(&bead.title.as_str()));
        let depends_on: Vec<BeadId> = blockers.map(|bead| bead.id.clone()).collect();
        let sling = Sling {
            rig_id: rig_id(job.rig)?,
            title: job.title.into(),
            body: Some(job.body.into()),
            priority: None,
            labels: Vec::new(),
            metadata: Default::default(),
            depends_on,
        };
        execute(town, sling, now)?;
    }
    Ok(())
}

fn sling_convoy(town: &mut Town, now: Timestamp) -> Result<(), Failure> {
    let convoy = &jobs::CONVOY;
    let indexed = || convoy.tasks.iter().enumerate();
    let tasks = convoy.tasks.iter().map(|job| ConvoyTask {
        title: job.title.into(),
        body: Some(job.body.into()),
        rig_id: None,
        depends_on: indexed()
            .filter(|(_, other)| job.after.contains(&other.title))
            .map(|(index, _)| index)
            .collect(),
    });
    let sling = SlingConvoy {
        rig_id: rig_id(convoy.rig)?,
        title: convoy.title.into(),
        tasks: tasks.collect(),
        merge_mode: None,
        staged: None,
        metadata: Default::default(),
    };
    execute(town, sling, now)
}

pub(crate) fn rig_id(name: &str) -> Result<RigId, Failure> {
    RigId::new(name).map_err(|error| Failure::NotReady(error.to_string()))
}

pub(crate) fn execute(
    town: &mut Town,
    command: impl Into<CommandKind>,
    now: Timestamp,
) -> Result<(), Failure> {
    let command = Command::new(Caller::user("you"), command);
    match town.execute(command, now) {
        Ok(_) => Ok(()),
        Err(refusal) => Err(Failure::NotReady(format!("the town refused: {refusal}"))),
    }
}
