//! The merge certificate: why a merge is allowed, carried by it and stored (spec 4.4; invariant
//! I19).

use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use crate::bead::Bead;
use crate::config::{AutoMergeDelay, Settings};
use crate::digest::hex16;
use crate::green::{APPROVED_EARLIER, Green, NO_CHECKS};
use crate::policy::Policy;
use crate::review::{Certificate, CertifiedCondition};
use crate::time::Timestamp;
use crate::town::Town;

/// Certifies that `green` holds for the head last seen of a review; none when anything is missing.
pub(crate) fn certify(
    town: &Town,
    mr: &Bead,
    settings: &Settings,
    green: &Green,
    now: Timestamp,
) -> Option<Certificate> {
    let review = mr.review()?;
    let seen = review.observation.as_ref()?;
    let rig = town.rig_of_review(mr)?;
    let AutoMergeDelay::After(delay) = settings.auto_merge_delay else {
        return None;
    };
    let head_sha = &seen.observation.head_sha;
    let same_head = review.auto_merge.head_sha.as_ref() == Some(head_sha);
    if !green.holds() || !same_head {
        return None;
    }
    let conditions = green.conditions.iter().map(|condition| CertifiedCondition {
        name: condition.name.to_string(),
        value: condition.value.clone().into_owned(),
        head_sha: head_sha.clone(),
        // What the town itself knows is true at this moment.
        observed_at: condition.observed_at.unwrap_or(now),
    });
    Some(Certificate {
        head_sha: head_sha.clone(),
        base_branch: seen.observation.base_branch.clone(),
        rig_id: rig.id.clone(),
        repository: rig.repository()?.path().to_string(),
        method: settings.merge_method,
        delay: delay.as_secs(),
        ready_since: review.auto_merge.ready_since?,
        reviewed: review
            .reviewed
            .as_ref()
            .filter(|_| settings.code_review)
            .and_then(|reviewed| reviewed.head_sha.clone()),
        conditions: conditions.collect(),
        config_hash: config_hash(settings),
    })
}

/// The age beyond which a condition of a certificate no longer counts.
pub(crate) fn age_max(policy: &Policy) -> core::time::Duration {
    policy.pr_poll_interval.saturating_mul(2)
}

impl Certificate {
    /// Whether every condition of *green* is in it, that of the code review where `settings` ask for
    /// one, of its head, and young enough (spec 4.4).
    #[must_use]
    pub fn is_valid(&self, settings: &Settings, policy: &Policy, now: Timestamp) -> bool {
        let has = |name: &str| self.conditions.iter().any(|it| it.name == name);
        REQUIRED.into_iter().all(has)
            && (!settings.code_review || has(REVIEWED))
            && self.conditions.iter().all(|condition| {
                condition.head_sha == self.head_sha
                    && condition.observed_at <= now
                    && now.since(condition.observed_at) <= age_max(policy)
            })
    }

    /// Whether it was made without any check: a merge may then find none either (spec 4.5).
    #[must_use]
    pub fn allows_no_checks(&self) -> bool {
        self.says("checks", NO_CHECKS)
    }

    /// Whether it rests on an approval of an older head, which the settings let count.
    #[must_use]
    pub fn allows_earlier_approval(&self) -> bool {
        self.says("decision", APPROVED_EARLIER)
    }

    /// Whether `settings` still let count what it lets pass.
    pub(crate) fn is_allowed_by(&self, settings: &Settings) -> bool {
        !(settings.require_checks && self.allows_no_checks()
            || settings.require_fresh_approval && self.allows_earlier_approval())
    }

    fn says(&self, name: &str, value: &str) -> bool {
        let mut conditions = self.conditions.iter();
        conditions.any(|condition| condition.name == name && condition.value == value)
    }
}

/// One more condition where code review is on.
const REVIEWED: &str = "reviewed";

/// The conditions without which there is no certificate, but for [`REVIEWED`]. A test compares them with those that are evaluated.
const REQUIRED: [&str; 18] = [
    "head",
    "open",
    "not_draft",
    "identity",
    "merge_queue",
    "threads",
    "checks",
    "decision",
    "mergeable",
    "rig",
    "pull_request",
    "unblocked",
    "not_held",
    "source",
    "newest",
    "auto_merge",
    "delay",
    "not_off",
];

/// A digest of the settings that a merge was judged by: same settings, same digest, for ever.
pub(crate) fn config_hash(settings: &Settings) -> alloc::string::String {
    let Settings {
        merge_strategy,
        code_review,
        review_mode,
        auto_merge,
        auto_merge_delay,
        review_every_head,
        require_fresh_approval,
        require_checks,
        auto_resolve_pr_feedback,
        auto_resolve_merge_conflicts,
        merge_method,
        gates,
        require_clean_merge,
        convoy_merge_mode,
        max_polecats_per_rig,
        max_dispatch_attempts,
    } = settings;
    let parts: Vec<alloc::string::String> = Vec::from([
        format!("merge_strategy={merge_strategy:?}"),
        format!("code_review={code_review}"),
        format!("review_mode={review_mode:?}"),
        format!("auto_merge={auto_merge}"),
        format!("auto_merge_delay={auto_merge_delay:?}"),
        format!("review_every_head={review_every_head}"),
        format!("require_fresh_approval={require_fresh_approval}"),
        format!("require_checks={require_checks}"),
        format!("auto_resolve_pr_feedback={auto_resolve_pr_feedback}"),
        format!("auto_resolve_merge_conflicts={auto_resolve_merge_conflicts}"),
        format!("merge_method={merge_method:?}"),
        format!("gates={gates:?}"),
        format!("require_clean_merge={require_clean_merge}"),
        format!("convoy_merge_mode={convoy_merge_mode:?}"),
        format!("max_polecats_per_rig={max_polecats_per_rig:?}"),
        format!("max_dispatch_attempts={max_dispatch_attempts}"),
    ]);
    hex16(&parts.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::green::green;
    use crate::testing::{GREEN, at, town};

    fn settings() -> crate::config::Settings {
        let town = town(GREEN);
        let mr = town.bead(&"m1".parse().unwrap()).unwrap();
        town.settings_of_review(mr)
    }

    fn certificate() -> Certificate {
        let town = town(GREEN);
        let mr = town.bead(&"m1".parse().unwrap()).unwrap();
        let settings = town.settings_of_review(mr);
        let green = green(&town, mr, &settings).unwrap();
        certify(&town, mr, &settings, &green, at("0s")).unwrap()
    }

    #[test]
    fn a_certificate_holds_every_condition() {
        let certificate = certificate();
        let names: Vec<&str> = certificate
            .conditions
            .iter()
            .map(|condition| condition.name.as_str())
            .collect();
        let mut expected = Vec::from(REQUIRED);
        expected.push(REVIEWED);
        assert_eq!(names, expected);
    }

    #[test]
    fn a_certificate_is_valid_for_two_poll_intervals_of_its_oldest_condition() {
        let (certificate, policy) = (certificate(), Policy::default());
        // The observation of the town was taken note of ten seconds ago.
        assert!(certificate.is_valid(&settings(), &policy, at("110s")));
        assert!(!certificate.is_valid(&settings(), &policy, at("110001ms")));
    }

    #[test]
    fn a_certificate_of_less_or_of_another_head_is_not_valid() {
        let policy = Policy::default();
        for name in REQUIRED.into_iter().chain([REVIEWED]) {
            let mut less = certificate();
            less.conditions.retain(|condition| condition.name != name);
            assert!(!less.is_valid(&settings(), &policy, at("0s")), "{name}");
        }
        let mut other = certificate();
        other.head_sha = "h2".into();
        assert!(!other.is_valid(&settings(), &policy, at("0s")));
    }

    #[test]
    fn a_certificate_says_what_a_merge_may_find() {
        let whole = certificate();
        assert!(!whole.allows_no_checks() && !whole.allows_earlier_approval());
        let changed = |from: &str, to: &str| {
            let town = town(&GREEN.replace(from, to));
            let mr = town.bead(&"m1".parse().unwrap()).unwrap();
            let mut settings = town.settings_of_review(mr);
            settings.require_fresh_approval = false;
            let green = green(&town, mr, &settings).unwrap();
            certify(&town, mr, &settings, &green, at("0s")).unwrap()
        };
        let without = changed(r#""state":"passing""#, r#""state":"none""#);
        assert!(without.allows_no_checks());
        let earlier = changed(r#""decision_head":"h1""#, r#""decision_head":"h0""#);
        assert!(earlier.allows_earlier_approval());
    }

    #[test]
    fn digests_tell_settings_apart_and_never_change() {
        let town = town(GREEN);
        let mr = town.bead(&"m1".parse().unwrap()).unwrap();
        let mut settings = town.settings_of_review(mr);
        insta::assert_snapshot!(config_hash(&settings), @"838cf78780f39791");
        let before = config_hash(&settings);
        settings.require_checks = true;
        assert_ne!(config_hash(&settings), before);
    }
}
