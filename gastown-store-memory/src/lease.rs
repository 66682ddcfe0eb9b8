//! Who may drive one town.

use std::time::Duration;

use gastown_core::{Lease, StoreError, Timestamp, TownId};

#[derive(Debug, Default)]
pub(crate) struct Leases {
    /// The last token that was given; 0 before the first.
    token: u64,
    held: Option<Held>,
}

#[derive(Debug)]
struct Held {
    holder: String,
    expires_at: Timestamp,
}

impl Leases {
    pub(crate) fn check(&self, town: &TownId, token: Option<u64>) -> Result<(), StoreError> {
        match token {
            Some(token) if token < self.token => Err(StoreError::Fenced {
                town: town.clone(),
                token,
                current: self.token,
            }),
            Some(token) if token > self.token => Err(StoreError::Refused {
                operation: "commit",
                reason: format!(
                    "lease token {token} was never given, the last is {}",
                    self.token
                ),
            }),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn take(
        &mut self,
        town: &TownId,
        holder: &str,
        ttl: Duration,
        now: Timestamp,
    ) -> Result<Lease, StoreError> {
        match self.held.as_ref().filter(|held| now < held.expires_at) {
            Some(held) if held.holder != holder => {
                return Err(StoreError::Leased {
                    town: town.clone(),
                    holder: held.holder.clone(),
                    until: held.expires_at,
                });
            }
            Some(_) => {}
            None => self.token = self.token.saturating_add(1),
        }
        let expires_at = now.plus(ttl);
        self.held = Some(Held {
            holder: holder.into(),
            expires_at,
        });
        Ok(Lease {
            holder: holder.into(),
            token: self.token,
            expires_at,
        })
    }

    pub(crate) fn release(&mut self, holder: &str) {
        if self.held.as_ref().is_some_and(|held| held.holder == holder) {
            self.held = None;
        }
    }
}
