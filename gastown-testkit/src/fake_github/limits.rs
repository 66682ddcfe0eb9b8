//! What a token owner may still ask for.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

/// The budgets of every token owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Points of REST in an hour.
    pub core: u64,
    /// Points of GraphQL in an hour.
    pub graphql: u64,
}

impl Default for Limits {
    /// 5,000 of each, as a user's token has.
    fn default() -> Self {
        Self {
            core: 5000,
            graphql: 5000,
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    pub(super) limit: u64,
    pub(super) used: u64,
    pub(super) resets_at: DateTime<Utc>,
}

impl Budget {
    pub(super) fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

/// Budgets by owner and resource.
#[derive(Debug, Default)]
pub(super) struct Budgets(BTreeMap<(String, &'static str), Budget>);

impl Budgets {
    /// The budget as it is now, full again after its hour.
    pub(super) fn of(
        &mut self,
        owner: &str,
        resource: &'static str,
        limits: Limits,
        now: DateTime<Utc>,
    ) -> &mut Budget {
        let limit = if resource == "graphql" {
            limits.graphql
        } else {
            limits.core
        };
        let hour = TimeDelta::hours(1);
        let full = Budget {
            limit,
            used: 0,
            resets_at: now.checked_add_signed(hour).unwrap_or(now),
        };
        let budget = self.0.entry((owner.to_owned(), resource)).or_insert(full);
        if budget.resets_at <= now {
            *budget = full;
        }
        budget.limit = limit;
        budget
    }

    pub(super) fn used(&self, resource: &str) -> u64 {
        let budgets = self.0.iter().filter(|((_, name), _)| *name == resource);
        budgets.map(|(_, it)| it.used).sum()
    }
}
