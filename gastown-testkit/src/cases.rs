//! How many cases a property looks at, and how a failure is replayed.

use proptest::prelude::*;
use proptest::test_runner::{FileFailurePersistence, RngSeed};
use serde_json::Value;

const SEED_BY_DEFAULT: u64 = 1;

/// As many cases as `PROPTEST_CASES` says, else `default`: few, so that all tests together stay
/// fast. What fails is saved next to the test's source, and looked at first ever after.
#[must_use]
pub fn cases(default: u32) -> ProptestConfig {
    let mut config = ProptestConfig {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource(
            "proptest-regressions",
        ))),
        ..ProptestConfig::default()
    };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = default;
        // The few of the default run are the same for everybody; who looks long looks elsewhere.
        if std::env::var_os("PROPTEST_RNG_SEED").is_none() {
            config.rng_seed = RngSeed::Fixed(SEED_BY_DEFAULT);
        }
    }
    config
}

/// Fails a case of a generated town with what is needed to replay it anywhere: proptest itself
/// adds the seed, and saves it next to the test.
///
/// # Errors
/// The problem, if there is one, and the town's snapshot.
pub fn held(result: Result<(), String>, snapshot: &Value) -> Result<(), TestCaseError> {
    result.map_err(|problem| {
        TestCaseError::fail(format!(
            "{problem}\nthe town, for examples/dry_run or a test: {snapshot}"
        ))
    })
}
