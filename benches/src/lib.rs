//! Benchmarks of Gastown, as ratios measured side by side.
