//! The log of a session: bounded, without secrets, readable on a terminal.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use gastown_core::Masker;

/// How much of a session is kept: the latest half to whole of this, in bytes.
pub(crate) const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How much of one line is kept, in characters.
const LINE_CHARACTERS_MAX: usize = 4 * 1024;
/// How many sessions of an agent keep their logs.
const SESSIONS_KEPT_MAX: usize = 20;

/// Where a line of the log comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// The agent's `log` lines.
    Log,
    /// Standard error.
    Stderr,
    /// A line of standard output that is none of the protocol's.
    Bad,
    /// The host.
    Host,
}

impl Source {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Stderr => "err",
            Self::Bad => "bad",
            Self::Host => "host",
        }
    }
}

/// The log of one session: `<session>.log`, and the part before it in `<session>.log.1`.
#[derive(Debug)]
pub(crate) struct SessionLog {
    path: PathBuf,
    masker: Masker,
    file: Mutex<Option<(File, u64)>>,
}

impl SessionLog {
    /// Opens the log of a session and removes those of sessions long past.
    pub(crate) fn open(dir: &Path, session: u64, masker: Masker) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        remove_old(dir, session)?;
        let path = dir.join(format!("{session}.log"));
        let file = OpenOptions::new().create(true).append(true).open(&path)?;
        let length = file.metadata()?.len();
        Ok(Self {
            path,
            masker,
            file: Mutex::new(Some((file, length))),
        })
    }

    /// Adds a text, line by line. A log that can't be written is no reason to stop the session.
    pub(crate) fn add(&self, source: Source, text: &str) {
        let masked = self.masker.mask(text);
        for line in masked.lines() {
            let line = format!("{} {}\n", source.as_str(), readable(line));
            if let Err(error) = self.write(&line) {
                tracing::debug!(path = %self.path.display(), %error, "could not write a log");
            }
        }
    }

    /// `text` without the session's secrets.
    pub(crate) fn mask(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    fn write(&self, line: &str) -> io::Result<()> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((file, length)) = slot.as_mut() else {
            return Ok(());
        };
        file.write_all(line.as_bytes())?;
        *length = length.saturating_add(u64::try_from(line.len()).unwrap_or(u64::MAX));
        if *length > LOG_BYTES_MAX / 2 {
            fs::rename(&self.path, self.path.with_extension("log.1"))?;
            *slot = None;
            *slot = Some((File::create(&self.path)?, 0));
        }
        Ok(())
    }
}

/// Escapes what a terminal would obey, and cuts what nobody reads.
fn readable(line: &str) -> String {
    let mut out = String::new();
    for c in line.chars().take(LINE_CHARACTERS_MAX) {
        if c.is_control() && c != '\t' {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    if line.chars().nth(LINE_CHARACTERS_MAX).is_some() {
        out.push('…');
    }
    out
}

fn remove_old(dir: &Path, session: u64) -> io::Result<()> {
    let mut sessions = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.split('.').next()?.parse::<u64>().ok());
        sessions.extend(
            number
                .filter(|number| *number != session)
                .map(|number| (number, path)),
        );
    }
    let mut numbers: Vec<u64> = sessions.iter().map(|(number, _)| *number).collect();
    numbers.sort_unstable_by(|a, b| b.cmp(a));
    numbers.dedup();
    // This session's own is one of those that are kept.
    let kept = numbers.get(..SESSIONS_KEPT_MAX.saturating_sub(1));
    for (number, path) in &sessions {
        if kept.is_some_and(|kept| !kept.contains(number)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use gastown_core::Secret;

    #[test]
    fn a_log_is_masked_escaped_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let masker = Masker::new([&Secret::new("secret-token")]);
        let log = SessionLog::open(dir.path(), 1, masker).unwrap();
        log.add(Source::Stderr, "use secret-token\n\u{1b}[2Jnext\tone");
        let text = fs::read_to_string(dir.path().join("1.log")).unwrap();
        assert_eq!(text, "err use [redacted]\nerr \\u{1b}[2Jnext\tone\n");
        let line = "x".repeat(LINE_CHARACTERS_MAX + 1);
        for _ in 0..2 * LOG_BYTES_MAX / u64::try_from(line.len()).unwrap() {
            log.add(Source::Log, &line);
        }
        let total: u64 = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().metadata().unwrap().len())
            .sum();
        assert!(
            (LOG_BYTES_MAX / 2..=LOG_BYTES_MAX + 16 * 1024).contains(&total),
            "{total}"
        );
    }

    #[test]
    fn only_the_latest_sessions_keep_their_logs() {
        let dir = tempfile::tempdir().unwrap();
        for session in 1..=30 {
            let log = SessionLog::open(dir.path(), session, Masker::default()).unwrap();
            log.add(Source::Host, "started");
        }
        let mut kept: Vec<u64> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| path.file_stem().unwrap().to_str().unwrap().parse().unwrap())
            .collect();
        kept.sort_unstable();
        assert_eq!(kept, (11..=30).collect::<Vec<_>>());
    }
}
