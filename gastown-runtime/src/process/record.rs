//! Sessions on disk: what a host that was killed left running (spec 6.3).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use gastown_core::{AgentId, SessionId, TownId};
use serde::{Deserialize, Serialize};

use super::environment::{AGENT, DIRECTORY, SESSION, TOWN};
use super::group::Group;
use super::process_table;
use crate::error::RuntimeError;
use crate::git::{GitError, file_name};

/// The latest session of one agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionRecord {
    pub(crate) town_id: TownId,
    pub(crate) agent_id: AgentId,
    pub(crate) session: u64,
    /// The process, which leads its group.
    pub(crate) pid: i32,
    /// When the process started, where the system tells: numbers are given away again.
    pub(crate) start_time: Option<u64>,
    /// The boot of the machine that number and time belong to.
    pub(crate) boot_id: Option<String>,
    /// Nothing of it runs any more.
    pub(crate) ended: bool,
}

impl SessionRecord {
    pub(crate) fn new(session: &SessionId, pid: i32) -> Self {
        Self {
            town_id: session.town_id.clone(),
            agent_id: session.agent_id.clone(),
            session: session.session,
            pid,
            start_time: process_table::start_time(pid),
            boot_id: process_table::boot_id(),
            ended: false,
        }
    }

    /// The group, if the process of that number still is the one that was recorded.
    pub(crate) fn group(&self) -> Option<Group> {
        let same_boot = self.boot_id == process_table::boot_id();
        let same_start =
            self.start_time.is_some() && self.start_time == process_table::start_time(self.pid);
        (same_boot && same_start)
            .then(|| Group::from_number(self.pid))
            .flatten()
    }
}

/// The records of all sessions, one file per agent.
#[derive(Debug, Clone)]
pub(crate) struct Records {
    dir: PathBuf,
}

impl Records {
    pub(crate) fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Writes a record in one step: a crash leaves the old one or the new one.
    pub(crate) fn write(&self, record: &SessionRecord) -> Result<(), RuntimeError> {
        let path = self.path(&record.town_id, &record.agent_id)?;
        let body = serde_json::to_string(record).map_err(io::Error::other);
        let partial = path.with_extension("partial");
        body.and_then(|body| fs::write(&partial, body))
            .and_then(|()| fs::rename(&partial, &path))
            .map_err(|source| use_file(&path, source))
    }

    /// The latest session of an agent, if there ever was one.
    pub(crate) fn read(&self, town: &TownId, agent: &AgentId) -> Option<SessionRecord> {
        let path = self.path(town, agent).ok()?;
        read_file(&path).ok().flatten()
    }

    /// Removes the record of an agent that is gone for good.
    pub(crate) fn remove(&self, town: &TownId, agent: &AgentId) -> Result<(), RuntimeError> {
        let path = self.path(town, agent)?;
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(use_file(&path, source)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Every record. A file that can't be read as one is reported and left alone.
    pub(crate) fn all(&self) -> Result<Vec<SessionRecord>, RuntimeError> {
        let dir_error = |source| use_file(&self.dir, source);
        fs::create_dir_all(&self.dir).map_err(dir_error)?;
        let mut records = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(dir_error)? {
            let path = entry.map_err(dir_error)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            match read_file(&path) {
                Ok(record) => records.extend(record),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "not a session record")
                }
            }
        }
        Ok(records)
    }

    fn path(&self, town: &TownId, agent: &AgentId) -> Result<PathBuf, GitError> {
        // A colon never stands in an escaped name, so the pair stays one to one.
        let name = format!("{town}:{agent}");
        let parts = [
            file_name("town id", town.as_str())?,
            file_name("agent id", agent.as_str())?,
        ];
        let file = format!("{}:{}.json", parts[0], parts[1]);
        match file.len() {
            ..=255 => Ok(self.dir.join(file)),
            _ => Err(GitError::Name {
                what: "town and agent id",
                shown: name,
                problem: "is too long to name a file",
            }),
        }
    }
}

fn read_file(path: &Path) -> io::Result<Option<SessionRecord>> {
    match fs::read_to_string(path) {
        Ok(body) => serde_json::from_str(&body)
            .map(Some)
            .map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn use_file(path: &Path, source: io::Error) -> RuntimeError {
    RuntimeError::UseFile {
        path: path.display().to_string(),
        source,
    }
}

/// Ends processes of a session that left its group, or whose record was never written. They are
/// known by their environment.
#[cfg(target_os = "linux")]
pub(crate) fn kill_strays(dir: &Path, session: Option<&SessionId>) {
    use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

    let dir = dir.display().to_string();
    let number = session.map(|session| session.session.to_string());
    let mut wanted = vec![(DIRECTORY, dir.as_str())];
    if let (Some(session), Some(number)) = (session, &number) {
        wanted.push((TOWN, session.town_id.as_str()));
        wanted.push((AGENT, session.agent_id.as_str()));
        wanted.push((SESSION, number));
    }
    for number in process_table::with_environment(&wanted) {
        // A host that was itself started by an agent of that directory is no leftover.
        let own = u32::try_from(number) == Ok(std::process::id());
        let Some(pid) = Pid::from_raw(number).filter(|_| !own) else {
            continue;
        };
        // The handle is opened before the environment is looked at again: from there on it can't
        // come to mean another process.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            continue;
        };
        if process_table::has_environment(number, &wanted) {
            tracing::warn!(pid = number, "killing a process that an agent left behind");
            if let Err(error) = pidfd_send_signal(process, Signal::KILL) {
                tracing::debug!(pid = number, %error, "it is gone already");
            }
        }
    }
}

/// Other systems don't tell the environment of a process.
#[cfg(not(target_os = "linux"))]
pub(crate) fn kill_strays(_: &Path, _: Option<&SessionId>) {
    let _ = (DIRECTORY, TOWN, AGENT, SESSION);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::session_id;

    #[test]
    fn a_record_of_another_process_of_that_number_names_no_group() {
        let own = i32::try_from(std::process::id()).unwrap();
        let record = SessionRecord::new(&session_id("t1", "a1", 1), own);
        assert!(record.group().is_some());
        let reused = SessionRecord {
            start_time: record.start_time.map(|time| time + 1),
            ..record.clone()
        };
        let rebooted = SessionRecord {
            boot_id: Some("another".into()),
            ..record.clone()
        };
        let unknown = SessionRecord {
            start_time: None,
            ..record
        };
        for record in [reused, rebooted, unknown] {
            assert_eq!(record.group(), None, "{record:?}");
        }
    }

    #[test]
    fn records_are_kept_per_agent_and_bad_files_harm_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path().join("sessions"));
        assert_eq!(records.all().unwrap(), []);
        let first = SessionRecord::new(&session_id("t/1", "a1", 1), 4242);
        let other = SessionRecord::new(&session_id("t", "1:a1", 1), 4243);
        records.write(&first).unwrap();
        records.write(&other).unwrap();
        let second = SessionRecord {
            session: 2,
            ended: true,
            ..first.clone()
        };
        records.write(&second).unwrap();
        fs::write(dir.path().join("sessions/bad.json"), "{").unwrap();
        assert_eq!(
            records.read(&first.town_id, &first.agent_id),
            Some(second.clone())
        );
        let mut all = records.all().unwrap();
        all.sort_by_key(|record| record.pid);
        assert_eq!(all, [second, other]);
    }
}
