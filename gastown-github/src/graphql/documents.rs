//! The documents, as files that a test checks against GitHub's schema.

/// Whether a server knows the fields about merge queues. Old Enterprise Servers do not, and one
/// unknown field fails a whole query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeQueueSupport {
    /// It does.
    Present,
    /// It does, except how a pull request left its queue.
    Untold,
    /// It does not.
    Absent,
}

/// What only a server with flags about queues knows.
const FLAGS: [&str; 2] = ["isInMergeQueue", "isMergeQueueEnabled"];
/// What only a server that tells who left a queue knows.
const TIMELINE: [&str; 4] = [
    "timelineItems",
    "RemovedFromMergeQueueEvent",
    "ADDED_TO_MERGE_QUEUE_EVENT",
    "REMOVED_FROM_MERGE_QUEUE_EVENT",
];

impl MergeQueueSupport {
    /// What may be asked of a server that misses these words; none if leaving out something about
    /// queues would not help.
    #[must_use]
    pub fn less(self, misses: impl Fn(&str) -> bool) -> Option<Self> {
        let any = |words: &[&str]| words.iter().any(|it| misses(it));
        match self {
            Self::Present | Self::Untold if any(&FLAGS) => Some(Self::Absent),
            Self::Present if any(&TIMELINE) => Some(Self::Untold),
            Self::Present | Self::Untold | Self::Absent => None,
        }
    }
}

/// What is sent to GraphQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// Everything about one pull request that REST does not tell.
    Observation(MergeQueueSupport),
    /// Review threads after the first hundred.
    MoreThreads,
    /// Reviews after the first hundred.
    MoreReviews,
    /// Checks and statuses after the first hundred.
    MoreContexts,
    /// The commit of a merge.
    MergeCommit,
    /// Puts a pull request into its merge queue.
    Enqueue,
}

const OBSERVATION: &str = include_str!("documents/observation.graphql");
const THREAD_PAGE: &str = include_str!("documents/thread_page.graphql");
const REVIEW_PAGE: &str = include_str!("documents/review_page.graphql");
const CONTEXT_PAGE: &str = include_str!("documents/context_page.graphql");
const QUEUE_FIELDS: &str = include_str!("documents/merge_queue_fields.graphql");
const QUEUE_FIELDS_UNTOLD: &str = include_str!("documents/merge_queue_fields_untold.graphql");
const QUEUE_FIELDS_ABSENT: &str = include_str!("documents/merge_queue_fields_absent.graphql");
const MORE_THREADS: &str = include_str!("documents/more_threads.graphql");
const MORE_REVIEWS: &str = include_str!("documents/more_reviews.graphql");
const MORE_CONTEXTS: &str = include_str!("documents/more_contexts.graphql");
const MERGE_COMMIT: &str = include_str!("documents/merge_commit.graphql");
const ENQUEUE: &str = include_str!("documents/enqueue.graphql");

impl Document {
    /// Every document that this crate can send.
    pub const ALL: [Self; 8] = [
        Self::Observation(MergeQueueSupport::Present),
        Self::Observation(MergeQueueSupport::Untold),
        Self::Observation(MergeQueueSupport::Absent),
        Self::MoreThreads,
        Self::MoreReviews,
        Self::MoreContexts,
        Self::MergeCommit,
        Self::Enqueue,
    ];

    /// Its text with all fragments that it uses.
    #[must_use]
    pub fn text(self) -> String {
        let pages = [THREAD_PAGE, REVIEW_PAGE, CONTEXT_PAGE];
        match self {
            Self::Observation(support) => {
                let queue = match support {
                    MergeQueueSupport::Present => QUEUE_FIELDS,
                    MergeQueueSupport::Untold => QUEUE_FIELDS_UNTOLD,
                    MergeQueueSupport::Absent => QUEUE_FIELDS_ABSENT,
                };
                [OBSERVATION, queue].into_iter().chain(pages).collect()
            }
            Self::MoreThreads => [MORE_THREADS, THREAD_PAGE].concat(),
            Self::MoreReviews => [MORE_REVIEWS, REVIEW_PAGE].concat(),
            Self::MoreContexts => [MORE_CONTEXTS, CONTEXT_PAGE].concat(),
            Self::MergeCommit => MERGE_COMMIT.to_owned(),
            Self::Enqueue => ENQUEUE.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trap_22_only_what_is_missed_is_left_out() {
        use MergeQueueSupport::{Absent, Present, Untold};
        let less = |of: MergeQueueSupport, missed: &str| of.less(|it| it == missed);
        assert_eq!(less(Present, "RemovedFromMergeQueueEvent"), Some(Untold));
        assert_eq!(less(Present, "isInMergeQueue"), Some(Absent));
        assert_eq!(less(Untold, "isMergeQueueEnabled"), Some(Absent));
        for support in [Present, Untold, Absent] {
            assert_eq!(less(support, "reviewDecision"), None);
        }
    }

    #[test]
    fn what_is_left_out_is_named() {
        let text = |it| Document::Observation(it).text();
        let named = |words: &[&str], it| {
            words
                .iter()
                .filter(|word| text(it).contains(**word))
                .count()
        };
        for (support, flags, timeline) in [
            (MergeQueueSupport::Present, 2, 4),
            (MergeQueueSupport::Untold, 2, 0),
            (MergeQueueSupport::Absent, 0, 0),
        ] {
            assert_eq!(named(&FLAGS, support), flags);
            assert_eq!(named(&TIMELINE, support), timeline);
        }
    }
}
