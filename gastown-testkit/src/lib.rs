//! Generators, conformance suites and doubles for hosts of Gastown.
