//! What is missing on this machine, named before anything is dispatched (spec 6.3).

use std::path::Path;

use gastown_core::AgentRuntimeError;

use super::settings::{ProcessSettings, RequiredTool};

/// Names what is missing: git, the agents' own program, and the tools that they need.
pub(crate) fn check_tools(settings: &ProcessSettings) -> Result<(), AgentRuntimeError> {
    let missing = missing_on(settings, &std::env::var_os("PATH").unwrap_or_default());
    match missing.is_empty() {
        true => Ok(()),
        false => Err(AgentRuntimeError::MissingTools {
            tools: missing.join(", "),
        }),
    }
}

fn missing_on(settings: &ProcessSettings, path: &std::ffi::OsStr) -> Vec<String> {
    let git = RequiredTool::program("git");
    let agent = settings.command.program().map(RequiredTool::program);
    let is_there = |program: &String| {
        if program.contains('/') {
            return is_executable(Path::new(program));
        }
        std::env::split_paths(path).any(|dir| is_executable(&dir.join(program)))
    };
    std::iter::once(&git)
        .chain(&agent)
        .chain(&settings.tools)
        .filter(|tool| !tool.programs.iter().any(is_there))
        .map(|tool| tool.name.clone())
        .collect()
}

#[cfg(unix)]
fn is_executable(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::template::CommandTemplate;

    #[test]
    fn everything_that_is_missing_is_named_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let command = CommandTemplate::new(["/no/such/agent", "{role}"]).unwrap();
        let mut settings = ProcessSettings::new(dir.path(), command);
        settings.tools = RequiredTool::of_coding_agents();
        let missing = missing_on(&settings, dir.path().as_os_str());
        let expected = [
            "git",
            "/no/such/agent",
            "a C compiler (cc, gcc or clang)",
            "make",
            "rg",
            "jq",
            "curl",
            "unzip",
            "gh",
        ];
        assert_eq!(missing, expected);
        // A file that can't be run is none; one of several programs is enough.
        std::fs::write(dir.path().join("git"), "").unwrap();
        std::os::unix::fs::symlink("/bin/sh", dir.path().join("clang")).unwrap();
        let missing = missing_on(&settings, dir.path().as_os_str());
        assert_eq!(missing[..3], ["git", "/no/such/agent", "make"]);
    }
}
