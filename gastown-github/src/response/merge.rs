//! What a merge was answered with (facts 1.4, 1.5).

use serde_json::Value;

use crate::json::Json;

/// A 200 of the direct merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MergeAnswer {
    /// It says merged.
    Merged {
        /// The commit, if it tells.
        sha: Option<String>,
    },
    /// It does not say so, or says nothing that can be read: look before believing anything.
    Unclear,
}

/// Reads the body of a 200 of `PUT …/pulls/{n}/merge`.
#[must_use]
pub fn merge_answer(body: &[u8]) -> MergeAnswer {
    let Ok(value) = serde_json::from_slice::<Value>(body) else {
        return MergeAnswer::Unclear;
    };
    let json = Json::of(&value);
    if json.at("merged").flag() == Some(true) {
        MergeAnswer::Merged {
            sha: json.at("sha").word().map(str::to_owned),
        }
    } else {
        MergeAnswer::Unclear
    }
}

/// Where an asynchronous merge stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsyncMergeStatus {
    /// It was accepted; nothing was evaluated yet.
    Pending,
    /// It is done.
    Merged,
    /// The merge queue has it.
    Enqueued,
    /// It failed.
    Failed,
    /// A word that this version does not know.
    Other,
}

/// An answer of the asynchronous merge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AsyncMerge {
    /// Where it stands.
    pub status: AsyncMergeStatus,
    /// The commit, once there is one.
    pub sha: Option<String>,
}

/// Reads a 200 or 202 of `PUT …/pulls/{n}/merge-async`.
#[must_use]
pub fn async_merge(body: &[u8]) -> AsyncMerge {
    let value = serde_json::from_slice::<Value>(body).unwrap_or(Value::Null);
    let json = Json::of(&value);
    let status = match json.at("status").text() {
        Some("pending") => AsyncMergeStatus::Pending,
        Some("merged") => AsyncMergeStatus::Merged,
        Some("enqueued") => AsyncMergeStatus::Enqueued,
        Some("failed") => AsyncMergeStatus::Failed,
        Some(_) | None => AsyncMergeStatus::Other,
    };
    AsyncMerge {
        status,
        sha: json.along(&["details", "sha"]).word().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_a_merge() {
        let yes = merge_answer(br#"{"sha": "abc", "merged": true, "message": "done"}"#);
        assert_eq!(
            yes,
            MergeAnswer::Merged {
                sha: Some("abc".to_owned())
            }
        );
        for body in ["", "{}", "[]", r#"{"sha": "abc"}"#, r#"{"merged": false}"#] {
            assert_eq!(
                merge_answer(body.as_bytes()),
                MergeAnswer::Unclear,
                "{body}"
            );
        }
    }

    #[test]
    fn asynchronous_answers_are_read() {
        let read = |text: &str| async_merge(text.as_bytes());
        let merged = read(r#"{"status": "merged", "details": {"sha": "abc"}}"#);
        assert_eq!(
            (merged.status, merged.sha.as_deref()),
            (AsyncMergeStatus::Merged, Some("abc"))
        );
        assert_eq!(
            read(r#"{"status": "enqueued"}"#).status,
            AsyncMergeStatus::Enqueued
        );
        assert_eq!(read(r#"{"status": "new"}"#).status, AsyncMergeStatus::Other);
        assert_eq!(read("").status, AsyncMergeStatus::Other);
    }
}
