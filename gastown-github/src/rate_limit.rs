//! What is left of the forge's patience, per token owner and resource; pure state
//! (facts 2; spec 4.2 `api_budget`, 4.3).
//!
//! Every answer is shown to [`RateLimits::observe`], every request first asks
//! [`RateLimits::admit`]. Nothing here waits: "not before" goes back to the rules as a value, so
//! that waiting is visible and simulated time works.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use http::HeaderMap;

use crate::observation::ApiBudget;

/// The first pause after a secondary limit that names no time; it doubles from here.
pub(crate) const SECONDARY_PAUSE_FIRST: TimeDelta = TimeDelta::seconds(60);
/// The longest pause after secondary limits.
const SECONDARY_PAUSE_MAX: TimeDelta = TimeDelta::hours(1);
/// The longest pause that is believed, whatever a header says. A broken header must not stop a
/// town for good; GitHub's own windows are one hour.
const PAUSE_MAX: TimeDelta = TimeDelta::hours(2);
/// How many owners are remembered. Each holds a handful of resources.
const OWNERS_MAX: usize = 1024;

/// What a request is for, as far as the floor is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Watching: it stops at the floor.
    Watch,
    /// Merging, and what must be read for it: it may use the floor up.
    Merge,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It may.
    Now,
    /// Not before that time.
    NotBefore(DateTime<Utc>),
}

/// What an answer says about limits, in the order in which GitHub wants it decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitVerdict {
    /// Nothing: a 403 without any sign of a limit is a missing permission.
    NotLimited,
    /// Wait until then with everything: `Retry-After`.
    Until(DateTime<Utc>),
    /// The budget of this resource is used up until then; others are not.
    Exhausted(DateTime<Utc>),
    /// A secondary limit that names no time.
    Secondary,
}

/// The share of each budget that only merges may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergeFloor {
    /// In percent of the limit, 0 to 100.
    pub percent: u8,
}

impl Default for MergeFloor {
    /// 10 %.
    fn default() -> Self {
        Self { percent: 10 }
    }
}

/// One budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// The size of the budget.
    pub limit: u64,
    /// What is left, by the last answer less what was sent since.
    pub remaining: u64,
    /// When it is full again, by the local clock.
    pub resets_at: DateTime<Utc>,
}

#[derive(Clone, Debug, Default)]
struct Owner {
    buckets: BTreeMap<String, Bucket>,
    blocked_until: Option<DateTime<Utc>>,
    secondary_pauses: u32,
}

/// All budgets and pauses that are known.
#[derive(Clone, Debug, Default)]
pub struct RateLimits {
    floor: MergeFloor,
    owners: BTreeMap<String, Owner>,
}

impl RateLimits {
    /// Nothing known yet.
    #[must_use]
    pub fn new(floor: MergeFloor) -> Self {
        Self {
            floor,
            owners: BTreeMap::new(),
        }
    }

    /// Whether a request of this owner for this resource (`core`, `graphql`, …) may go now; if
    /// so, one unit is taken at once, so that many callers together do not overdraw.
    #[must_use]
    pub fn admit(
        &mut self,
        owner: &str,
        resource: &str,
        urgency: Urgency,
        now: DateTime<Utc>,
    ) -> Admission {
        let floor = self.floor;
        let Some(owner) = self.owners.get_mut(owner) else {
            return Admission::Now;
        };
        if let Some(until) = owner.blocked_until.filter(|it| now < *it) {
            return Admission::NotBefore(until);
        }
        let Some(bucket) = owner.buckets.get_mut(resource) else {
            return Admission::Now;
        };
        if now >= bucket.resets_at {
            return Admission::Now;
        }
        let reserved = match urgency {
            Urgency::Merge => 0,
            Urgency::Watch => {
                bucket
                    .limit
                    .saturating_mul(u64::from(floor.percent.min(100)))
                    / 100
            }
        };
        if bucket.remaining <= reserved {
            return Admission::NotBefore(bucket.resets_at);
        }
        bucket.remaining = bucket.remaining.saturating_sub(1);
        Admission::Now
    }

    /// Learns from an answer. `says_limited` is whether the body or another header speaks of a
    /// limit . Returns until when to wait, if so.
    pub fn observe(
        &mut self,
        owner: &str,
        resource: &str,
        answer: LimitedAnswer<'_>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        if self.owners.len() >= OWNERS_MAX && !self.owners.contains_key(owner) {
            // Forgetting costs at most one refused request; growing without end costs memory.
            self.owners.pop_first();
        }
        let owner = self.owners.entry(owner.to_owned()).or_default();
        if let Some(bucket) = bucket(answer.headers, now) {
            let named = header(answer.headers, "x-ratelimit-resource").unwrap_or(resource);
            owner.buckets.insert(named.to_owned(), bucket);
        }
        match verdict(&answer, now) {
            LimitVerdict::NotLimited => {
                if answer.succeeded && owner.blocked_until.is_none_or(|it| now >= it) {
                    owner.blocked_until = None;
                    owner.secondary_pauses = 0;
                }
                None
            }
            LimitVerdict::Until(until) => Some(owner.block(until)),
            LimitVerdict::Exhausted(until) => {
                owner.exhaust(resource, until);
                if let Some(named) = header(answer.headers, "x-ratelimit-resource") {
                    owner.exhaust(named, until);
                }
                Some(until)
            }
            LimitVerdict::Secondary => Some(owner.pause(now)),
        }
    }

    /// The budget of this owner that is nearest to its end, for the host to plan by.
    #[must_use]
    pub fn budget(&self, owner: &str, now: DateTime<Utc>) -> Option<ApiBudget> {
        let owner = self.owners.get(owner)?;
        if let Some(resets_at) = owner.blocked_until.filter(|it| now < *it) {
            return Some(ApiBudget {
                remaining: 0,
                resets_at,
            });
        }
        let current = owner.buckets.values().filter(|it| now < it.resets_at);
        let share = |it: &Bucket| {
            it.remaining
                .saturating_mul(1000)
                .checked_div(it.limit)
                .unwrap_or(0)
        };
        current.min_by_key(|it| share(it)).map(|it| ApiBudget {
            remaining: it.remaining,
            resets_at: it.resets_at,
        })
    }

    /// The budget of any owner that is nearest to its end.
    #[must_use]
    pub fn tightest(&self, now: DateTime<Utc>) -> Option<ApiBudget> {
        self.owners
            .keys()
            .filter_map(|it| self.budget(it, now))
            .min_by_key(|it| it.remaining)
    }

    /// One budget, as last known.
    #[must_use]
    pub fn bucket(&self, owner: &str, resource: &str) -> Option<Bucket> {
        self.owners.get(owner)?.buckets.get(resource).copied()
    }
}

impl Owner {
    /// Blocks all of the owner's requests; an earlier, longer block stays.
    fn block(&mut self, until: DateTime<Utc>) -> DateTime<Utc> {
        let until = self.blocked_until.map_or(until, |it| it.max(until));
        self.blocked_until = Some(until);
        until
    }

    /// Nothing is left of one resource until then.
    fn exhaust(&mut self, resource: &str, until: DateTime<Utc>) {
        let limit = self.buckets.get(resource).map_or(0, |it| it.limit);
        let empty = Bucket {
            limit,
            remaining: 0,
            resets_at: until,
        };
        self.buckets.insert(resource.to_owned(), empty);
    }

    fn pause(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        // Requests that were under way together meet the same limit; it counts once.
        if let Some(until) = self.blocked_until.filter(|it| now < *it) {
            return until;
        }
        let factor = 1_i32
            .checked_shl(self.secondary_pauses.min(16))
            .unwrap_or(i32::MAX);
        let pause = SECONDARY_PAUSE_FIRST
            .checked_mul(factor)
            .unwrap_or(SECONDARY_PAUSE_MAX);
        self.secondary_pauses = self.secondary_pauses.saturating_add(1);
        self.block(later(now, pause.min(SECONDARY_PAUSE_MAX)))
    }
}

/// The part of an answer that limits are read from.
#[derive(Clone, Copy, Debug)]
pub struct LimitedAnswer<'a> {
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Whether it may be a limit at all: 403, 429, or a GraphQL error of that type.
    pub may_be_limit: bool,
    /// Whether something in it speaks of a limit: 429, the text, the documentation address, the
    /// GraphQL error type.
    pub speaks_of_limit: bool,
    /// Whether the request did what it was sent for.
    pub succeeded: bool,
}

/// Decides, in the documented order: `Retry-After`; an exhausted budget; signs of a secondary
/// limit; else no limit.
#[must_use]
pub fn verdict(answer: &LimitedAnswer<'_>, now: DateTime<Utc>) -> LimitVerdict {
    if !answer.may_be_limit {
        return LimitVerdict::NotLimited;
    }
    if let Some(until) = retry_after(answer.headers, now) {
        return LimitVerdict::Until(until);
    }
    if let Some(bucket) = bucket(answer.headers, now).filter(|it| it.remaining == 0) {
        // One second more, because the header is cut to whole seconds.
        return LimitVerdict::Exhausted(later(bucket.resets_at, TimeDelta::seconds(1)));
    }
    if answer.speaks_of_limit || answer.headers.contains_key("gh-limited-by") {
        return LimitVerdict::Secondary;
    }
    LimitVerdict::NotLimited
}

fn bucket(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Bucket> {
    let number = |name| header(headers, name)?.parse::<u64>().ok();
    let reset = i64::try_from(number("x-ratelimit-reset")?).ok()?;
    let reset = DateTime::from_timestamp(reset, 0)?;
    let remaining = number("x-ratelimit-remaining")?;
    let limit = number("x-ratelimit-limit").unwrap_or(remaining);
    Some(Bucket {
        limit,
        remaining,
        resets_at: local_time(reset, headers, now),
    })
}

fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let text = header(headers, "retry-after")?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(later(
            now,
            TimeDelta::seconds(i64::from(seconds)).min(PAUSE_MAX),
        ));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?.to_utc();
    Some(local_time(at, headers, now).max(now))
}

/// A time of the server by the local clock: what counts is the distance from the answer's `Date`.
fn local_time(at: DateTime<Utc>, headers: &HeaderMap, now: DateTime<Utc>) -> DateTime<Utc> {
    let server_now = server_date(headers).unwrap_or(now);
    later(
        now,
        at.signed_duration_since(server_now)
            .clamp(TimeDelta::zero(), PAUSE_MAX),
    )
}

/// The server's clock, as the answer shows it.
pub(crate) fn server_date(headers: &HeaderMap) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc2822(header(headers, "date")?)
        .ok()
        .map(|it| it.to_utc())
}

pub(crate) fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn later(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(by)
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HeaderName, HeaderValue};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    fn refused(headers: &HeaderMap, speaks_of_limit: bool) -> LimitedAnswer<'_> {
        LimitedAnswer {
            headers,
            may_be_limit: true,
            speaks_of_limit,
            succeeded: false,
        }
    }

    fn good(headers: &HeaderMap) -> LimitedAnswer<'_> {
        LimitedAnswer {
            headers,
            may_be_limit: false,
            speaks_of_limit: false,
            succeeded: true,
        }
    }

    fn budget_headers(remaining: &str, reset: i64) -> HeaderMap {
        let reset = at(reset).timestamp().to_string();
        headers(&[
            ("x-ratelimit-limit", "5000"),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", &reset),
            ("x-ratelimit-resource", "core"),
        ])
    }

    #[test]
    fn retry_after_in_seconds_comes_first() {
        let mut all = budget_headers("0", 3000);
        all.insert("retry-after", HeaderValue::from_static("30"));
        assert_eq!(
            verdict(&refused(&all, true), at(0)),
            LimitVerdict::Until(at(30))
        );
    }

    #[test]
    fn retry_after_as_a_date_is_measured_on_the_servers_clock() {
        // The local clock is an hour behind the server's.
        let server_now = at(3600).to_rfc2822();
        let until = at(3608).to_rfc2822();
        let all = headers(&[("date", &server_now), ("retry-after", &until)]);
        assert_eq!(
            verdict(&refused(&all, true), at(0)),
            LimitVerdict::Until(at(8))
        );
    }

    #[test]
    fn an_exhausted_budget_waits_for_its_reset() {
        let all = budget_headers("0", 600);
        assert_eq!(
            verdict(&refused(&all, true), at(0)),
            LimitVerdict::Exhausted(at(601))
        );
    }

    #[test]
    fn signs_of_a_secondary_limit_count_when_budget_is_left() {
        let all = budget_headers("4000", 600);
        assert_eq!(
            verdict(&refused(&all, true), at(0)),
            LimitVerdict::Secondary
        );
        let named = headers(&[("gh-limited-by", "search-elapsed-time-shared-grouped")]);
        assert_eq!(
            verdict(&refused(&named, false), at(0)),
            LimitVerdict::Secondary
        );
    }

    #[test]
    fn a_403_without_any_sign_is_no_limit() {
        let all = budget_headers("4000", 600);
        assert_eq!(
            verdict(&refused(&all, false), at(0)),
            LimitVerdict::NotLimited
        );
        let last_one = budget_headers("1", 600);
        assert_eq!(
            verdict(&refused(&last_one, false), at(0)),
            LimitVerdict::NotLimited
        );
    }

    #[test]
    fn an_absurd_header_does_not_stop_a_town_for_good() {
        let all = headers(&[("retry-after", "4000000000")]);
        assert_eq!(
            verdict(&refused(&all, true), at(0)),
            LimitVerdict::Until(at(7200))
        );
        let all = budget_headers("0", 400_000_000);
        assert_eq!(
            verdict(&refused(&all, true), at(0)),
            LimitVerdict::Exhausted(at(7201))
        );
    }

    #[test]
    fn an_exhausted_budget_stops_all_callers_until_it_is_full() {
        let mut limits = RateLimits::new(MergeFloor::default());
        let all = budget_headers("0", 600);
        assert_eq!(
            limits.observe("u", "core", refused(&all, true), at(0)),
            Some(at(601))
        );
        for urgency in [Urgency::Watch, Urgency::Merge] {
            let admission = limits.admit("u", "core", urgency, at(600));
            assert_eq!(admission, Admission::NotBefore(at(601)));
            assert_eq!(limits.admit("u", "core", urgency, at(601)), Admission::Now);
        }
        // Neither another owner nor another resource of this one waits for it.
        for (owner, resource) in [("other", "core"), ("u", "graphql")] {
            let admission = limits.admit(owner, resource, Urgency::Watch, at(0));
            assert_eq!(admission, Admission::Now, "{owner} {resource}");
        }
    }

    #[test]
    fn the_floor_is_kept_for_merges() {
        let mut limits = RateLimits::new(MergeFloor { percent: 10 });
        limits.observe("u", "core", good(&budget_headers("501", 600)), at(0));
        assert_eq!(
            limits.admit("u", "core", Urgency::Watch, at(1)),
            Admission::Now
        );
        let stopped = limits.admit("u", "core", Urgency::Watch, at(1));
        assert_eq!(stopped, Admission::NotBefore(at(600)));
        for _ in 0..500 {
            assert_eq!(
                limits.admit("u", "core", Urgency::Merge, at(1)),
                Admission::Now
            );
        }
        let stopped = limits.admit("u", "core", Urgency::Merge, at(1));
        assert_eq!(stopped, Admission::NotBefore(at(600)));
        assert_eq!(
            limits.admit("u", "graphql", Urgency::Watch, at(1)),
            Admission::Now
        );
        assert_eq!(
            limits.admit("u", "core", Urgency::Watch, at(600)),
            Admission::Now
        );
    }

    #[test]
    fn secondary_pauses_double_and_a_good_answer_ends_them() {
        let mut limits = RateLimits::default();
        let none = HeaderMap::new();
        let mut now = 0;
        for pause in [60, 120, 240, 480, 960, 1920, 3600, 3600] {
            let until = limits.observe("u", "core", refused(&none, true), at(now));
            assert_eq!(until, Some(at(now + pause)));
            // Others that were under way do not double it again.
            let same = limits.observe("u", "graphql", refused(&none, true), at(now + 1));
            assert_eq!(same, until);
            // A good answer of one that was sent earlier does not lift it.
            limits.observe("u", "core", good(&none), at(now + 2));
            let stopped = limits.admit("u", "graphql", Urgency::Merge, at(now + 2));
            assert_eq!(stopped, Admission::NotBefore(at(now + pause)));
            now += pause;
        }
        limits.observe("u", "core", good(&none), at(now));
        let until = limits.observe("u", "core", refused(&none, true), at(now));
        assert_eq!(until, Some(at(now + 60)));
    }

    #[test]
    fn the_host_reads_the_budget_nearest_to_its_end() {
        let mut limits = RateLimits::default();
        assert_eq!(limits.budget("u", at(0)), None);
        limits.observe("u", "core", good(&budget_headers("4000", 600)), at(0));
        let mut graphql = budget_headers("90", 900);
        graphql.insert("x-ratelimit-limit", HeaderValue::from_static("5000"));
        graphql.insert("x-ratelimit-resource", HeaderValue::from_static("graphql"));
        limits.observe("u", "graphql", good(&graphql), at(0));
        let budget = limits.budget("u", at(0)).unwrap();
        assert_eq!(
            budget,
            ApiBudget {
                remaining: 90,
                resets_at: at(900)
            }
        );
        assert_eq!(limits.budget("u", at(900)), None);
        limits.observe(
            "u",
            "core",
            refused(&headers(&[("retry-after", "5")]), true),
            at(0),
        );
        assert_eq!(
            limits.budget("u", at(0)),
            Some(ApiBudget {
                remaining: 0,
                resets_at: at(5)
            })
        );
    }

    #[test]
    fn a_server_without_limits_never_stops_anyone() {
        let mut limits = RateLimits::default();
        limits.observe("u", "core", good(&HeaderMap::new()), at(0));
        assert_eq!(
            limits.admit("u", "core", Urgency::Watch, at(0)),
            Admission::Now
        );
        assert_eq!(limits.budget("u", at(0)), None);
    }

    #[test]
    fn owners_are_forgotten_at_the_limit() {
        let mut limits = RateLimits::default();
        for number in 0..OWNERS_MAX + 5 {
            let owner = format!("{number:06}");
            limits.observe(&owner, "core", good(&budget_headers("1", 600)), at(0));
        }
        assert_eq!(limits.owners.len(), OWNERS_MAX);
        assert!(limits.bucket("000000", "core").is_none());
    }
}
