//! Points in time, always an argument and never asked of a clock (design 5).

use alloc::string::{String, ToString};
use core::fmt;
use core::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A point in time in UTC, to the millisecond (spec 1.11).
///
/// Arithmetic saturates at the years 0000 and 9999, which RFC 3339 can still write.
///
/// ```
/// use core::time::Duration;
/// use gastown_core::Timestamp;
/// let start: Timestamp = "2026-04-04T12:00:00+02:00".parse()?;
/// assert_eq!(start.to_string(), "2026-04-04T10:00:00.000Z");
/// assert_eq!(start.plus(Duration::from_secs(90)).since(start), Duration::from_secs(90));
/// # Ok::<(), gastown_core::TimestampError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// A text that is not an RFC 3339 time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 time: \"{shown}\" ({problem})")]
pub struct TimestampError {
    shown: String,
    problem: String,
}

/// 0000-01-01T00:00:00.000Z in milliseconds since 1970.
const MILLIS_MIN: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z in milliseconds since 1970.
const MILLIS_MAX: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The earliest time that can be written.
    pub const MIN: Timestamp = Timestamp(MILLIS_MIN);
    /// The latest time that can be written.
    pub const MAX: Timestamp = Timestamp(MILLIS_MAX);

    /// The time `millis` milliseconds after 1970-01-01T00:00:00Z, within [`Self::MIN`] and
    /// [`Self::MAX`].
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        if millis < MILLIS_MIN {
            Self::MIN
        } else if millis > MILLIS_MAX {
            Self::MAX
        } else {
            Timestamp(millis)
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// This time and `span` after it; saturates.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_add(millis))
    }

    /// This time less `span`; saturates.
    #[must_use]
    pub fn minus(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.0.saturating_sub(millis))
    }

    /// The age of `earlier` at this time; a time in the future counts as age zero (spec 1.10).
    #[must_use]
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The first millisecond at which something that happened now is *strictly older* than
    /// `threshold` (spec 1.10).
    #[must_use]
    pub fn stale_at(self, threshold: Duration) -> Self {
        self.plus(threshold).plus(Duration::from_millis(1))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(time) => f.write_str(&time.to_rfc3339_opts(SecondsFormat::Millis, true)),
            // The range of the type lies within chrono's; shown as a number rather than lost.
            None => write!(f, "{} ms", self.0),
        }
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::str::FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        match DateTime::parse_from_rfc3339(text) {
            Ok(time) => Ok(Self::from_millis(time.timestamp_millis())),
            Err(error) => Err(TimestampError {
                shown: crate::ids::shown(text, 80),
                problem: error.to_string(),
            }),
        }
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(time: DateTime<Utc>) -> Self {
        Self::from_millis(time.timestamp_millis())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        "Timestamp".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string", "format": "date-time",
            "pattern": r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:\d{2})$",
        })
    }
}

/// ISO 8601 durations on the wire, such as `PT90S` or `P1DT2H` (spec 1.11).
pub(crate) mod iso_duration {
    use super::*;

    /// Writes a duration as ISO 8601, in whole days, hours, minutes, seconds and milliseconds.
    pub(crate) fn format(span: Duration) -> String {
        let millis = span.subsec_millis();
        let seconds = span.as_secs();
        let units = [
            (seconds / 86_400, 'D'),
            (seconds % 86_400 / 3_600, 'H'),
            (seconds % 3_600 / 60, 'M'),
        ];
        let mut out = String::from("P");
        for (count, unit) in units {
            if unit == 'H' {
                out.push('T');
            }
            if count > 0 {
                out.push_str(&alloc::format!("{count}{unit}"));
            }
        }
        match (seconds % 60, millis) {
            (0, 0) => {}
            (seconds, 0) => out.push_str(&alloc::format!("{seconds}S")),
            (seconds, millis) => out.push_str(&alloc::format!("{seconds}.{millis:03}S")),
        }
        if out.ends_with('T') {
            out.pop();
        }
        if out == "P" {
            String::from("PT0S")
        } else {
            out
        }
    }

    /// Reads weeks, days, hours, minutes and seconds (with a fraction of up to nine digits).
    /// Years and months have no fixed length and are refused.
    pub(crate) fn parse(text: &str) -> Option<Duration> {
        let body = text.strip_prefix('P')?;
        let (dates, times) = match body.split_once('T') {
            Some((_, "")) => return None,
            Some((dates, times)) => (dates, times),
            None => (body, ""),
        };
        if dates.is_empty() && times.is_empty() {
            return None;
        }
        let days = parse_units(dates, &[('W', 604_800), ('D', 86_400)])?;
        days.checked_add(parse_units(times, &[('H', 3_600), ('M', 60), ('S', 1)])?)
    }

    fn parse_units(mut text: &str, units: &[(char, u32)]) -> Option<Duration> {
        let mut total = Duration::ZERO;
        let mut allowed = units.iter();
        while !text.is_empty() {
            let at = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
            let (number, rest) = text.split_at_checked(at)?;
            let unit = rest.chars().next()?;
            // Units come at most once and in falling order, as ISO 8601 has them.
            let (_, seconds) = allowed.by_ref().find(|(name, _)| *name == unit)?;
            let (whole, nanos) = match number.split_once('.') {
                None => (number, 0),
                Some((whole, digits)) if unit == 'S' => (whole, parse_nanos(digits)?),
                Some(_) => return None,
            };
            let whole: u64 = whole.parse().ok()?;
            let span = Duration::new(whole.checked_mul(u64::from(*seconds))?, nanos);
            total = total.checked_add(span)?;
            text = rest.get(unit.len_utf8()..)?;
        }
        Some(total)
    }

    fn parse_nanos(digits: &str) -> Option<u32> {
        if digits.is_empty() || digits.len() > 9 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        alloc::format!("{digits:0<9}").parse().ok()
    }

    pub(crate) fn serialize<S: Serializer>(span: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format(*span))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(input: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(input)?;
        parse(&text).ok_or_else(|| {
            serde::de::Error::custom(alloc::format!(
                "not an ISO 8601 duration such as \"PT90S\": \"{}\"",
                crate::ids::shown(&text, 80)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn ages_never_go_below_zero() {
        let now = at("2026-04-04T12:00:00Z");
        assert_eq!(now.since(now.plus(Duration::from_secs(5))), Duration::ZERO);
        assert_eq!(
            now.since(now.minus(Duration::from_secs(5))),
            Duration::from_secs(5)
        );
    }

    #[test]
    fn stale_is_strictly_older() {
        let start = at("2026-04-04T12:00:00Z");
        let stale = start.stale_at(Duration::from_secs(90));
        assert_eq!(stale.to_string(), "2026-04-04T12:01:30.001Z");
    }

    #[test]
    fn arithmetic_saturates() {
        assert_eq!(Timestamp::MAX.plus(Duration::MAX), Timestamp::MAX);
        assert_eq!(Timestamp::MIN.minus(Duration::MAX), Timestamp::MIN);
        assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999Z");
        assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00.000Z");
        assert_eq!(at(&Timestamp::MIN.to_string()), Timestamp::MIN);
    }

    #[test]
    fn durations_round_trip() {
        for text in [
            "PT90S", "PT1M30S", "P1D", "P1DT2H", "PT0S", "PT0.250S", "P7D", "P2W",
        ] {
            let span = iso_duration::parse(text).unwrap();
            assert_eq!(
                iso_duration::parse(&iso_duration::format(span)),
                Some(span),
                "{text}"
            );
        }
        for bad in [
            "", "P", "PT", "90", "PT-1S", "P1Y", "P1M", "PT1S1M", "PT1.5M", "PTS", "P1DT",
        ] {
            assert_eq!(iso_duration::parse(bad), None, "{bad}");
        }
    }
}
