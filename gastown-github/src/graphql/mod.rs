//! GraphQL: the documents that are sent, and what their answers mean (facts 1.10).

mod documents;
mod envelope;
mod feed;

pub use self::documents::{Document, MergeQueueSupport};
pub use self::envelope::{Envelope, GraphqlError};
#[cfg(test)]
pub(crate) use self::feed::{BranchRule, Thread};
pub(crate) use self::feed::{
    Feed, MorePage, Page, Review, ReviewWord, feed, merge_commit, more_contexts, more_reviews,
    more_threads,
};
