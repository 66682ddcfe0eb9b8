//! What the system knows of running processes. On other systems than Linux nothing is known, and
//! what depends on it is left out.

use std::fs;

/// The fields of `/proc/<pid>/stat` after the command's name, by position.
const STATE: usize = 0;
const GROUP: usize = 2;
const START_TIME: usize = 19;

/// Names this boot of the machine; process numbers of another boot mean nothing.
pub(crate) fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// When the process started, in the kernel's ticks since boot; with the number it names a process
/// for good.
pub(crate) fn start_time(pid: i32) -> Option<u64> {
    field(&stat(pid)?, START_TIME)?.parse().ok()
}

/// Whether the process is there and no zombie.
#[cfg(test)]
pub(crate) fn is_running(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !is_ended(&stat))
}

/// Whether a process of the group is there and no zombie. Where nothing is known, it may be.
pub(crate) fn group_runs(group: i32) -> bool {
    let Some(pids) = pids() else {
        return true;
    };
    let group = group.to_string();
    pids.into_iter().any(|pid| {
        stat(pid).is_some_and(|stat| field(&stat, GROUP) == Some(&group) && !is_ended(&stat))
    })
}

/// Processes whose environment at their start had all of these variables.
pub(crate) fn with_environment(wanted: &[(&str, &str)]) -> Vec<i32> {
    let mut found = pids().unwrap_or_default();
    found.retain(|pid| has_environment(*pid, wanted));
    found
}

/// Whether the process's environment at its start had all of these variables. Of other users'
/// processes nothing can be read; they are none of ours.
pub(crate) fn has_environment(pid: i32, wanted: &[(&str, &str)]) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let entries: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
    let has = |name: &str, value: &str| {
        let entry = format!("{name}={value}");
        entries.contains(&entry.as_bytes())
    };
    wanted.iter().all(|(name, value)| has(name, value))
}

fn pids() -> Option<Vec<i32>> {
    let entries = fs::read_dir("/proc").ok()?;
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Some(pids.collect())
}

fn stat(pid: i32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok()
}

/// A field after the command's name, which may itself hold blanks and parentheses.
fn field(stat: &str, position: usize) -> Option<&str> {
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_ascii_whitespace().nth(position)
}

fn is_ended(stat: &str) -> bool {
    matches!(field(stat, STATE), Some("Z" | "X"))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_and_parentheses_confuses_nobody() {
        let stat = "42 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 0 0";
        assert_eq!(field(stat, STATE), Some("S"));
        assert_eq!(field(stat, GROUP), Some("7"));
        assert_eq!(field(stat, START_TIME), Some("12345"));
    }

    #[test]
    fn this_process_is_known() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(start_time(pid).is_some());
        assert!(is_running(pid));
        assert!(boot_id().is_some());
        let path = std::env::var("PATH").unwrap();
        assert!(with_environment(&[("PATH", &path)]).contains(&pid));
        assert!(!with_environment(&[("PATH", &path), ("NO_SUCH", "1")]).contains(&pid));
    }
}
