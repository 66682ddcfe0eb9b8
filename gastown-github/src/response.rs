//! What REST answers mean: one pure, permissive function per endpoint (facts 1).
//!
//! Unknown words become `Other` or "unknown", optional parts stay optional. A decode fails only
//! if the one thing that was asked for is missing.

mod merge;
mod pull_request;
mod rules;

use bytes::Bytes;
use http::Response;
use serde_json::Value;

pub use self::merge::{AsyncMerge, AsyncMergeStatus, MergeAnswer, async_merge, merge_answer};
pub use self::pull_request::{MergeState, PullRequest, RestState, pull_request, pull_requests};
pub use self::rules::{
    BranchProtection, BranchRules, RequiredCheck, branch_protection, branch_rules,
};
use crate::json::Json;
use crate::observation::ForgeError;

/// The repository itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repository {
    /// Its number, which stays when it is renamed.
    pub id: Option<u64>,
    /// `owner/name` as of now.
    pub full_name: Option<String>,
    /// Squash merges are on. Absent without the right to see it, which is not "off".
    pub allow_squash_merge: Option<bool>,
    /// Merge commits are on; absent as above.
    pub allow_merge_commit: Option<bool>,
    /// Rebase merges are on; absent as above.
    pub allow_rebase_merge: Option<bool>,
    /// Nothing can be merged.
    pub archived: Option<bool>,
}

/// Reads `GET /repos/{o}/{r}`.
///
/// # Errors
/// [`ForgeError::InvalidResponse`] if it is no JSON object.
pub fn repository(body: &[u8]) -> Result<Repository, ForgeError> {
    let value = object(body, "repository")?;
    let json = Json::of(&value);
    Ok(Repository {
        id: json.at("id").natural(),
        full_name: json.at("full_name").word().map(str::to_owned),
        allow_squash_merge: json.at("allow_squash_merge").flag(),
        allow_merge_commit: json.at("allow_merge_commit").flag(),
        allow_rebase_merge: json.at("allow_rebase_merge").flag(),
        archived: json.at("archived").flag(),
    })
}

/// Reads `GET …/git/ref/heads/{b}`: the commit of exactly that branch. The old plural form of
/// the address answers a list of branches that merely begin like it; none of those is it.
///
/// # Errors
/// [`ForgeError::InvalidResponse`] if it is neither.
pub fn branch_ref(body: &[u8], branch: &str) -> Result<Option<String>, ForgeError> {
    let value = json(body, "branch")?;
    if value.is_array() {
        return Ok(None);
    }
    let json = Json::of(&value);
    let exact = json.at("ref").text() == Some(&format!("refs/heads/{branch}"));
    match json.along(&["object", "sha"]).word() {
        Some(sha) => Ok(exact.then(|| sha.to_owned())),
        None => Err(invalid("branch", "without a commit")),
    }
}

/// How two commits relate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// They are one commit.
    Identical,
    /// The second has all of the first, and more.
    Ahead,
    /// The first has all of the second, and more.
    Behind,
    /// Each has something that the other has not.
    Diverged,
    /// A word that this version does not know.
    Other,
}

/// Two commits compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Comparison {
    /// How the second relates to the first.
    pub relation: Relation,
    /// Their newest common ancestor.
    pub merge_base: Option<String>,
}

/// Reads `GET …/compare/{base}...{head}`.
///
/// # Errors
/// [`ForgeError::InvalidResponse`] if it is no JSON object.
pub fn comparison(body: &[u8]) -> Result<Comparison, ForgeError> {
    let value = object(body, "comparison")?;
    let json = Json::of(&value);
    let relation = match json.at("status").text() {
        Some("identical") => Relation::Identical,
        Some("ahead") => Relation::Ahead,
        Some("behind") => Relation::Behind,
        Some("diverged") => Relation::Diverged,
        Some(_) | None => Relation::Other,
    };
    let merge_base = json
        .along(&["merge_base_commit", "sha"])
        .word()
        .map(str::to_owned);
    Ok(Comparison {
        relation,
        merge_base,
    })
}

/// Reads `POST …/issues/{n}/comments`: where the comment stands.
#[must_use]
pub fn comment_url(answer: &Response<Bytes>) -> Option<String> {
    let value: Value = serde_json::from_slice(answer.body()).ok()?;
    Json::of(&value).at("html_url").word().map(str::to_owned)
}

fn json(body: &[u8], what: &str) -> Result<Value, ForgeError> {
    serde_json::from_slice(body).map_err(|it| invalid(what, &it.to_string()))
}

fn object(body: &[u8], what: &str) -> Result<Value, ForgeError> {
    let value = json(body, what)?;
    if value.is_object() {
        Ok(value)
    } else {
        Err(invalid(what, "not an object"))
    }
}

fn invalid(what: &str, why: &str) -> ForgeError {
    ForgeError::InvalidResponse {
        why: format!("{what}: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_that_are_not_shown_are_not_off() {
        let found = repository(br#"{"id": 7, "allow_squash_merge": false}"#).unwrap();
        assert_eq!(found.allow_squash_merge, Some(false));
        assert_eq!(
            (found.allow_merge_commit, found.allow_rebase_merge),
            (None, None)
        );
        assert!(repository(b"[]").is_err() && repository(b"<html>").is_err());
    }

    #[test]
    fn a_branch_is_exact_or_none() {
        let one = br#"{"ref": "refs/heads/gh", "object": {"sha": "abc"}}"#;
        assert_eq!(branch_ref(one, "gh").unwrap().as_deref(), Some("abc"));
        assert_eq!(branch_ref(one, "g").unwrap(), None);
        let prefixes = br#"[{"ref": "refs/heads/gh-pages", "object": {"sha": "abc"}}]"#;
        assert_eq!(branch_ref(prefixes, "gh").unwrap(), None);
        assert!(branch_ref(b"{}", "gh").is_err());
    }

    #[test]
    fn comparisons_are_read() {
        let text = br#"{"status": "behind", "merge_base_commit": {"sha": "abc"}}"#;
        let expected = Comparison {
            relation: Relation::Behind,
            merge_base: Some("abc".to_owned()),
        };
        assert_eq!(comparison(text).unwrap(), expected);
        assert_eq!(
            comparison(br#"{"status": "new"}"#).unwrap().relation,
            Relation::Other
        );
    }
}
