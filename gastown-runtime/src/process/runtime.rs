//! The agent runtime that ships: agents as child processes (spec 6.3).

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gastown_core::events::ProcessStatus;
use gastown_core::{
    AgentId, AgentMessage, AgentRuntime, AgentRuntimeError, Masker, SavedWork, Secret, SessionId,
    StartRequest, TownId,
};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::environment::{self, Sources};
use super::group::{Group, GroupGuard};
use super::log::{SessionLog, Source};
use super::preflight::check_tools;
use super::record::{Records, SessionRecord, kill_strays};
use super::save::Origin;
use super::session::{Session, Surroundings};
use super::settings::ProcessSettings;
use super::worktree::Worktrees;
use crate::credentials::Credentials;
use crate::error::RuntimeError;
use crate::git::{GitAccess, file_name};
use crate::output::AgentOutput;
use crate::protocol::{Message, Start, ToAgent};

/// How often and how long apart a directory that seems to be in use is tried again.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// How many outputs of all sessions wait for the host before agents have to.
const OUTPUTS_WAITING_MAX: usize = 1_024;

/// Agents as child processes of a command template, each in its own git worktree of its rig.
///
/// # Guarantees
/// - It never runs two sessions of one agent, not even after the host was killed: what an earlier
///   run left is ended before [`ProcessRuntime::open`] returns.
/// - A session ends as a whole: its process group, and on Linux whatever left the group.
/// - The environment is built, not inherited; secrets appear in no log and no error.
/// - A fetch goes on when the start that asked for it is cancelled, for at most the deadline of
///   [`Git`](crate::Git), so that a first one may take longer than a start. It ends with
///   [`ProcessRuntime::stop_all`], or when this is dropped.
///
/// # Assumptions
/// - Git is 2.38 or later. Its directory is on a local file system and used by one process.
pub struct ProcessRuntime {
    settings: ProcessSettings,
    credentials: Arc<dyn Credentials>,
    worktrees: Worktrees,
    records: Records,
    outputs: mpsc::Sender<AgentOutput>,
    agents: Mutex<BTreeMap<(TownId, AgentId), Arc<Slot>>>,
    identity: String,
}

/// The place of one agent: at most one session is in it.
#[derive(Debug, Default)]
struct Slot {
    /// Starts and stops of one agent take turns.
    turn: tokio::sync::Mutex<()>,
    session: Mutex<Option<Arc<Session>>>,
}

impl Slot {
    fn session(&self) -> Option<Arc<Session>> {
        let session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        session.clone()
    }

    fn running(&self) -> Option<Arc<Session>> {
        self.session().filter(|session| session.is_running())
    }

    fn put(&self, session: Arc<Session>) {
        *self.session.lock().unwrap_or_else(PoisonError::into_inner) = Some(session);
    }
}

impl std::fmt::Debug for ProcessRuntime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProcessRuntime")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl ProcessRuntime {
    /// Takes the directory into use, ends what an earlier run of the host left running there, and
    /// removes the locks that it left in the mirrors.
    ///
    /// Returns the runtime and what its sessions say. The receiver has to be read: agents wait
    /// when it is full.
    ///
    /// # Errors
    /// [`RuntimeError::UseFile`], [`RuntimeError::DirectoryInUse`], or
    /// [`RuntimeError::StopLeftovers`] if something of an earlier run can't be ended.
    pub async fn open(
        mut settings: ProcessSettings,
        credentials: Arc<dyn Credentials>,
    ) -> Result<(Self, mpsc::Receiver<AgentOutput>), RuntimeError> {
        let use_dir = |source| RuntimeError::UseFile {
            path: settings.dir.display().to_string(),
            source,
        };
        std::fs::create_dir_all(&settings.dir).map_err(use_dir)?;
        // One name for one directory: processes are found again by it.
        settings.dir = settings.dir.canonicalize().map_err(use_dir)?;
        // Held as long as this lives, and a git of its; the system gives it back when the process ends.
        let lock = Arc::new(lock(&settings.dir).await?);
        let identity = identity(&settings.dir)?;
        let records = Records::new(settings.dir.join("sessions"));
        end_leftovers(&settings, &records).await?;
        let (outputs, receiver) = mpsc::channel(OUTPUTS_WAITING_MAX);
        let towns = settings.dir.join("towns");
        let worktrees = Worktrees::new(settings.git.clone(), towns, Some(lock));
        // What was ended just now, or by a crash, may have been in the middle of something.
        worktrees.remove_leftovers().await;
        let runtime = Self {
            worktrees,
            settings,
            credentials,
            records,
            outputs,
            agents: Mutex::default(),
            identity,
        };
        Ok((runtime, receiver))
    }

    /// Names the directory: the same after every restart, and no other one's.
    #[must_use]
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Stops every session, all at once, and ends fetches that are under way; returns the sessions
    /// of which something may still run.
    pub async fn stop_all(&self, reason: &str) -> Vec<SessionId> {
        self.worktrees.end_fetches().await;
        let sessions: Vec<Arc<Session>> = {
            let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
            agents.values().filter_map(|slot| slot.running()).collect()
        };
        let mut stopping = tokio::task::JoinSet::new();
        for session in sessions {
            let (reason, settings) = (reason.to_owned(), &self.settings);
            let (stop_wait, terminate_wait) = (settings.stop_wait, settings.terminate_wait);
            stopping.spawn(async move {
                let ended = session.stop(&reason, stop_wait, terminate_wait).await;
                (!ended).then(|| session.id.clone())
            });
        }
        let mut left = stopping.join_all().await;
        left.retain(Option::is_some);
        left.into_iter().flatten().collect()
    }

    /// Where the worktree of a session's agent is.
    ///
    /// # Errors
    /// [`RuntimeError::RunGit`] for an identifier that names no file.
    pub fn worktree(&self, session: &SessionId) -> Result<PathBuf, RuntimeError> {
        Ok(self.worktrees.path(session)?)
    }

    fn slot(&self, town: &TownId, agent: &AgentId) -> Arc<Slot> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (town.clone(), agent.clone());
        if !agents.contains_key(&key) {
            // Agents come and go: places that nobody holds and nothing runs in are forgotten.
            agents.retain(|_, slot| Arc::strong_count(slot) > 1 || slot.running().is_some());
        }
        Arc::clone(agents.entry(key).or_default())
    }

    /// The session of an agent that runs, if one does.
    fn running(&self, town: &TownId, agent: &AgentId) -> Option<Arc<Session>> {
        let agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.get(&(town.clone(), agent.clone()))?.running()
    }

    /// The rest of a start, once the agent's turn has come and nothing of it runs.
    async fn launch(&self, slot: &Slot, request: StartRequest) -> Result<(), AgentRuntimeError> {
        // Before anything is made for it.
        let start = ToAgent::from(Start::from(&request));
        start
            .to_line()
            .map_err(|problem| rejected(&format!("what it is to do does not fit: {problem}")))?;
        let secrets = self.credentials.of_session(&request).await;
        let secrets = secrets.map_err(|error| rejected(&error))?;
        let town_id = &request.session.town_id;
        let token = self.credentials.of_repository(town_id, &request.git_url);
        let access = GitAccess::new(
            &request.git_url,
            token.await.map_err(|error| rejected(&error))?,
        );
        let is_running = |agent: &AgentId| self.running(town_id, agent).is_some();
        let worktree = self.worktrees.prepare(&request, &access, is_running);
        let worktree = worktree.await.map_err(|error| rejected(&error))?;
        let log = self.open_log(&request.session, &secrets, &access)?;
        let environment = environment::build(&Sources {
            inherited: self.inherited(),
            request: &request,
            secrets: &secrets,
            access: &access,
            dir: &self.settings.dir,
        });
        let words = self.settings.command.fill(&request, &worktree);
        let child = spawn(&words, &worktree, environment)?;
        // From here to `put` nothing waits: a start that is cancelled leaves a session that
        // `stop` finds, or none.
        let session = self.adopt(&request, child, log)?;
        slot.put(Arc::clone(&session));
        self.greet(&session, start).await
    }

    /// Records a process that was just spawned and watches over it.
    fn adopt(
        &self,
        request: &StartRequest,
        child: Child,
        log: Arc<SessionLog>,
    ) -> Result<Arc<Session>, AgentRuntimeError> {
        let id = request.session.clone();
        let Some(group) = Group::of(&child) else {
            return Err(rejected(&"the process ended at once"));
        };
        let mut guard = GroupGuard::of(&child);
        let record = SessionRecord::new(&id, group.number());
        // Without a record a killed host would not find the process again. Dropping guard and
        // child ends it, and it has not been told yet what to do.
        self.records
            .write(&record)
            .map_err(|error| rejected(&error))?;
        guard.disarm();
        log.add(Source::Host, &format!("started as process {}", record.pid));
        let records = self.records.clone();
        let (dir, session_id) = (self.settings.dir.clone(), id.clone());
        let on_end = move || {
            kill_strays(&dir, Some(&session_id));
            let ended = SessionRecord {
                ended: true,
                ..record
            };
            if let Err(error) = records.write(&ended) {
                tracing::warn!(agent = %session_id.agent_id, %error, "could not record an end");
            }
        };
        let surroundings = Surroundings {
            log,
            outputs: self.outputs.clone(),
            terminate_wait: self.settings.terminate_wait,
            on_end: Box::new(on_end),
        };
        Ok(Session::run(id, child, group, surroundings))
    }

    /// Tells the agent who it is and what it is to do.
    async fn greet(&self, session: &Session, start: ToAgent) -> Result<(), AgentRuntimeError> {
        let told = session.deliver(start, self.settings.deliver_wait).await;
        let Err(reason) = told else {
            return Ok(());
        };
        // Whoever was not told what to do does nothing.
        session.kill();
        match session
            .stop(
                &reason,
                self.settings.terminate_wait,
                self.settings.terminate_wait,
            )
            .await
        {
            true => Err(AgentRuntimeError::Rejected { reason }),
            false => Err(AgentRuntimeError::Unknown { reason }),
        }
    }

    fn open_log(
        &self,
        session: &SessionId,
        secrets: &BTreeMap<String, Secret>,
        access: &GitAccess,
    ) -> Result<Arc<SessionLog>, AgentRuntimeError> {
        let masker = Masker::new(secrets.values().chain(access.token()));
        let Some(dir) = self.log_dir(&session.town_id, &session.agent_id) else {
            return Err(rejected(&"its identifier is too long to name a file"));
        };
        let log = SessionLog::open(&dir, session.session, masker);
        log.map(Arc::new).map_err(|error| rejected(&error))
    }

    /// Where the logs of an agent are; none for an identifier that names no file.
    fn log_dir(&self, town: &TownId, agent: &AgentId) -> Option<PathBuf> {
        let town = file_name("town id", town.as_str()).ok()?;
        let agent = file_name("agent id", agent.as_str()).ok()?;
        Some(self.settings.dir.join("logs").join(town).join(agent))
    }

    fn inherited(&self) -> BTreeMap<String, String> {
        let names = self.settings.inherited_variables.iter();
        names
            .filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)))
            .collect()
    }

    /// Where an agent's worktree comes from, and the access to it; none if it has none.
    async fn origin(
        &self,
        town: &TownId,
        agent: &AgentId,
    ) -> Result<Option<(Origin, GitAccess)>, AgentRuntimeError> {
        let origin = self.worktrees.origin(town, agent).await;
        let Some(origin) = origin.map_err(|error| unknown(&error))? else {
            return Ok(None);
        };
        let token = self.credentials.of_repository(town, &origin.git_url).await;
        let token = token.map_err(|error| unknown(&error))?;
        let access = GitAccess::new(&origin.git_url, token);
        Ok(Some((origin, access)))
    }

    async fn end(&self, session: &Session, reason: &str) -> Result<(), AgentRuntimeError> {
        let settings = &self.settings;
        let ended = session.stop(reason, settings.stop_wait, settings.terminate_wait);
        match ended.await {
            true => Ok(()),
            false => Err(AgentRuntimeError::Unknown {
                reason: format!("processes of session {} do not end", session.id.session),
            }),
        }
    }
}

#[async_trait]
impl AgentRuntime for ProcessRuntime {
    async fn preflight(&self) -> Result<(), AgentRuntimeError> {
        check_tools(&self.settings)
    }

    async fn start(&self, request: StartRequest) -> Result<(), AgentRuntimeError> {
        let id = &request.session;
        let slot = self.slot(&id.town_id, &id.agent_id);
        let _turn = slot.turn.lock().await;
        match slot.running() {
            Some(running) if running.id == *id => return Ok(()),
            Some(running) if running.id.session > id.session => {
                return Err(rejected(&"a later session of this agent runs"));
            }
            Some(older) => {
                self.end(&older, "another session of this agent starts")
                    .await?
            }
            None => {}
        }
        self.launch(&slot, request).await
    }

    async fn stop(&self, session: &SessionId, reason: &str) -> Result<(), AgentRuntimeError> {
        let slot = self.slot(&session.town_id, &session.agent_id);
        let _turn = slot.turn.lock().await;
        match slot.running() {
            Some(running) if running.id == *session => self.end(&running, reason).await,
            Some(_) | None => Ok(()),
        }
    }

    async fn wrap_up(&self, session: &SessionId, reason: &str) -> Result<(), AgentRuntimeError> {
        let running = self.running(&session.town_id, &session.agent_id);
        match running.filter(|running| running.id == *session) {
            Some(running) => running.wrap_up(reason),
            None => return Err(AgentRuntimeError::NotRunning),
        }
        Ok(())
    }

    async fn save_work(
        &self,
        session: &SessionId,
        deadline: Duration,
    ) -> Result<Option<SavedWork>, AgentRuntimeError> {
        let (town, agent) = (&session.town_id, &session.agent_id);
        let slot = self.slot(town, agent);
        let _turn = slot.turn.lock().await;
        if slot.running().is_some() {
            return Err(unknown(&"a session of this agent runs"));
        }
        let begin = Instant::now();
        let found = in_time(deadline, self.origin(town, agent)).await?;
        let Some((origin, access)) = found else {
            return Ok(None);
        };
        let left = deadline.saturating_sub(begin.elapsed());
        // Others are saved meanwhile.
        let place = self.worktrees.place_to_save(town, &origin).await;
        let place = place.map_err(|error| unknown(&error))?;
        let save = self.worktrees.save(town, agent, &origin, &access, place);
        let saved = in_time(left, async { save.await.map_err(|error| unknown(&error)) });
        saved.await.map(Some)
    }

    async fn kept(&self, town: &TownId) -> Vec<AgentId> {
        self.worktrees.agents(town)
    }

    async fn forget(&self, town: &TownId, agent: &AgentId) -> Result<(), AgentRuntimeError> {
        let slot = self.slot(town, agent);
        let _turn = slot.turn.lock().await;
        if slot.running().is_some() {
            return Err(unknown(&"a session of this agent runs"));
        }
        let removed = self.worktrees.remove(town, agent).await;
        removed.map_err(|error| unknown(&error))?;
        if let Some(logs) = self.log_dir(town, agent)
            && let Err(error) = std::fs::remove_dir_all(&logs)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(unknown(&format!("{}: {error}", logs.display())));
        }
        let removed = self.records.remove(town, agent);
        removed.map_err(|error| unknown(&error))
    }

    async fn status(&self, session: &SessionId) -> ProcessStatus {
        let running = self.running(&session.town_id, &session.agent_id);
        if running.is_some_and(|running| running.id == *session) {
            return ProcessStatus::Running;
        }
        match self.records.read(&session.town_id, &session.agent_id) {
            Some(record) if record.session >= session.session => ProcessStatus::Exited,
            Some(_) | None => ProcessStatus::NotFound,
        }
    }

    async fn deliver(
        &self,
        session: &SessionId,
        message: AgentMessage,
    ) -> Result<(), AgentRuntimeError> {
        let running = self.running(&session.town_id, &session.agent_id);
        let Some(running) = running.filter(|running| running.id == *session) else {
            return Err(AgentRuntimeError::NotRunning);
        };
        let AgentMessage {
            nudge_id,
            tier,
            text,
        } = message;
        let message = Message {
            nudge_id,
            tier,
            text,
        };
        let delivered = running.deliver(message.into(), self.settings.deliver_wait);
        delivered
            .await
            .map_err(|reason| AgentRuntimeError::Unknown { reason })
    }
}

fn rejected(reason: &dyn std::fmt::Display) -> AgentRuntimeError {
    AgentRuntimeError::Rejected {
        reason: reason.to_string(),
    }
}

fn unknown(reason: &dyn std::fmt::Display) -> AgentRuntimeError {
    AgentRuntimeError::Unknown {
        reason: reason.to_string(),
    }
}

/// What takes longer is cut off.
async fn in_time<T>(
    deadline: Duration,
    work: impl Future<Output = Result<T, AgentRuntimeError>>,
) -> Result<T, AgentRuntimeError> {
    let done = timeout(deadline, work).await;
    done.unwrap_or_else(|_| Err(unknown(&"saving its work took too long")))
}

fn spawn(
    words: &[String],
    worktree: &Path,
    environment: BTreeMap<String, String>,
) -> Result<Child, AgentRuntimeError> {
    let Some((program, arguments)) = words.split_first() else {
        return Err(rejected(&"the command has no program"));
    };
    Command::new(program)
        .args(arguments)
        .current_dir(worktree)
        .env_clear()
        .envs(environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| rejected(&format!("could not run {program}: {error}")))
}

/// Makes sure that no other process uses the directory: it would take our agents for leftovers.
///
/// Whoever has just let go may be seen to hold it for a moment yet: a process that is being started has
/// everything of its parent's until it runs its own program.
async fn lock(dir: &Path) -> Result<File, RuntimeError> {
    let path = dir.join("lock");
    let use_file = |source| RuntimeError::UseFile {
        path: path.display().to_string(),
        source,
    };
    let file = File::create(&path).map_err(use_file)?;
    let mut tries: u32 = 0;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => {
                tries = tries.saturating_add(1);
                tokio::time::sleep(LOCK_PAUSE).await;
            }
            Err(TryLockError::WouldBlock) => {
                return Err(RuntimeError::DirectoryInUse {
                    path: dir.display().to_string(),
                });
            }
            Err(TryLockError::Error(source)) => return Err(use_file(source)),
        }
    }
}

/// The directory's name for itself, made up at its first use. The caller has the lock.
fn identity(dir: &Path) -> Result<String, RuntimeError> {
    let path = dir.join("identity");
    let use_file = |source| RuntimeError::UseFile {
        path: path.display().to_string(),
        source,
    };
    match std::fs::read_to_string(&path) {
        Ok(text) if !text.trim().is_empty() => return Ok(text.trim().to_owned()),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(source) => return Err(use_file(source)),
    }
    let identity = crate::runner::unique();
    std::fs::write(&path, &identity).map_err(use_file)?;
    Ok(identity)
}

/// Ends what an earlier run left, by its records and by its environment.
async fn end_leftovers(settings: &ProcessSettings, records: &Records) -> Result<(), RuntimeError> {
    let mut ending = tokio::task::JoinSet::new();
    for record in records.all()?.into_iter().filter(|record| !record.ended) {
        let wait = settings.terminate_wait;
        ending.spawn(async move {
            let gone = match record.group() {
                Some(group) => group.end(wait).await,
                None => true,
            };
            (record, gone)
        });
    }
    let mut left = Vec::new();
    for (record, gone) in ending.join_all().await {
        if gone {
            tracing::info!(agent = %record.agent_id, session = record.session, "ended a leftover");
            let ended = SessionRecord {
                ended: true,
                ..record
            };
            records.write(&ended)?;
        } else {
            left.push(record.agent_id.to_string());
        }
    }
    // A host that was killed between a spawn and its record left no record at all.
    kill_strays(&settings.dir, None);
    match left.is_empty() {
        true => Ok(()),
        false => Err(RuntimeError::StopLeftovers {
            agents: left.join(", "),
        }),
    }
}

#[cfg(test)]
#[path = "runtime_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "runtime_git_tests.rs"]
mod git_tests;
