//! Rigs: git repositories that a town works on (spec 1.2).

use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::config::RigConfig;
use crate::ids::RigId;
use crate::time::Timestamp;

/// One git repository that the town works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rig {
    /// Its identifier.
    pub id: RigId,
    /// What people call it.
    pub name: String,
    /// Where it is fetched from.
    pub git_url: String,
    /// The branch that work goes to.
    pub default_branch: String,
    /// Its overrides of the town's settings.
    #[serde(default)]
    pub config: RigConfig,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Rig {
    /// `owner/name` of the repository that `git_url` names, in lower case, with its host; none
    /// where the URL is not of that form (a local path, say).
    #[must_use]
    pub fn repository(&self) -> Option<Repository> {
        Repository::of_git_url(&self.git_url)
    }

    /// Whether a pull request is in this rig's repository (invariant I14).
    pub(crate) fn has_pull_request(&self, url: &str) -> bool {
        let named = Repository::of_pr_url(url).map(|(repository, _)| repository);
        named.is_some() && named == self.repository()
    }
}

/// A repository on a forge; compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Repository {
    host: String,
    path: String,
}

impl Repository {
    /// `owner/name`, in lower case.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host, in lower case.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Reads `https://host/owner/name[.git]`, `ssh://git@host/owner/name[.git]` and
    /// `git@host:owner/name[.git]`.
    #[must_use]
    pub fn of_git_url(url: &str) -> Option<Self> {
        let rest = ["https://", "http://", "ssh://", "git://"]
            .iter()
            .find_map(|scheme| url.strip_prefix(scheme));
        let (authority, path) = match rest {
            Some(rest) => rest.split_once('/')?,
            None => url.split_once(':').filter(|(host, _)| host.contains('@'))?,
        };
        let host = authority.rsplit('@').next()?.split(':').next()?;
        let path = path.trim_end_matches('/');
        Self::new(host, path.strip_suffix(".git").unwrap_or(path))
    }

    /// Reads `https://host/owner/name/pull/number`, strictly: no user info, no port, nothing after
    /// the number (spec 4.1). Returns the repository and the number.
    #[must_use]
    pub fn of_pr_url(url: &str) -> Option<(Self, u64)> {
        let (host, path) = url.strip_prefix("https://")?.split_once('/')?;
        if host.contains(['@', ':']) {
            return None;
        }
        let (path, number) = path.trim_end_matches('/').rsplit_once("/pull/")?;
        if number.starts_with(['0', '+']) {
            return None;
        }
        Some((Self::new(host, path)?, number.parse().ok()?))
    }

    fn new(host: &str, path: &str) -> Option<Self> {
        let (owner, name) = path.split_once('/')?;
        let word = |text: &str| {
            !text.is_empty()
                && text
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        (word(host) && word(owner) && word(name)).then(|| Self {
            host: host.to_ascii_lowercase(),
            path: path.to_ascii_lowercase(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn git_urls_of_all_forms_name_one_repository() {
        let expected = Repository::of_git_url("https://github.com/acme/api").unwrap();
        for url in [
            "https://github.com/Acme/API.git",
            "https://user:secret@github.com/acme/api.git/",
            "git@github.com:acme/api.git",
            "ssh://git@github.com:22/acme/api",
        ] {
            assert_eq!(
                Repository::of_git_url(url).as_ref(),
                Some(&expected),
                "{url}"
            );
        }
        for url in [
            "/srv/git/api.git",
            "file:///srv/api.git",
            "https://github.com/acme",
            "",
        ] {
            assert_eq!(Repository::of_git_url(url), None, "{url}");
        }
    }

    #[test]
    fn pr_urls_are_read_strictly() {
        let (repository, number) =
            Repository::of_pr_url("https://github.com/Acme/api/pull/12").unwrap();
        assert_eq!((repository.path(), number), ("acme/api", 12));
        for url in [
            "http://github.com/acme/api/pull/1",
            "https://user@github.com/acme/api/pull/1",
            "https://github.com:444/acme/api/pull/1",
            "https://github.com/acme/api/pull/",
            "https://github.com/acme/api/pull/0",
            "https://github.com/acme/api/pull/1/files",
            "https://github.com/acme/api/pull/1?x",
            "https://github.com/acme/api/issues/1",
            "https://github.com/acme/pull/1",
            "https://github.com/a/b/c/pull/1",
        ] {
            assert_eq!(Repository::of_pr_url(url), None, "{url}");
        }
    }
}
