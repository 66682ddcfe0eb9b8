//! The conformance suite of [`gastown_core::Store`]: one case per sentence of its contract.
//!
//! An adapter runs all of it by one line in a test file, and gets one `#[test]` per case:
//!
//! ```
//! use gastown_store_memory::MemoryStore;
//!
//! /// A fresh, empty store, and whatever must live as long as it does (say, its directory).
//! async fn fresh() -> (MemoryStore, ()) {
//!     (MemoryStore::new(), ())
//! }
//!
//! gastown_testkit::store_suite!(fresh);
//! # fn main() {}
//! ```
//!
//! A store that outlives its process also says how to open it again, given what `fresh` returned
//! beside it: `store_suite!(fresh, reopen = reopen)`, with
//! `async fn reopen(guard: &Guard) -> impl Store`. The cases of `reopening` are added.
//!
//! The cases run on plain threads, without an executor's reactor; they measure no time.

// This is test code that happens to live in a library: a case fails by panicking.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

pub mod commits;
pub mod history;
pub mod inbox;
pub mod leases;
pub mod limits;
pub mod outbox;
pub mod pruning;
pub mod reopening;
pub mod rows;
mod samples;
pub mod towns;

use gastown_core::Store;

#[doc(hidden)]
pub use futures_executor::block_on;

/// Runs one case on a fresh store; the guard outlives the store.
#[doc(hidden)]
pub fn run<S: Store, G>(fresh: impl Future<Output = (S, G)>, case: impl AsyncFnOnce(&dyn Store)) {
    block_on(async {
        let (store, guard) = fresh.await;
        case(&store).await;
        drop(store);
        drop(guard);
    });
}

#[doc(hidden)]
pub fn boxed<S: Store + 'static>(store: S) -> Box<dyn Store> {
    Box::new(store)
}

/// Makes one `#[test]` per case of the store contract; see [the module](mod@crate::store_suite).
#[macro_export]
macro_rules! store_suite {
    ($fresh:path) => {
        mod store_suite {
            #[allow(unused_imports)]
            use super::*;
            $crate::store_suite!(@all $fresh);
        }
    };
    ($fresh:path, reopen = $reopen:path) => {
        mod store_suite {
            #[allow(unused_imports)]
            use super::*;
            $crate::store_suite!(@all $fresh);
            $crate::store_suite!(@reopening $fresh, $reopen;
                everything_survives,
                what_is_done_with_stays_so,
                sequences_go_on,
                leases_survive,
            );
        }
    };
    (@all $fresh:path) => {
        $crate::store_suite!(@group $fresh, commits;
            version_0_creates_the_town,
            each_commit_raises_the_version_by_one,
            a_commit_at_an_older_version_writes_nothing,
            a_commit_at_a_later_version_writes_nothing,
            version_0_conflicts_with_a_town_that_is_there,
            a_version_on_an_unknown_town_creates_nothing,
            a_commit_writes_all_of_its_parts,
            a_refused_part_keeps_the_others_out,
            a_refused_first_commit_creates_no_town,
            an_event_is_consumed_once,
            refusals_come_in_order,
            of_many_commits_at_one_version_one_wins,
            writers_that_reload_lose_no_update,
            readers_see_whole_commits,
            a_dropped_commit_takes_all_effect_or_none,
        );
        $crate::store_suite!(@group $fresh, rows;
            load_is_in_order_of_key,
            put_replaces,
            delete_removes,
            rows_by_key_come_once_and_in_order,
            load_leaves_finished_rows_behind,
            past_rows_come_by_key_page_by_page,
            past_rows_that_lead_to_a_bead,
            bodies_come_back_byte_by_byte,
        );
        $crate::store_suite!(@group $fresh, inbox;
            events_come_by_time_and_id,
            a_limit_gives_the_first_events,
            an_earlier_event_comes_before_what_was_read,
            an_event_that_is_pending_is_ignored,
            an_event_that_was_consumed_is_ignored,
            consumed_events_are_no_longer_pending,
            appending_raises_no_version,
            many_writers_append_at_once,
            times_keep_their_milliseconds,
        );
        $crate::store_suite!(@group $fresh, outbox;
            effects_are_pending_in_order_of_commit,
            effects_stay_until_they_are_finished,
            an_effect_comes_back_whole,
            finishing_appends_the_results,
            results_are_idempotent_by_id,
            the_first_finish_counts,
            a_withdrawn_effect_is_finished,
            an_unknown_key_is_not_finished,
            a_finished_key_never_becomes_pending_again,
            a_pending_key_is_left_as_it_was,
            keys_differ_by_each_part,
        );
        $crate::store_suite!(@group $fresh, leases;
            a_lease_says_who_and_until_when,
            a_holder_extends_and_keeps_its_token,
            a_holder_may_end_sooner,
            another_holder_is_told_who_has_it,
            an_expired_lease_goes_to_the_next_holder,
            an_expired_lease_comes_back_with_a_larger_token,
            a_released_lease_goes_to_the_next_holder,
            releasing_anothers_lease_does_nothing,
            the_token_in_force_commits,
            an_older_token_is_fenced,
            a_release_fences_nobody_yet,
            a_token_that_was_never_given_is_refused,
            without_a_token_the_version_decides,
            leases_raise_no_version,
            of_many_that_ask_one_gets_the_lease,
        );
        $crate::store_suite!(@group $fresh, history;
            history_is_in_order_of_commit,
            an_entry_comes_back_as_it_was,
            history_filters_by_kind_and_subject,
            pages_follow_each_other,
            pages_reach_what_comes_meanwhile,
            a_page_may_be_empty,
            history_never_changes,
        );
        $crate::store_suite!(@group $fresh, pruning;
            consumed_events_are_pruned_by_the_time_of_commit,
            finished_effects_are_pruned_by_the_time_of_finish,
            a_base_for_replay_is_kept,
            without_a_snapshot_history_is_not_pruned,
            nothing_else_is_pruned,
            pruning_counts_and_ends,
        );
        $crate::store_suite!(@group $fresh, towns;
            towns_come_by_id,
            an_unknown_town_is_named_by_every_operation,
            towns_do_not_see_each_other,
            pruning_is_of_one_town,
            leases_are_of_one_town,
        );
        $crate::store_suite!(@group $fresh, limits;
            bad_names_of_rows_are_refused,
            bad_names_of_the_rest_are_refused,
            a_stand_in_for_no_rig_is_refused,
            a_record_that_contradicts_itself_is_refused,
            bodies_are_json_objects,
            a_row_that_is_named_twice_is_refused,
            odd_names_come_back_as_they_were,
            odd_ids_come_back_as_they_were,
            names_end_at_their_limit,
            bodies_end_at_their_limit,
            events_end_at_their_limit,
            events_that_nobody_could_read_back_are_refused,
            a_long_effect_comes_back_whole,
            a_large_commit_is_written_whole,
        );
    };
    (@group $fresh:path, $group:ident; $($case:ident,)*) => {
        mod $group {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $case() {
                $crate::store_suite::run($fresh(), $crate::store_suite::$group::$case);
            })*
        }
    };
    (@reopening $fresh:path, $reopen:path; $($case:ident,)*) => {
        mod reopening {
            #[allow(unused_imports)]
            use super::*;
            $(#[test]
            fn $case() {
                $crate::store_suite::block_on(async {
                    let (store, guard) = $fresh().await;
                    let reopen = async || {
                        $crate::store_suite::boxed($reopen(&guard).await)
                    };
                    $crate::store_suite::reopening::$case(Box::new(store), reopen).await;
                });
            })*
        }
    };
}

#[cfg(test)]
mod tests {
    /// A case that the macro forgets would never run, and nobody would see it.
    #[test]
    fn the_macro_names_every_case_and_no_other() {
        let sources = [
            include_str!("store_suite/commits.rs"),
            include_str!("store_suite/history.rs"),
            include_str!("store_suite/inbox.rs"),
            include_str!("store_suite/leases.rs"),
            include_str!("store_suite/limits.rs"),
            include_str!("store_suite/outbox.rs"),
            include_str!("store_suite/pruning.rs"),
            include_str!("store_suite/reopening.rs"),
            include_str!("store_suite/rows.rs"),
            include_str!("store_suite/towns.rs"),
        ];
        let mut written: Vec<&str> = sources
            .iter()
            .flat_map(|source| source.split("\npub async fn ").skip(1))
            .map(|rest| rest.split(['(', '<']).next().unwrap())
            .collect();
        let macro_text = include_str!("store_suite.rs");
        let macro_text = macro_text.split("#[cfg(test)]").next().unwrap();
        let mut named: Vec<&str> = macro_text
            .lines()
            .filter_map(|line| line.trim().strip_suffix(','))
            .filter(|word| {
                word.contains('_') && word.chars().all(|c| c == '_' || c.is_alphanumeric())
            })
            .collect();
        written.sort_unstable();
        named.sort_unstable();
        assert_eq!(named, written);
        assert!(written.len() >= 70, "{}", written.len());
    }
}
