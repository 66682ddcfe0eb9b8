//! A Gastown store in memory.
