//! How agents are run as processes.

use std::path::PathBuf;
use std::time::Duration;

use super::template::CommandTemplate;
use crate::git::Git;

/// A tool that agents need: any one of the programs is good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredTool {
    /// What people call it.
    pub name: String,
    /// Programs, any of which is good.
    pub programs: Vec<String>,
}

impl RequiredTool {
    /// A tool whose program has its name.
    #[must_use]
    pub fn program(name: &str) -> Self {
        Self {
            name: name.into(),
            programs: vec![name.into()],
        }
    }

    /// What coding agents usually need: a C compiler, make, ripgrep, jq, curl, unzip, gh.
    #[must_use]
    pub fn of_coding_agents() -> Vec<Self> {
        let compiler = Self {
            name: "a C compiler (cc, gcc or clang)".into(),
            programs: ["cc", "gcc", "clang"].map(String::from).into(),
        };
        let others = ["make", "rg", "jq", "curl", "unzip", "gh"];
        std::iter::once(compiler)
            .chain(others.map(Self::program))
            .collect()
    }
}

/// How agents are run as processes. Made by [`ProcessSettings::new`] and changed field by field.
#[derive(Debug, Clone)]
pub struct ProcessSettings {
    /// Where mirrors, worktrees, logs and records are kept; used by one process at a time.
    pub dir: PathBuf,
    /// The program that is an agent, with its arguments.
    pub command: CommandTemplate,
    /// How git is run.
    pub git: Git,
    /// Tools that agents need; git always is one.
    pub tools: Vec<RequiredTool>,
    /// Names of the host's variables that agents inherit; no others are.
    pub inherited_variables: Vec<String>,
    /// How long a session that was asked to stop may take to wrap up.
    pub stop_wait: Duration,
    /// How long a session that was sent SIGTERM may take before it is killed.
    pub terminate_wait: Duration,
    /// How long a line for a session may take to be written to its pipe.
    pub deliver_wait: Duration,
}

/// What programs need to run at all, to find their tools and to reach the network.
const INHERITED_DEFAULT: [&str; 22] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "TZ",
    "TMPDIR",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
];

impl ProcessSettings {
    /// The settings for agents that are `command`, with everything kept below `dir`.
    #[must_use]
    pub fn new(dir: impl Into<PathBuf>, command: CommandTemplate) -> Self {
        Self {
            dir: dir.into(),
            command,
            git: Git::default(),
            tools: RequiredTool::of_coding_agents(),
            inherited_variables: INHERITED_DEFAULT.map(String::from).into(),
            stop_wait: Duration::from_secs(30),
            terminate_wait: Duration::from_secs(5),
            deliver_wait: Duration::from_secs(5),
        }
    }
}
