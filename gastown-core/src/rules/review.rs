//! Rules of reviews: recovering them (spec 3.4) and watching pull requests (spec 3.10).

use super::Rule;

pub(super) const RECOVER: &[Rule] = &[];

pub(super) const WATCH: &[Rule] = &[];
