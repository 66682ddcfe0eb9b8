//! What the reviewers decided (spec 4.2 `decision`; traps 13, 31). Pure.

use crate::graphql::{Review, ReviewWord};
use crate::observation::Decision;

/// What is known about reviews.
pub(crate) struct Reviews<'a> {
    /// The newest commit of the branch.
    pub(crate) head: &'a str,
    /// The forge's summary; none if it could not be read, an inner none if no review is needed.
    pub(crate) summary: Option<Option<Decision>>,
    /// The latest opinion of each writer.
    pub(crate) latest: &'a [Review],
    /// Whether all of them were seen.
    pub(crate) complete: bool,
    /// How many approvals the rules ask for, as far as they could be read.
    pub(crate) required_approvals: u64,
}

/// The decision, and the head that the deciding approval saw.
///
/// A request for changes counts whatever the summary says, because without a rule about reviews
/// the summary says nothing. What could not be read is never an approval.
pub(crate) fn decide(reviews: &Reviews<'_>) -> (Option<Decision>, Option<String>) {
    let word = |word| reviews.latest.iter().filter(move |it| it.word == word);
    let asked = word(ReviewWord::ChangesRequested).next().is_some();
    if asked || reviews.summary == Some(Some(Decision::ChangesRequested)) {
        return (Some(Decision::ChangesRequested), None);
    }
    let unread = !reviews.complete || word(ReviewWord::Other).next().is_some();
    let Some(summary) = reviews.summary.filter(|_| !unread) else {
        return (Some(Decision::ReviewRequired), None);
    };
    match summary {
        Some(Decision::Approved) => (Some(Decision::Approved), approved_head(reviews)),
        Some(decision) => (Some(decision), None),
        // The rules ask for approvals and the summary does not speak of them: count.
        None if reviews.required_approvals > 0 => {
            if count(word(ReviewWord::Approved)) >= reviews.required_approvals {
                (Some(Decision::Approved), approved_head(reviews))
            } else {
                (Some(Decision::ReviewRequired), None)
            }
        }
        None => (None, None),
    }
}

/// The newest head if as many approvals as are needed saw it; else what the last of the others
/// saw, since without those it would not be approved (trap 13).
fn approved_head(reviews: &Reviews<'_>) -> Option<String> {
    let approvals = reviews.latest.iter();
    let approvals = approvals.filter(|it| it.word == ReviewWord::Approved);
    let (fresh, stale): (Vec<&Review>, Vec<&Review>) =
        approvals.partition(|it| it.head.as_deref() == Some(reviews.head));
    if count(fresh.iter()) >= reviews.required_approvals.max(1) {
        return Some(reviews.head.to_owned());
    }
    let last = stale.into_iter().max_by_key(|it| it.at);
    last.and_then(|it| it.head.clone())
}

fn count<T>(reviews: impl Iterator<Item = T>) -> u64 {
    u64::try_from(reviews.count()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;

    fn review(word: ReviewWord, second: i64, head: &str) -> Review {
        Review {
            word,
            at: DateTime::from_timestamp(second, 0),
            head: Some(head.to_owned()),
        }
    }

    fn decided(summary: Option<Option<Decision>>, latest: &[Review]) -> Option<Decision> {
        decide(&Reviews {
            head: "a",
            summary,
            latest,
            complete: true,
            required_approvals: 0,
        })
        .0
    }

    #[test]
    fn trap_31_null_means_that_no_review_is_required() {
        assert_eq!(decided(Some(None), &[]), None);
        assert_eq!(
            decided(Some(None), &[review(ReviewWord::Approved, 1, "a")]),
            None
        );
    }

    #[test]
    fn trap_31_a_writer_who_asks_for_changes_counts_whatever_the_summary_says() {
        let asks = [review(ReviewWord::ChangesRequested, 1, "a")];
        for summary in [None, Some(None), Some(Some(Decision::Approved))] {
            assert_eq!(decided(summary, &asks), Some(Decision::ChangesRequested));
        }
    }

    fn approved_at(required_approvals: u64, approvals: &[Review]) -> Option<String> {
        let (decision, head) = decide(&Reviews {
            head: "new",
            summary: Some(Some(Decision::Approved)),
            latest: approvals,
            complete: true,
            required_approvals,
        });
        assert_eq!(decision, Some(Decision::Approved));
        head
    }

    #[test]
    fn trap_13_of_one_needed_approval_the_head_is_told() {
        let approval = |second, head| review(ReviewWord::Approved, second, head);
        let told = |approvals: &[Review]| approved_at(1, approvals);
        assert_eq!(
            told(&[approval(2, "older"), approval(1, "old")]).as_deref(),
            Some("older")
        );
        for approvals in [
            [approval(1, "old"), approval(2, "new")],
            // A page that was left open: what it approves is old, and the other is enough.
            [approval(1, "new"), approval(2, "old")],
        ] {
            assert_eq!(told(&approvals).as_deref(), Some("new"));
        }
        // Nobody looks at a rule that asks for none; the summary did.
        assert_eq!(
            approved_at(0, &[approval(1, "old")]).as_deref(),
            Some("old")
        );
        assert_eq!(told(&[]), None);
    }

    #[test]
    fn trap_13_of_two_needed_approvals_one_that_saw_an_older_head_is_too_few() {
        let approval = |second, head| review(ReviewWord::Approved, second, head);
        let told = |approvals: &[Review]| approved_at(2, approvals);
        let one_fresh = [approval(1, "old"), approval(2, "new")];
        assert_eq!(told(&one_fresh).as_deref(), Some("old"));
        let both_fresh = [approval(1, "new"), approval(2, "new"), approval(3, "old")];
        assert_eq!(told(&both_fresh).as_deref(), Some("new"));
        // One of two is not to be seen, and may have seen anything.
        assert_eq!(told(&[approval(1, "new")]), None);
    }

    #[test]
    fn what_could_not_be_read_is_no_approval() {
        assert_eq!(decided(None, &[]), Some(Decision::ReviewRequired));
        let unknown = [review(ReviewWord::Other, 1, "a")];
        let approved = Some(Some(Decision::Approved));
        assert_eq!(decided(approved, &unknown), Some(Decision::ReviewRequired));
        let cut = Reviews {
            head: "a",
            summary: approved,
            latest: &[],
            complete: false,
            required_approvals: 0,
        };
        assert_eq!(decide(&cut).0, Some(Decision::ReviewRequired));
    }

    #[test]
    fn approvals_are_counted_when_only_the_rules_speak_of_them() {
        let one = [
            review(ReviewWord::Approved, 1, "a"),
            review(ReviewWord::Indifferent, 2, "a"),
        ];
        let with = |required_approvals| {
            let reviews = Reviews {
                head: "a",
                summary: Some(None),
                latest: &one,
                complete: true,
                required_approvals,
            };
            decide(&reviews).0
        };
        assert_eq!(with(1), Some(Decision::Approved));
        assert_eq!(with(2), Some(Decision::ReviewRequired));
    }
}
