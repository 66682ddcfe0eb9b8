//! Drain and container: what is known of the place where agents run (spec 2.2, 3.1, 3.11).

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// The town's container is being evicted: nothing new is dispatched until its replacement is up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Drain {
    /// The host's word for this eviction; `container_ready` must bring the same.
    pub nonce: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// How many retired instances a town remembers.
pub(crate) const RETIRED_INSTANCES_MAX: usize = 16;

/// What is known of the container and its tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Container {
    /// The instance of the last heartbeat.
    pub instance: Option<String>,
    /// Instances that were replaced or stopped, oldest first; at most sixteen. What is heard of
    /// them late never ends a drain.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<String>,
    /// When the last drain ended. A start asked for before may have been withdrawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drained_until: Option<Timestamp>,
    /// When its token was last refreshed.
    pub last_token_refresh_at: Option<Timestamp>,
    /// When a refresh was last asked for.
    pub refresh_asked_at: Option<Timestamp>,
    /// Whether the last one has its answer; a second one with the same key says nothing (2.4).
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    pub refresh_answered: bool,
    /// Refreshes that failed in a row.
    pub refresh_failures: u32,
    /// Refreshes asked for so far; only grows, so that keys never repeat.
    pub refreshes: u64,
    /// When the language-model token expires.
    pub llm_token_expires_at: Option<Timestamp>,
    /// When its expiry was last looked at.
    pub last_llm_check_at: Option<Timestamp>,
    /// Renewals asked for so far; only grows.
    pub llm_renewals: u64,
    /// As `refresh_answered`.
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    pub llm_answered: bool,
    /// Renewals that failed in a row.
    #[serde(skip_serializing_if = "crate::wire::is_default")]
    pub llm_failures: u32,
    /// When an idle container was last stopped.
    pub last_idle_stop_at: Option<Timestamp>,
    /// Stops asked for so far; only grows.
    pub idle_stops: u64,
}

impl Container {
    /// Whether an instance is one of those that were replaced or stopped.
    #[must_use]
    pub fn is_retired(&self, instance: &str) -> bool {
        self.retired.iter().any(|retired| retired == instance)
    }

    /// Takes an instance, or none, for the one that runs; the one known before retires.
    pub(crate) fn replace_instance(&mut self, instance: Option<&str>) {
        let before = core::mem::replace(&mut self.instance, instance.map(ToString::to_string));
        self.retired.retain(|retired| {
            Some(retired.as_str()) != instance && Some(retired) != before.as_ref()
        });
        self.retired
            .extend(before.filter(|before| Some(before.as_str()) != instance));
        let excess = self.retired.len().saturating_sub(RETIRED_INSTANCES_MAX);
        self.retired.drain(..excess);
    }
}

#[cfg(test)]
mod tests {
    use super::{Container, RETIRED_INSTANCES_MAX};
    use std::format;

    #[test]
    fn retired_instances_at_their_limit_the_oldest_is_forgotten() {
        let mut container = Container::default();
        for n in 0..=RETIRED_INSTANCES_MAX {
            container.replace_instance(Some(&format!("i{n}")));
        }
        assert_eq!(container.retired.len(), RETIRED_INSTANCES_MAX);
        assert!(container.is_retired("i0") && !container.is_retired("i16"));
        container.replace_instance(None);
        assert_eq!(container.retired.len(), RETIRED_INSTANCES_MAX);
        assert!(!container.is_retired("i0") && container.is_retired("i16"));
        container.replace_instance(Some("i3"));
        assert!(!container.is_retired("i3"), "{container:?}");
    }
}
