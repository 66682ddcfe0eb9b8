//! What a refusal means: the table of 405, 409 and 403, and the kinds of failure (facts 1.4, 2;
//! spec 4.3, 4.5). Pure.
//!
//! GitHub answers eight different situations with 405 and tells them apart by prose alone. The
//! status decides first, then the prose without regard to letter case; prose that is not known is
//! a class of its own and never guessed at.

use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};

use crate::error_body::ErrorBody;
use crate::observation::ForgeError;
use crate::rate_limit::header;

/// How a merge commit is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MergeMethod {
    /// One commit for all.
    Squash,
    /// A commit with two parents.
    Merge,
    /// Every commit anew on the base branch.
    Rebase,
}

impl MergeMethod {
    /// The order in which `auto` prefers them (spec 4.5).
    pub const AUTO: [Self; 3] = [Self::Squash, Self::Merge, Self::Rebase];

    /// GitHub's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Squash => "squash",
            Self::Merge => "merge",
            Self::Rebase => "rebase",
        }
    }
}

/// Why GitHub did not merge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeRefusal {
    /// 405: the base branch moved, or its mergeability is stale. It passes.
    BaseModified,
    /// 405: this method is off for the repository, or for the branch by a rule.
    MethodNotAllowed(MergeMethod),
    /// 405: a conflict, a closed pull request, or mergeability still being computed.
    NotMergeable,
    /// 405: a draft.
    Draft,
    /// 405: the merge queue already has it.
    AlreadyQueued,
    /// 405: the branch takes changes through its merge queue only.
    QueueRequired,
    /// 405: a required check never reported on this head.
    ChecksMissing,
    /// 405: an approval is missing.
    ReviewsMissing,
    /// 409: the head is not the one that was evaluated. The decision is void.
    HeadModified,
    /// 403: it is part of a stack, which only the asynchronous merge takes.
    Stacked,
    /// 403: the token may not merge.
    Permission,
    /// 422: the request itself is wrong.
    Unprocessable,
    /// Some other refusal; its words go to a person.
    Unknown,
}

/// Looks a refused merge up in the table. A 403 must have been found to be no rate limit before.
#[must_use]
pub fn merge_refusal(status: u16, message: &str) -> MergeRefusal {
    let message = message.to_ascii_lowercase();
    let says = |part: &str| message.contains(part);
    match status {
        405 if says("base branch was modified") => MergeRefusal::BaseModified,
        405 if says("merge commits are not allowed") => {
            MergeRefusal::MethodNotAllowed(MergeMethod::Merge)
        }
        405 if says("squash merges are not allowed") => {
            MergeRefusal::MethodNotAllowed(MergeMethod::Squash)
        }
        405 if says("rebase merges are not allowed") => {
            MergeRefusal::MethodNotAllowed(MergeMethod::Rebase)
        }
        405 if says("is in the merge queue") => MergeRefusal::AlreadyQueued,
        405 if says("changes must be made through the merge queue") => MergeRefusal::QueueRequired,
        405 if says("still a draft") => MergeRefusal::Draft,
        405 if says("required status check") => MergeRefusal::ChecksMissing,
        405 if says("approving review") => MergeRefusal::ReviewsMissing,
        405 if says("not mergeable") => MergeRefusal::NotMergeable,
        409 => MergeRefusal::HeadModified,
        403 if says("stacked pr") || says("part of a stack") => MergeRefusal::Stacked,
        403 => MergeRefusal::Permission,
        422 => MergeRefusal::Unprocessable,
        _ => MergeRefusal::Unknown,
    }
}

/// Whether an answer may be a rate limit at all.
#[must_use]
pub fn may_be_limit(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS
    )
}

/// Whether an answer speaks of a rate limit by its status, text or documentation address.
#[must_use]
pub fn speaks_of_limit(status: StatusCode, body: &ErrorBody) -> bool {
    let message = body.message.to_ascii_lowercase();
    let documented = body.documentation_url.to_ascii_lowercase();
    let by_text = ["rate limit", "abuse detection"]
        .iter()
        .any(|it| message.contains(it));
    let by_address = ["secondary-rate-limits", "#abuse-rate-limits"]
        .iter()
        .any(|it| documented.ends_with(it));
    status == StatusCode::TOO_MANY_REQUESTS
        || (status == StatusCode::FORBIDDEN && (by_text || by_address))
}

/// A branch-rules answer that means "this plan has no rules", not "you may not know".
#[must_use]
pub fn means_no_rules(status: StatusCode, body: &ErrorBody) -> bool {
    status == StatusCode::FORBIDDEN
        && body
            .message
            .to_ascii_lowercase()
            .contains("upgrade to github")
}

/// A failed answer as a value for the rules (spec 4.2). `limited_until` is what
/// [`crate::rate_limit`] found; a 403 is a missing permission only without it.
#[must_use]
pub fn forge_error(
    status: StatusCode,
    headers: &HeaderMap,
    body: &ErrorBody,
    limited_until: Option<DateTime<Utc>>,
) -> ForgeError {
    if let Some(until) = limited_until {
        return ForgeError::RateLimited { until };
    }
    match status.as_u16() {
        401 => ForgeError::Unauthorized,
        // Removed for legal reasons: as good as forbidden, and a person must act.
        403 | 451 => ForgeError::Forbidden {
            message: body.message_or(status.as_u16()),
            needs: needed_permission(headers),
        },
        // The caller finds out whether the repository can be read.
        404 | 410 => ForgeError::NotFound {
            repository_readable: false,
        },
        code @ 500..=599 => ForgeError::Server { status: code },
        code => ForgeError::InvalidResponse {
            why: format!("unexpected status {code}: {}", body.message_or(code)),
        },
    }
}

/// What would have made a refused request possible, where the forge names it.
pub(crate) fn needed_permission(headers: &HeaderMap) -> Option<String> {
    let named = |name| header(headers, name).filter(|it| !it.is_empty());
    if let Some(sso) = named("x-github-sso") {
        let kind = sso.split(';').next().unwrap_or_default();
        return Some(format!("single sign-on authorisation ({kind})"));
    }
    named("x-accepted-github-permissions").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn check(status: u16, message: &str, expected: MergeRefusal) {
        assert_eq!(
            merge_refusal(status, message),
            expected,
            "{status} {message}"
        );
        assert_eq!(
            merge_refusal(status, &message.to_uppercase()),
            expected,
            "{status} {message}"
        );
    }

    #[test]
    fn row_405_base_modified() {
        let text = "Base branch was modified. Review and try the merge again.";
        check(405, text, MergeRefusal::BaseModified);
    }

    #[test]
    fn row_405_method_not_allowed() {
        for (word, method) in [
            ("Merge commits", MergeMethod::Merge),
            ("Squash merges", MergeMethod::Squash),
            ("Rebase merges", MergeMethod::Rebase),
        ] {
            let text = format!("{word} are not allowed on this repository.");
            check(405, &text, MergeRefusal::MethodNotAllowed(method));
        }
    }

    #[test]
    fn row_405_not_mergeable() {
        check(
            405,
            "Pull Request is not mergeable",
            MergeRefusal::NotMergeable,
        );
    }

    #[test]
    fn row_405_draft() {
        check(405, "Pull Request is still a draft", MergeRefusal::Draft);
    }

    #[test]
    fn row_405_already_queued() {
        check(
            405,
            "Pull Request is in the merge queue",
            MergeRefusal::AlreadyQueued,
        );
    }

    #[test]
    fn row_405_queue_required() {
        let text = "Changes must be made through the merge queue";
        check(405, text, MergeRefusal::QueueRequired);
        let ruled = format!("Repository rule violations found\n\n{text}");
        check(405, &ruled, MergeRefusal::QueueRequired);
    }

    #[test]
    fn row_405_checks_missing() {
        check(
            405,
            "Required status check \"ci\" is expected.",
            MergeRefusal::ChecksMissing,
        );
        let ruled =
            "Repository rule violations found\n\n4 of 4 required status checks are expected.";
        check(405, ruled, MergeRefusal::ChecksMissing);
    }

    #[test]
    fn row_405_reviews_missing() {
        let text = "At least 1 approving review is required by reviewers with write access.";
        check(405, text, MergeRefusal::ReviewsMissing);
    }

    #[test]
    fn row_409_head_modified() {
        let text = "Head branch was modified. Review and try the merge again.";
        check(409, text, MergeRefusal::HeadModified);
        check(409, "", MergeRefusal::HeadModified);
    }

    #[test]
    fn row_403_stacked() {
        let text = "Merging stacked PRs via this endpoint is not supported. Use the asynchronous \
                    merge endpoint instead.";
        check(403, text, MergeRefusal::Stacked);
    }

    #[test]
    fn row_403_permission() {
        check(
            403,
            "Resource not accessible by integration",
            MergeRefusal::Permission,
        );
    }

    #[test]
    fn row_unknown_is_a_class_of_its_own() {
        check(405, "Something new", MergeRefusal::Unknown);
        check(405, "", MergeRefusal::Unknown);
        check(418, "Base branch was modified", MergeRefusal::Unknown);
        check(422, "Validation failed", MergeRefusal::Unprocessable);
    }

    fn body(message: &str, documentation_url: &str) -> ErrorBody {
        ErrorBody {
            message: message.to_owned(),
            documentation_url: documentation_url.to_owned(),
        }
    }

    #[test]
    fn limits_are_known_by_status_text_and_documentation() {
        let (forbidden, many) = (StatusCode::FORBIDDEN, StatusCode::TOO_MANY_REQUESTS);
        let docs = "https://docs.github.com/x/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits";
        for (status, body, expected) in [
            (many, body("", ""), true),
            (
                forbidden,
                body("You have exceeded a secondary rate limit.", ""),
                true,
            ),
            (
                forbidden,
                body("API rate limit exceeded for user ID 1.", ""),
                true,
            ),
            (
                forbidden,
                body("You have triggered an abuse detection mechanism", ""),
                true,
            ),
            (forbidden, body("", docs), true),
            (
                forbidden,
                body("", "https://developer.github.com/v3/#abuse-rate-limits"),
                true,
            ),
            (
                forbidden,
                body("Resource not accessible by integration", ""),
                false,
            ),
            (StatusCode::OK, body("rate limit", ""), false),
        ] {
            assert_eq!(
                speaks_of_limit(status, &body),
                expected,
                "{status} {body:?}"
            );
        }
    }

    #[test]
    fn failures_become_the_kinds_of_the_spec() {
        let mut headers = HeaderMap::new();
        let error = |status: u16, headers: &HeaderMap, until| {
            let status = StatusCode::from_u16(status).unwrap();
            forge_error(status, headers, &body("m", ""), until)
        };
        let until = DateTime::from_timestamp(1, 0).unwrap();
        assert_eq!(
            error(403, &headers, Some(until)),
            ForgeError::RateLimited { until }
        );
        assert_eq!(error(401, &headers, None), ForgeError::Unauthorized);
        assert_eq!(
            error(502, &headers, None),
            ForgeError::Server { status: 502 }
        );
        let unreadable = ForgeError::NotFound {
            repository_readable: false,
        };
        assert_eq!(error(404, &headers, None), unreadable);
        assert!(matches!(
            error(418, &headers, None),
            ForgeError::InvalidResponse { .. }
        ));
        let permissions = HeaderValue::from_static("contents=write");
        headers.insert("x-accepted-github-permissions", permissions);
        let forbidden = |needs: &str| ForgeError::Forbidden {
            message: "m".to_owned(),
            needs: Some(needs.to_owned()),
        };
        assert_eq!(error(403, &headers, None), forbidden("contents=write"));
        headers.insert(
            "x-github-sso",
            HeaderValue::from_static("required; url=https://x?t=s"),
        );
        let sso = forbidden("single sign-on authorisation (required)");
        assert_eq!(error(403, &headers, None), sso);
    }

    #[test]
    fn a_plan_without_rules_is_not_a_missing_permission() {
        let text = "Upgrade to GitHub Pro or make this repository public to enable this feature.";
        assert!(means_no_rules(StatusCode::FORBIDDEN, &body(text, "")));
        assert!(!means_no_rules(
            StatusCode::FORBIDDEN,
            &body("Resource not accessible", "")
        ));
    }
}
