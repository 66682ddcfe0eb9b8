//! What the reviewers decided (spec 4.2 `decision`; traps 13, 31). Pure.

use crate::graphql::{Review, ReviewWord};
use crate::observation::Decision;

/// What is known about reviews.
pub(crate) struct Reviews<'a> {
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
    let newest = word(ReviewWord::Approved).max_by_key(|it| it.at);
    let head = newest.and_then(|it| it.head.clone());
    match summary {
        Some(Decision::Approved) => (Some(Decision::Approved), head),
        Some(decision) => (Some(decision), None),
        // The rules ask for approvals and the summary does not speak of them: count.
        None if reviews.required_approvals > 0 => {
            let approvals = u64::try_from(word(ReviewWord::Approved).count()).unwrap_or(0);
            if approvals >= reviews.required_approvals {
                (Some(Decision::Approved), head)
            } else {
                (Some(Decision::ReviewRequired), None)
            }
        }
        None => (None, None),
    }
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

    #[test]
    fn trap_13_the_head_of_the_newest_approval_is_told() {
        let approvals = [
            review(ReviewWord::Approved, 2, "newer"),
            review(ReviewWord::Approved, 1, "older"),
        ];
        let reviews = Reviews {
            summary: Some(Some(Decision::Approved)),
            latest: &approvals,
            complete: true,
            required_approvals: 1,
        };
        let expected = (Some(Decision::Approved), Some("newer".to_owned()));
        assert_eq!(decide(&reviews), expected);
    }

    #[test]
    fn what_could_not_be_read_is_no_approval() {
        assert_eq!(decided(None, &[]), Some(Decision::ReviewRequired));
        let unknown = [review(ReviewWord::Other, 1, "a")];
        let approved = Some(Some(Decision::Approved));
        assert_eq!(decided(approved, &unknown), Some(Decision::ReviewRequired));
        let cut = Reviews {
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
