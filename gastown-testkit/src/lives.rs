//! Whole lives of a town over a store, and what must hold of what the store then has: its records
//! replay to the same bytes (P13), and a command gives the same whether or not the town forgot
//! what it names.
//!
//! Every adapter can run them:
//!
//! ```
//! use futures_executor::block_on;
//! use gastown_store_memory::MemoryStore;
//! use gastown_testkit::lives::{Then, live, recalls, replays};
//! use gastown_testkit::world::{Setup, Step};
//! let (store, other) = (MemoryStore::new(), MemoryStore::new());
//! let steps = [(Step::Sling { rig: 1, depends_on: 0 }, Then::Tick)];
//! let town = block_on(live(&store, Setup(0), &steps))?;
//! block_on(replays(&store, &town, &other))?;
//! block_on(recalls(&store, &town))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt::Display;

use gastown_core::commands::{
    Acknowledge, CloseBead, ConvoyAdd, ConvoyRemove, DeleteBeads, Grant, Hold, ReopenBead, Retry,
    SetDependencies, Sling, StartConvoy,
};
use gastown_core::report::Report;
use gastown_core::{
    Bead, BeadId, Caller, ChangeSet, Command, CommandKind, Commit, PastFilter, Store, StoreError,
    TickInput, Timestamp, Town, TownId, recall, tick, wire,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::host::{Acknowledged, Host};
use crate::world::{Setup, Step, World, setups, steps};

/// A secret that every such town begins with, and that no report may show.
/// In a branch name it is another text.
pub const SECRET: &str = "Zk9Q2_xW7pLm4RtY8vBn3CsD6fGh1JkA";

/// So many characters of it are in the title of an escalation that quotes it.
const CUT_CHARACTERS: usize = 20;

/// What takes its place at the end. Nothing in it tells of the first.
const RENEWED: &str = "renewed-0f9e8d7c";

/// What a host does after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// A tick.
    Tick,
    /// More happens before the next tick.
    Wait,
    /// A crash, and a new start.
    Reload,
    /// The daily load, with a base for replays, and what is older is pruned.
    Base,
    /// The step itself is committed beside the ticks, without a record.
    Aside,
}

/// A setup, and up to that many steps with what follows each.
pub fn lives(longest: usize) -> impl Strategy<Value = (Setup, Vec<(Step, Then)>)> {
    let then = prop_oneof![
        32 => Just(Then::Tick),
        16 => Just(Then::Wait),
        4 => Just(Then::Reload),
        4 => Just(Then::Base),
        1 => Just(Then::Aside),
    ];
    let steps = steps(1..=longest).prop_flat_map(move |steps| {
        let thens = prop::collection::vec(then.clone(), steps.len());
        (Just(steps), thens).prop_map(|(steps, thens)| steps.into_iter().zip(thens).collect())
    });
    (setups(), steps)
}

/// Lets a town live over a store; returns its name.
///
/// # Errors
/// Whatever the store says.
pub async fn live(
    store: &dyn Store,
    setup: Setup,
    steps: &[(Step, Then)],
) -> Result<TownId, StoreError> {
    let mut ignore = |_: Acknowledged| {};
    let mut host = Host::open(store, world(setup), &mut ignore).await?;
    let town = host.town().id().clone();
    for (step, then) in steps {
        if *then == Then::Aside {
            host.tick().await?;
            host.step_aside(step).await?;
            continue;
        }
        host.step(step).await?;
        match then {
            Then::Wait | Then::Aside => {}
            Then::Tick => {
                host.tick().await?;
            }
            Then::Reload => host.reload(false).await?,
            Then::Base => {
                host.reload(true).await?;
                host.tick().await?;
                store.prune(&town, Timestamp::MAX).await?;
            }
        }
    }
    host.tick().await?;
    settings(&mut host).await?;
    // A base that waits for its tick is written by one that has something to do.
    host.step(&Step::Sling {
        rig: 0,
        depends_on: 0,
    })
    .await?;
    host.tick().await?;
    Ok(town)
}

/// A secret is set, given once more as it is, and replaced, also after a new start; and so is a
/// value of the environment. In the end others take the place of those that texts quote.
async fn settings(host: &mut Host<'_>) -> Result<(), StoreError> {
    let given = [
        ("one", "one", false),
        ("one", "one", false),
        ("two", "two", false),
        ("three", "one", true),
        ("three", "one", false),
    ];
    for (secret, value, starts_anew) in given {
        if starts_anew {
            host.reload(false).await?;
        }
        let config = json!({"github_cli_pat": format!("{SECRET}-{secret}"),
            "env_vars": {"API_KEY": format!("in-the-environment-{value}"), "DEPLOY_TOKEN": SECRET}});
        host.command(update(config));
        host.tick().await?;
    }
    quote(host);
    host.tick().await?;
    // As a host does when a token runs out; what quotes the old one stays.
    let renewed = json!({"llm_token": RENEWED, "env_vars": {"API_KEY": "renewed-environment"}});
    host.command(update(renewed));
    host.tick().await?;
    // One of the town's own is not taken at all, whose stand-in a replay could not tell.
    host.command(command_of(
        json!({"type": "sling", "caller": {"kind": "mayor"},
        "rig_id": "r1", "title": format!("Why is {RENEWED} refused?")}),
    ));
    host.tick().await?;
    Ok(())
}

/// A branch is named after a title with a secret, and a title is cut within one.
fn quote(host: &mut Host<'_>) {
    let before = "x".repeat(100 - CUT_CHARACTERS);
    for command in [
        json!({"type": "sling_convoy", "caller": {"kind": "mayor"}, "rig_id": "r1",
               "title": format!("Try {SECRET}"), "tasks": [{"title": "Try it"}]}),
        json!({"type": "escalate", "caller": {"kind": "user", "id": "ann"}, "severity": "low",
               "message": format!("{before}{SECRET}")}),
    ] {
        host.command(command_of(command));
    }
}

fn update(config: Value) -> Command {
    command_of(json!({"type": "update_config", "caller": {"kind": "host"}, "config": config}))
}

#[allow(clippy::panic)]
fn command_of(command: Value) -> Command {
    match wire::command_from_value(command) {
        Ok(command) => command,
        Err(error) => panic!("{error}"),
    }
}

/// A world with secrets, one of them in a title.
#[allow(clippy::panic)]
fn world(setup: Setup) -> World {
    let mut world = World::new(setup);
    let config = json!({"llm_token": "the-first-token",
        "env_vars": {"API_KEY": "in-the-environment", "DEPLOY_TOKEN": SECRET}});
    let commands = [
        json!({"type": "update_config", "caller": {"kind": "host"}, "config": config}),
        json!({"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1",
               "title": format!("Why is {SECRET} refused?")}),
    ];
    for command in commands {
        let executed = wire::command_from_value(command).map(|command| {
            let now = world.now;
            world.town.execute(command, now)
        });
        assert!(matches!(executed, Ok(Ok(_))), "{executed:?}");
    }
    world
}

fn unless(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// P13: what is recorded, replayed from its first snapshot, gives what is stored; so does a copy of
/// it in `other`, a store that does not have the town.
///
/// # Errors
/// What does not hold.
pub async fn replays(store: &dyn Store, town: &TownId, other: &dyn Store) -> Result<(), String> {
    let report = Report::export(store, town).await.map_err(text)?;
    let written = report.to_text();
    let slug = SECRET.to_lowercase().replace('_', "-");
    let (cut, _) = SECRET.split_at(CUT_CHARACTERS);
    for secret in [
        SECRET,
        &slug,
        cut,
        RENEWED,
        "in-the-environment",
        "renewed-environment",
    ] {
        let is_out = !written.contains(secret);
        unless(is_out, || format!("I17: the report shows {secret}"))?;
    }
    let read = Report::from_text(&written).map_err(text)?;
    unless(read == report, || "the report reads differently".into())?;
    same_bytes(&report)?;

    // Another store goes on where this one is, and replays from the same first snapshot.
    let later = Timestamp::MAX;
    report.import(other, later).await.map_err(text)?;
    let again = Report::export(other, town).await.map_err(text)?;
    let is_same = again.rows == report.rows
        && again.events == report.events
        && again.effects == report.effects
        && again.version == 1;
    unless(is_same, || "the imported town is another".into())?;
    same_bytes(&again)?;
    // Whoever does not know how it ended may do it again, and it changes nothing.
    report.import(other, later).await.map_err(text)?;
    let twice = Report::export(other, town).await.map_err(text)?;
    unless(twice == again, || "imported twice it is another".into())?;
    goes_on(other, town, later).await?;
    let late = report.import(other, later).await;
    unless(matches!(late, Err(StoreError::Conflict { .. })), || {
        format!("imported over a town that went on: {late:?}")
    })
}

/// A commit that changes nothing.
async fn goes_on(store: &dyn Store, town: &TownId, at: Timestamp) -> Result<(), String> {
    let commit = Commit {
        expected_version: 1,
        lease_token: None,
        changes: ChangeSet::default(),
        consumed: Vec::new(),
        effects: Vec::new(),
        at,
    };
    let committed = store.commit(town, commit).await;
    committed.map(drop).map_err(text)
}

/// Replays a report to the rows and the version that it has.
fn same_bytes(report: &Report) -> Result<(), String> {
    let replayed = report.replay().map_err(|error| format!("P13: {error}"))?;
    unless(replayed.version == report.version, || {
        format!("P13: version {}, not {}", replayed.version, report.version)
    })?;
    match report.first_difference(&replayed) {
        None => unless(replayed.ticks > 0, || "P13: nothing was replayed".into()),
        Some(difference) => Err(format!("P13: {difference}")),
    }
}

/// Commands that name beads that ended give the same answer, the same decisions and the same
/// records, whether the town knows all that ever was or has only loaded its working set and
/// recalls the rest.
///
/// # Errors
/// What does not hold.
pub async fn recalls(store: &dyn Store, id: &TownId) -> Result<(), String> {
    let loaded = store.load(id).await.map_err(text)?;
    let everything = PastFilter {
        limit: usize::MAX,
        ..PastFilter::default()
    };
    let past = store.past_rows(id, everything).await.map_err(text)?;
    let all = loaded.rows.iter().cloned().chain(past).collect();
    let whole = Town::from_rows(all).map_err(text)?;
    let forgetful = Town::from_rows(loaded.rows).map_err(text)?;
    let now = whole.beads().map(|bead| bead.updated_at).max();
    let now = now.unwrap_or(Timestamp::MIN);
    for bead in whole.beads() {
        let asked = match bead.status.is_terminal() {
            true => about(&whole, bead),
            false => [deletion(&bead.id)].into(),
        };
        for command in asked {
            let commands = [Command::new(Caller::user("ann"), command)];
            let mut other = forgetful.clone();
            let recalled = recall(store, &other, &commands).await.map_err(text)?;
            let input = |recalled| TickInput {
                number: loaded.version.saturating_add(1),
                now,
                loaded: true,
                recalled,
                stored: &[],
                local: &[],
                commands: &commands,
            };
            let known = tick(&mut whole.clone(), &input(&[]));
            let found = tick(&mut other, &input(&recalled));
            let shown = |ticked: &gastown_core::Ticked| -> Value {
                let answers: Vec<String> = ticked
                    .answers
                    .iter()
                    .map(|answer| format!("{answer:?}"))
                    .collect();
                json!({"answers": answers, "actions": ticked.settled.actions,
                       "history": ticked.changes.history})
            };
            let (known, found) = (shown(&known), shown(&found));
            unless(known == found, || {
                format!("{commands:?}: known {known}, recalled {found}")
            })?;
        }
    }
    Ok(())
}

/// What a person may ask about a bead that ended.
fn about(town: &Town, bead: &Bead) -> Vec<CommandKind> {
    let bead_id = bead.id.clone();
    let mut commands: Vec<CommandKind> = vec![
        Retry {
            bead_id: bead_id.clone(),
        }
        .into(),
        deletion(&bead_id),
        Hold {
            bead_id: bead_id.clone(),
        }
        .into(),
        CloseBead {
            bead_id: bead_id.clone(),
            reason: None,
        }
        .into(),
        ReopenBead {
            bead_id: bead_id.clone(),
        }
        .into(),
        Grant {
            bead_id: bead_id.clone(),
            dispatches: 3,
        }
        .into(),
        Acknowledge {
            escalation_id: bead_id.clone(),
        }
        .into(),
        StartConvoy {
            convoy_id: bead_id.clone(),
        }
        .into(),
    ];
    if let Some(rig) = town.rigs().next() {
        let sling = Sling {
            rig_id: rig.id.clone(),
            title: "Built on it".into(),
            body: None,
            priority: None,
            labels: Vec::new(),
            metadata: Default::default(),
            depends_on: vec![bead_id.clone()],
        };
        commands.push(sling.into());
    }
    let is_other = |other: &&Bead| other.id != bead.id;
    let mut live = town.live_beads().filter(is_other);
    commands.extend(live.next().map(|other| depend(&other.id, &bead_id)));
    let convoys = town.beads().filter(|other| other.convoy().is_some());
    for convoy in convoys.filter(is_other).take(2) {
        let (convoy_id, bead_id) = (convoy.id.clone(), bead_id.clone());
        let add = ConvoyAdd {
            convoy_id: convoy_id.clone(),
            bead_id: bead_id.clone(),
        };
        commands.push(add.into());
        commands.push(ConvoyRemove { convoy_id, bead_id }.into());
    }
    commands
}

/// With a bead goes all that was made for it, however long ago that ended.
fn deletion(bead: &BeadId) -> CommandKind {
    DeleteBeads {
        bead_ids: vec![bead.clone()],
    }
    .into()
}

fn depend(bead: &BeadId, on: &BeadId) -> CommandKind {
    SetDependencies {
        bead_id: bead.clone(),
        depends_on: vec![on.clone()],
    }
    .into()
}
