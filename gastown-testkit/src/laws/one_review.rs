//! P9: no work twice.

use std::collections::BTreeSet;

use gastown_core::Town;

/// One live review per source, branch and rig: a convoy lands once in each of its rigs.
///
/// # Errors
/// The source, and the branch that is reviewed twice.
pub fn one_review_per_branch(town: &Town) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for mr in town.live_beads() {
        if let (Some(review), Some(source)) = (mr.review(), town.source_of(mr))
            && !seen.insert((source, review.branch.as_str(), review.landing_rig.as_ref()))
        {
            return Err(format!(
                "P9: {source} has two live reviews of {}",
                review.branch
            ));
        }
    }
    Ok(())
}
