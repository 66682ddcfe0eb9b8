//! A pull request as REST tells it (facts 1.1).

use super::{invalid, json};
use crate::json::Json;
use crate::observation::{ForgeError, Mergeable};
use crate::url::RepositoryName;

/// Open or closed; merged is told apart by other fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RestState {
    /// It can still be merged.
    Open,
    /// It is merged or was given up.
    Closed,
    /// A word that this version does not know.
    Other(String),
}

/// `mergeable_state`: a plain text without a list of values, so anything can come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeState {
    /// The base branch must be merged first.
    Behind,
    /// A rule is not met.
    Blocked,
    /// Nothing stands in the way.
    Clean,
    /// A conflict.
    Dirty,
    /// A draft.
    Draft,
    /// Mergeable, with hooks on the server.
    HasHooks,
    /// Not determined yet.
    Unknown,
    /// Mergeable, while something that is not required fails.
    Unstable,
    /// A word that this version does not know.
    Other(String),
}

/// The parts of a pull request that decisions need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// Its name in GraphQL.
    pub node_id: Option<String>,
    /// Open or closed.
    pub state: RestState,
    /// Whether it was merged, by whatever way.
    pub merged: bool,
    /// Whether its author calls it unfinished.
    pub draft: bool,
    /// The commit of the merge, or of the test merge; gone in API version 2026-03-10.
    pub merge_commit_sha: Option<String>,
    /// The newest commit.
    pub head_sha: String,
    /// The branch of that commit.
    pub head_branch: String,
    /// The repository of that branch; none if the fork was deleted.
    pub head_repository: Option<RepositoryName>,
    /// The branch that it asks to be merged into.
    pub base_branch: String,
    /// The repository of that branch, by its name of now.
    pub base_repository: Option<RepositoryName>,
    /// Whether it can be merged without conflict; none while that is being computed.
    pub mergeable: Option<bool>,
    /// The forge's summary.
    pub merge_state: MergeState,
    /// Whether it is part of a stack.
    pub stacked: bool,
}

impl PullRequest {
    /// Both fields together. Where they contradict each other, or one is not there, it is not
    /// known; a conflict is believed whoever says it.
    #[must_use]
    pub fn mergeability(&self) -> Mergeable {
        if matches!(self.state, RestState::Other(_)) {
            return Mergeable::Unknown;
        }
        match (self.mergeable, &self.merge_state) {
            (None, _) | (Some(_), MergeState::Unknown | MergeState::Other(_)) => Mergeable::Unknown,
            (Some(false), _) | (Some(true), MergeState::Dirty) => Mergeable::Dirty,
            // A draft that has no conflict: its own gate says the rest.
            (Some(true), MergeState::Draft | MergeState::Blocked) => Mergeable::Blocked,
            (Some(true), MergeState::Behind) => Mergeable::Behind,
            (Some(true), MergeState::Clean) => Mergeable::Clean,
            (Some(true), MergeState::HasHooks) => Mergeable::HasHooks,
            (Some(true), MergeState::Unstable) => Mergeable::Unstable,
        }
    }
}

/// Reads `GET …/pulls/{n}`, and the pull request inside of a webhook.
///
/// # Errors
/// [`ForgeError::InvalidResponse`] if it has no number, no head or no base. All else may miss.
pub fn pull_request(body: &[u8]) -> Result<PullRequest, ForgeError> {
    read(Json::of(&json(body, "pull request")?))
}

/// Reads a list of pull requests. Entries that are none are left out.
///
/// # Errors
/// [`ForgeError::InvalidResponse`] if it is no list.
pub fn pull_requests(body: &[u8]) -> Result<Vec<PullRequest>, ForgeError> {
    let value = json(body, "pull requests")?;
    let list = value
        .as_array()
        .ok_or_else(|| invalid("pull requests", "not a list"))?;
    Ok(list
        .iter()
        .filter_map(|it| read(Json::of(it)).ok())
        .collect())
}

fn read(json: Json<'_>) -> Result<PullRequest, ForgeError> {
    let need = |path: &[&str]| {
        let word = json.along(path).word().map(str::to_owned);
        word.ok_or_else(|| invalid("pull request", &format!("without {}", path.join("."))))
    };
    let number = json.at("number").natural();
    Ok(PullRequest {
        number: number.ok_or_else(|| invalid("pull request", "without number"))?,
        node_id: json.at("node_id").word().map(str::to_owned),
        state: state(json.at("state").text()),
        merged: json.at("merged").flag().unwrap_or(false) || json.at("merged_at").is_there(),
        draft: json.at("draft").flag().unwrap_or(false),
        merge_commit_sha: json.at("merge_commit_sha").word().map(str::to_owned),
        head_sha: need(&["head", "sha"])?,
        head_branch: need(&["head", "ref"])?,
        head_repository: name(json.along(&["head", "repo", "full_name"])),
        base_branch: need(&["base", "ref"])?,
        base_repository: name(json.along(&["base", "repo", "full_name"])),
        mergeable: json.at("mergeable").flag(),
        merge_state: merge_state(json.at("mergeable_state").text()),
        stacked: json.at("stack").is_there(),
    })
}

fn name(json: Json<'_>) -> Option<RepositoryName> {
    RepositoryName::parse(json.text()?).ok()
}

fn state(word: Option<&str>) -> RestState {
    match word {
        Some("open") => RestState::Open,
        Some("closed") => RestState::Closed,
        Some(word) => RestState::Other(word.to_owned()),
        None => RestState::Other(String::new()),
    }
}

fn merge_state(word: Option<&str>) -> MergeState {
    match word {
        Some("behind") => MergeState::Behind,
        Some("blocked") => MergeState::Blocked,
        Some("clean") => MergeState::Clean,
        Some("dirty") => MergeState::Dirty,
        Some("draft") => MergeState::Draft,
        Some("has_hooks") => MergeState::HasHooks,
        Some("unstable") => MergeState::Unstable,
        Some("unknown") | None => MergeState::Unknown,
        Some(word) => MergeState::Other(word.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn body(mergeable: Value, state: &str) -> Vec<u8> {
        let side = json!({"sha": "abc", "ref": "b", "repo": {"full_name": "o/r"}});
        json!({"number": 7, "state": "open", "head": side, "base": side,
               "mergeable": mergeable, "mergeable_state": state})
        .to_string()
        .into_bytes()
    }

    fn mergeability(mergeable: Value, state: &str) -> Mergeable {
        pull_request(&body(mergeable, state))
            .unwrap()
            .mergeability()
    }

    #[test]
    fn every_word_of_mergeability_has_its_meaning() {
        for (state, expected) in [
            ("behind", Mergeable::Behind),
            ("blocked", Mergeable::Blocked),
            ("clean", Mergeable::Clean),
            ("dirty", Mergeable::Dirty),
            ("has_hooks", Mergeable::HasHooks),
            ("unknown", Mergeable::Unknown),
            ("unstable", Mergeable::Unstable),
            ("invented", Mergeable::Unknown),
        ] {
            assert_eq!(mergeability(json!(true), state), expected, "{state}");
        }
        assert_eq!(mergeability(json!(false), "blocked"), Mergeable::Dirty);
    }

    #[test]
    fn trap_08_mergeable_null_is_unknown_whatever_the_summary_says() {
        for state in ["clean", "unknown", "dirty", "blocked"] {
            assert_eq!(
                mergeability(json!(null), state),
                Mergeable::Unknown,
                "{state}"
            );
        }
        assert_eq!(mergeability(json!(false), "unknown"), Mergeable::Unknown);
    }

    #[test]
    fn trap_24_a_draft_that_is_mergeable_is_not_clean() {
        assert_eq!(mergeability(json!(true), "draft"), Mergeable::Blocked);
    }

    #[test]
    fn trap_11_a_deleted_fork_does_not_lose_the_pull_request() {
        let body = json!({"number": 7, "state": "open", "head": {"sha": "a", "ref": "b", "repo": null},
                          "base": {"ref": "main", "repo": {"full_name": "o/r"}}});
        let found = pull_request(body.to_string().as_bytes()).unwrap();
        assert_eq!(found.head_repository, None);
        assert_eq!(
            found.base_repository,
            Some(RepositoryName::parse("o/r").unwrap())
        );
    }

    #[test]
    fn what_is_needed_is_named_when_it_misses() {
        let error = pull_request(br#"{"number": 7, "head": {"ref": "x"}}"#).unwrap_err();
        let why = "pull request: without head.sha".to_owned();
        assert_eq!(error, ForgeError::InvalidResponse { why });
        assert!(pull_request(b"").is_err());
    }

    #[test]
    fn a_list_tells_merged_by_the_time_alone() {
        let side = json!({"sha": "abc", "ref": "b"});
        let list = json!([{"number": 7, "state": "closed", "head": side, "base": side,
                           "merged_at": "2020-01-01T00:00:00Z"}, {"number": "no"}]);
        let found = pull_requests(list.to_string().as_bytes()).unwrap();
        assert_eq!((found.len(), found[0].merged), (1, true));
    }
}
