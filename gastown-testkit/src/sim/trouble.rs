//! What happens to the host, the container, the forge and the clock.

use gastown_core::events::{ContainerEviction, ContainerReady};
use gastown_core::{ForgeError, Role};

use super::{Held, Next, Simulation};

const MINUTE: u64 = 60_000;
/// How often something might happen, in milliseconds.
const TURN: u64 = 15 * MINUTE;
const TURNS_PER_HOUR: f64 = 4.0;
/// How long no agent can be started, about, in milliseconds: an hour is enough for several probes.
const START_OUTAGE: u64 = 60 * MINUTE;
/// The farthest that the wall clock is ever off, in milliseconds.
pub(crate) const SKEW_MAX: i64 = 4 * 3_600_000;

/// A time in which no agent can be started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StartOutage {
    until: u64,
    /// Whether starts are refused; else nothing is heard of them.
    says_so: bool,
}

impl Simulation {
    /// Whether no agent can be started now; and if so, whether that is said.
    pub(super) fn starts_are_out(&self) -> Option<bool> {
        let outage = self.start_outage.filter(|outage| self.now < outage.until);
        outage.map(|outage| outage.says_so)
    }

    pub(super) fn trouble(&mut self) -> Held {
        if self.dice.is_calm() {
            return Ok(());
        }
        let n = self.next_of("turns of trouble");
        let after = self.dice.span(TURN, "the next trouble", "world", n);
        self.plan(after.max(1_000), Next::Trouble);
        let rates = self.rates;
        let per = |rate: f64| rate / TURNS_PER_HOUR;
        if self
            .dice
            .happens(per(rates.evictions_per_hour), "an eviction", "world", n)
        {
            self.evict(n);
        }
        if self
            .dice
            .happens(per(rates.outages_per_hour), "an outage", "world", n)
        {
            self.outage(n);
        }
        let outages = per(rates.start_outages_per_hour);
        if self
            .dice
            .happens(outages, "no agent can be started", "world", n)
        {
            self.start_outage(n);
        }
        if self.dice.happens(
            per(rates.clock_jumps_per_hour),
            "the clock jumps",
            "world",
            n,
        ) {
            self.jump(n);
        }
        Ok(())
    }

    fn evict(&mut self, n: u64) {
        let nonce = format!("nonce{n}");
        self.tell(|| format!("the container is evicted ({nonce})"));
        self.send(
            "eviction",
            ContainerEviction {
                nonce: nonce.clone(),
            },
            0,
        );
        self.sessions_are_evicted(n);
        let heard = "a container of an earlier drain announces itself";
        if self.dice.happens(self.rates.old_ready, heard, "world", n) {
            let nonce = "nonce0".into();
            self.send("late ready", ContainerReady { nonce }, 10_000);
        }
        let after = self
            .dice
            .span(4 * MINUTE, "the next container takes", "world", n);
        self.plan(after, Next::ContainerIsReady(nonce));
    }

    pub(super) fn container_is_ready(&mut self, nonce: String) {
        self.container += 1;
        let n = self.container;
        if !self.dice.happens(
            self.rates.ready_lost,
            "the new container is not announced",
            "world",
            n,
        ) {
            self.send("ready", ContainerReady { nonce }, 0);
        }
    }

    fn outage(&mut self, n: u64) {
        let minutes = 1 + self.dice.span(40, "an outage lasts", "world", n);
        let until = self.now + minutes * MINUTE;
        let error = match self.dice.below(6, "what sort of outage", "world", n) {
            0 => ForgeError::RateLimited {
                until: self.wall().plus(super::seconds(minutes * 60)),
            },
            1 => ForgeError::Unauthorized,
            2 => ForgeError::NoToken {
                tried: vec!["github_token".into()],
            },
            3 => ForgeError::Forbidden,
            4 => ForgeError::Network,
            _ => ForgeError::Server { status: 500 },
        };
        self.tell(|| format!("the forge is out for {minutes} minutes: {error}"));
        self.forge.outage = Some((until, error));
    }

    /// Whoever starts agents refuses all of them, or takes them and starts none.
    fn start_outage(&mut self, n: u64) {
        let what = "nothing starts for";
        let minutes = 1 + self.dice.span(START_OUTAGE, what, "world", n) / MINUTE;
        let says_so = self.dice.below(3, "whether starts are refused", "world", n) != 0;
        self.tell(|| format!("no agent can be started for {minutes} minutes"));
        self.start_outage = Some(StartOutage {
            until: self.now + minutes * MINUTE,
            says_so,
        });
    }

    /// The wall clock jumps; the host sees that it drifted from the other one, and says so.
    fn jump(&mut self, n: u64) {
        let limit = SKEW_MAX as u64;
        let to = self.dice.below(2 * limit, "to where", "world", n) as i64 - SKEW_MAX;
        self.set_skew(to);
    }

    pub(super) fn set_skew(&mut self, skew: i64) {
        let from = self.wall();
        self.skew = skew;
        let to = self.wall();
        self.tell(|| format!("the clock jumps from {from} to {to}"));
        if self.host.is_up() {
            self.gap(from.min(to), to);
        }
    }

    /// The faults stop: clocks agree, the forge answers, the host and a container are up, and
    /// agents work.
    pub(super) fn calm_down(&mut self) -> Held {
        self.tell(|| "the faults stop".into());
        self.dice.calm_down();
        self.forge.outage = None;
        self.start_outage = None;
        self.host_is_up()?;
        self.set_skew(0);
        self.tick()?;
        for pr in self.forge.prs.values_mut() {
            if pr.checks == gastown_core::forges::ChecksState::Pending {
                pr.checks = gastown_core::forges::ChecksState::Passing;
            }
        }
        // An agent that the host gave up stays away; the others come to reason.
        self.agents_come_to_reason();
        debug_assert!(self.sessions.keys().all(|id| {
            let town = self.host.town.as_ref();
            town.and_then(|town| town.agent(id))
                .is_none_or(|agent| agent.role != Role::Mayor)
        }));
        Ok(())
    }
}
