//! The environment of an agent (spec 6.3, 6.5).

use std::collections::BTreeMap;
use std::path::Path;

use gastown_core::{Secret, StartRequest};

use crate::git::GitAccess;

/// Who pays; removed when the town has no organization (spec 6.5).
pub(crate) const ORGANIZATION: &str = "GASTOWN_ORGANIZATION_ID";
/// The variables by which the processes of a session are found again.
pub(crate) const DIRECTORY: &str = "GASTOWN_RUNTIME_DIR";
pub(crate) const TOWN: &str = "GASTOWN_TOWN_ID";
pub(crate) const AGENT: &str = "GASTOWN_AGENT_ID";
pub(crate) const SESSION: &str = "GASTOWN_SESSION";
/// Names that begin so are the runtime's; configuration can't set them.
const OWN_PREFIX: &str = "GASTOWN_";

/// What an agent's environment is made of.
pub(crate) struct Sources<'a> {
    /// The host's variables that may be inherited.
    pub(crate) inherited: BTreeMap<String, String>,
    /// The session to start; its `env_vars` are the configured ones.
    pub(crate) request: &'a StartRequest,
    /// Secrets of the session.
    pub(crate) secrets: &'a BTreeMap<String, Secret>,
    /// Access to the rig's repository.
    pub(crate) access: &'a GitAccess,
    /// The runtime's directory.
    pub(crate) dir: &'a Path,
}

/// The whole environment; nothing else of the host's is passed on. Later sources win: inherited,
/// defaults, configured, secrets, the runtime's own.
pub(crate) fn build(sources: &Sources<'_>) -> BTreeMap<String, String> {
    let request = sources.request;
    let mut environment = sources.inherited.clone();
    // Agents commit; a fresh machine has nobody's name for that.
    let mail = format!("{}@agents.gastown.invalid", request.session.agent_id);
    for (variable, value) in [
        ("GIT_AUTHOR_NAME", &request.name),
        ("GIT_AUTHOR_EMAIL", &mail),
        ("GIT_COMMITTER_NAME", &request.name),
        ("GIT_COMMITTER_EMAIL", &mail),
    ] {
        environment.insert(variable.into(), value.clone());
    }
    // Nobody is there to answer a prompt.
    environment.insert("GIT_TERMINAL_PROMPT".into(), "0".into());
    environment.extend(sources.access.environment());
    environment.extend(request.env_vars.clone());
    let secrets = sources.secrets.iter();
    environment.extend(
        secrets.filter_map(|(name, secret)| Some((name.clone(), secret.expose()?.to_owned()))),
    );
    // What the organization is comes from the request alone: a variable that stayed behind would
    // bill the wrong one.
    environment.retain(|name, value| {
        usable(name, value) && (!name.starts_with(OWN_PREFIX) || name == "GASTOWN_GIT_TOKEN")
    });
    environment.extend(own(sources));
    environment
}

fn own(sources: &Sources<'_>) -> BTreeMap<String, String> {
    let request = sources.request;
    let session = &request.session;
    let mut own: BTreeMap<String, String> = [
        (DIRECTORY, sources.dir.display().to_string()),
        (TOWN, session.town_id.to_string()),
        (AGENT, session.agent_id.to_string()),
        (SESSION, session.session.to_string()),
        ("GASTOWN_AGENT_NAME", request.name.clone()),
        ("GASTOWN_ROLE", request.role.as_str().into()),
        ("GASTOWN_RIG_ID", request.rig_id.to_string()),
        ("GASTOWN_BEAD_ID", request.bead_id.to_string()),
        ("GASTOWN_BRANCH", request.branch.clone()),
        ("GASTOWN_TARGET_BRANCH", request.target_branch.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(model) = &request.model {
        own.insert("GASTOWN_MODEL".into(), model.clone());
    }
    if let Some(organization) = &request.organization_id {
        own.insert(ORGANIZATION.into(), organization.clone());
    }
    own.retain(|name, value| usable(name, value));
    own
}

/// Whether the system takes it: what it does not would fail the whole start.
fn usable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start_request;

    fn built(change: impl FnOnce(&mut StartRequest)) -> BTreeMap<String, String> {
        let mut request = start_request("t1", "a1", 3);
        change(&mut request);
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        build(&Sources {
            inherited: [
                text("PATH", "/bin"),
                text(ORGANIZATION, "the host's own"),
                text("A", "inherited"),
            ]
            .into(),
            request: &request,
            secrets: &[("TOKEN".to_owned(), Secret::new("secret-token"))].into(),
            access: &GitAccess::none(),
            dir: Path::new("/d"),
        })
    }

    #[test]
    fn the_organization_is_the_requests_or_nobodys() {
        let with = built(|request| request.organization_id = Some("org-7".into()));
        assert_eq!(with[ORGANIZATION], "org-7");
        // A town that left its organization must not bill it, wherever the old value lingers.
        let without = built(|request| {
            request.organization_id = None;
            request.env_vars.insert(ORGANIZATION.into(), "org-7".into());
        });
        assert_eq!(without.get(ORGANIZATION), None);
    }

    /// Spec 6.5: the field of the request, then the environment, then configuration. Town and
    /// request are one here, so the field is the last word, and environments that say something
    /// else are corrected.
    #[test]
    fn the_requests_organization_wins_over_environment_and_configuration() {
        for lingers in ["env_vars", "secrets", "inherited"] {
            for organization in [Some("org-7"), None] {
                let mut request = start_request("t1", "a1", 3);
                request.organization_id = organization.map(String::from);
                request.model = Some("large".into());
                let other = (ORGANIZATION.to_owned(), "org-of-others".to_owned());
                let (mut inherited, mut secrets) = (BTreeMap::new(), BTreeMap::new());
                match lingers {
                    "env_vars" => request.env_vars.extend([other]),
                    "inherited" => inherited.extend([other]),
                    _ => secrets.extend([(other.0, Secret::new(other.1))]),
                }
                let built = build(&Sources {
                    inherited,
                    request: &request,
                    secrets: &secrets,
                    access: &GitAccess::none(),
                    dir: Path::new("/d"),
                });
                let found = built.get(ORGANIZATION).map(String::as_str);
                assert_eq!(found, organization, "{lingers}");
            }
        }
    }

    #[test]
    fn configuration_wins_over_the_host_and_never_over_the_runtime() {
        let environment = built(|request| {
            let configured = [
                ("A", "configured"),
                ("GIT_AUTHOR_NAME", "Team"),
                ("TOKEN", "configured"),
                (SESSION, "99"),
                ("BAD=NAME", "x"),
                ("NUL", "a\0b"),
            ];
            request.env_vars = configured
                .map(|(name, value)| (name.into(), value.into()))
                .into();
        });
        let expected = [
            ("PATH", "/bin"),
            ("A", "configured"),
            ("GIT_AUTHOR_NAME", "Team"),
            ("GIT_COMMITTER_NAME", "Ash"),
            ("TOKEN", "secret-token"),
            (SESSION, "3"),
            ("GASTOWN_ROLE", "polecat"),
            (DIRECTORY, "/d"),
        ];
        for (name, value) in expected {
            assert_eq!(environment[name], value, "{name}");
        }
        assert_eq!(environment.get("BAD=NAME"), None);
        assert_eq!(environment.get("NUL"), None);
    }
}
