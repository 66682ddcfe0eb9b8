//! What the runtime could not do.

use std::io;
use std::sync::Arc;

use gastown_core::wire::WireError;
use gastown_core::{AgentRuntimeError, CommandError, StoreError, TownId};

use crate::git::GitError;
use crate::tick::Broken;

/// What the runtime could not do, named after what was attempted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// A directory or file of the runtime's own could not be used.
    #[error("could not use {path}: {source}")]
    UseFile {
        /// The path.
        path: String,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another process of this machine uses the directory.
    #[error("{path} is in use by another process")]
    DirectoryInUse {
        /// The directory.
        path: String,
    },
    /// The command that starts agents can't be used.
    #[error("agent command, word {word:?}: {problem}")]
    ReadTemplate {
        /// The word of it that is wrong.
        word: String,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// Git failed.
    #[error(transparent)]
    RunGit(#[from] GitError),
    /// Agents of an earlier run of the host could not be stopped.
    #[error("agents of an earlier run still run and could not be stopped: {agents}")]
    StopLeftovers {
        /// Which, by name.
        agents: String,
    },
    /// A runner was to be built without one of its ports.
    #[error("a runner needs {port}")]
    BuildRunner {
        /// The port.
        port: &'static str,
    },
    /// A runner was to be built with a setting that no town could run with.
    #[error("runner settings: {setting} {problem}")]
    CheckSettings {
        /// The setting.
        setting: &'static str,
        /// What is wrong, and what was expected.
        problem: &'static str,
    },
    /// Agents can't run here, so no town is opened: a tool that they need is missing.
    #[error("agents can't run here: {source}")]
    CheckTools {
        /// What is missing, by name.
        #[source]
        source: AgentRuntimeError,
    },
    /// A town was to be made with settings that none may have.
    #[error("town {town} can't be made: {source}")]
    FoundTown {
        /// The town.
        town: TownId,
        /// What is wrong with the settings.
        #[source]
        source: gastown_core::wire::WireError,
    },
    /// A town could not be created or opened.
    #[error("could not create or open town {town}: {source}")]
    OpenTown {
        /// The town.
        town: TownId,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// The towns of a store could not be listed.
    #[error("could not list the towns: {source}")]
    ListTowns {
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// What is stored of a town can't be read.
    #[error("could not read town {town}: {source}")]
    ReadTown {
        /// The town.
        town: TownId,
        /// Where and what.
        #[source]
        source: WireError,
    },
    /// A running town could not use its store; the source names the operation.
    #[error("could not use the store of town {town}: {source}")]
    UseStore {
        /// The town.
        town: TownId,
        /// What the store says; also whether it may have been written all the same.
        #[source]
        source: Arc<StoreError>,
    },
    /// A town's store did not answer in time; the change may have been written.
    #[error("the store did not answer for town {town} within {seconds} s")]
    AwaitStore {
        /// The town.
        town: TownId,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The store did not list its towns in time.
    #[error("the store did not list its towns within {seconds} s")]
    AwaitTowns {
        /// How long it was waited for.
        seconds: u64,
    },
    /// What the host asked of a town's state panicked; the town goes on.
    #[error("a look at town {town} panicked: {panic}")]
    InspectTown {
        /// The town.
        town: TownId,
        /// What it said.
        panic: String,
    },
    /// Facts could not be stored.
    #[error("could not append events to town {town}: {source}")]
    AppendEvents {
        /// The town.
        town: TownId,
        /// What the store says.
        #[source]
        source: StoreError,
    },
    /// A command was refused; nothing was changed.
    #[error(transparent)]
    RefuseCommand(CommandError),
    /// The engine broke its own rules; the town stands still.
    #[error("the town is frozen: {0}")]
    TownFrozen(#[source] Arc<Broken>),
    /// The town is not loaded: it starts, its store fails, or somebody else drives it.
    #[error("the town is not loaded here")]
    TownNotLoaded,
    /// Too much waits for the town; try again.
    #[error("the town is busy: too much waits for it")]
    TownBusy,
    /// The town has ended or is about to.
    #[error("the town is closed")]
    TownClosed,
    /// The town runs already.
    #[error("town {town} runs here already")]
    TownOpen {
        /// The town.
        town: TownId,
    },
}
