//! A Gastown store in one SQLite file.
