//! The loop that runs Gastown towns: ticks, effects, agent sessions.
