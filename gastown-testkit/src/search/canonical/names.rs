//! What names, times and sessions mean in one state.

use gastown_core::{Timestamp, Town};

use super::digest::{Digest, Mark};
use super::{GRID, Horizon};

/// What names and sessions mean in one state.
pub(crate) struct Names<'a> {
    now: i64,
    horizon: Horizon,
    /// The engine-made names in their order as texts, with their rank by age.
    ranks: Vec<(&'a str, usize)>,
    /// The current session of each agent, in order of their ids.
    sessions: Vec<(&'a str, u64)>,
}

impl<'a> Names<'a> {
    pub(crate) fn of(town: &'a Town, now: Timestamp, horizon: Horizon) -> Self {
        let beads = town.beads().map(|bead| bead.id.as_str());
        let agents = town.agents().map(|agent| agent.id.as_str());
        let nudges = town.nudges().map(|nudge| nudge.id.as_str());
        let mut made: Vec<(u64, &str)> = beads
            .chain(agents)
            .chain(nudges)
            .filter_map(|id| Some((id.strip_prefix("x-")?.get(1..)?.parse().ok()?, id)))
            .collect();
        made.sort_unstable();
        let mut ranks: Vec<(&str, usize)> = (0..)
            .zip(made)
            .map(|(rank, (_, name))| (name, rank))
            .collect();
        ranks.sort_unstable();
        Self {
            now: now.as_millis(),
            horizon,
            ranks,
            sessions: town
                .agents()
                .map(|agent| (agent.id.as_str(), agent.session))
                .collect(),
        }
    }

    /// A text, with engine-made names replaced by their ranks and times by ages.
    pub(crate) fn text(&self, text: &str, out: &mut Digest) {
        if let Some(at) = time_of(text) {
            let age = (self.now - at).div_euclid(GRID);
            // Ages are clamped to so few steps that they are small numbers.
            let age = age.clamp(-self.horizon.old, self.horizon.old);
            return out.age(age as i8);
        }
        let Some(mut at) = name_in(text) else {
            return out.text(text);
        };
        out.mark(Mark::Parts);
        let mut rest = text;
        loop {
            let (before, from) = rest.split_at(at);
            out.text(before);
            let (name, after) = from.split_at(name_length(from));
            match (rank_of(&self.ranks, name), name.chars().nth(2)) {
                (Some(rank), Some(kind)) => out.name(kind, rank),
                _ => out.text(name),
            }
            rest = after;
            match name_in(rest) {
                Some(next) => at = next,
                None => break,
            }
        }
        out.text(rest);
        out.mark(Mark::PartsEnd);
    }

    /// Failed dispatches of an agent beyond which no more count.
    pub(crate) fn attempts(&self) -> u64 {
        self.horizon.attempts
    }

    /// The current session of an agent; zero for one that is not there.
    pub(crate) fn session_of(&self, agent: &str) -> u64 {
        rank_of(&self.sessions, agent).unwrap_or(0)
    }
}

/// How far a session lies behind the current one; further than one is the same to every rule.
pub(crate) fn behind(current: u64, session: u64) -> u64 {
    current.saturating_sub(session).min(2)
}

fn rank_of<T: Copy>(sorted: &[(&str, T)], name: &str) -> Option<T> {
    let at = sorted.binary_search_by_key(&name, |(name, _)| name).ok()?;
    sorted.get(at).map(|(_, rank)| *rank)
}

/// Where something that looks like a name of the searched town `x` begins.
fn name_in(text: &str) -> Option<usize> {
    text.as_bytes().windows(2).position(|two| two == b"x-")
}

/// How long it is: a letter and digits follow.
fn name_length(text: &str) -> usize {
    text.char_indices()
        .skip(3)
        .find(|(_, character)| !character.is_ascii_digit())
        .map_or(text.len(), |(end, _)| end)
}

/// The milliseconds since 1970 of a text in the form in which the engine writes times.
fn time_of(text: &str) -> Option<i64> {
    let [
        y1,
        y2,
        y3,
        y4,
        b'-',
        m1,
        m2,
        b'-',
        d1,
        d2,
        b'T',
        h1,
        h2,
        b':',
        n1,
        n2,
        b':',
        s1,
        s2,
        b'.',
        f1,
        f2,
        f3,
        b'Z',
    ] = text.as_bytes()
    else {
        return None;
    };
    let (year, month, day) = (
        digits([y1, y2, y3, y4])?,
        digits([m1, m2])?,
        digits([d1, d2])?,
    );
    let (hour, minute) = (digits([h1, h2])?, digits([n1, n2])?);
    let (second, milli) = (digits([s1, s2])?, digits([f1, f2, f3])?);
    // Whether a month has so many days, or a minute a 61st second, is asked of the calendar.
    let is_plain = (1..=12).contains(&month) && (1..=28).contains(&day);
    if !is_plain || hour > 23 || minute > 59 || second > 59 {
        return text.parse::<Timestamp>().ok().map(Timestamp::as_millis);
    }
    // Years that begin in March end with the day that leap years have more.
    let (year, month) = match month {
        1 | 2 => (year - 1, month + 9),
        _ => (year, month - 3),
    };
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let days = 365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1_000 + milli)
}

fn digits<const N: usize>(digits: [&u8; N]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + i64::from(**digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::time_of;
    use gastown_core::Timestamp;

    #[test]
    fn times_are_read_as_the_engine_reads_them() {
        let day = 86_400_000;
        for n in -60_000..60_000_i64 {
            let time = Timestamp::from_millis(n * day + n * 7_919);
            assert_eq!(time_of(&time.to_string()), Some(time.as_millis()), "{time}");
        }
        for time in [Timestamp::MIN, Timestamp::MAX] {
            assert_eq!(time_of(&time.to_string()), Some(time.as_millis()), "{time}");
        }
        for text in [
            "2026-02-30T00:00:00.000Z",
            "2026-13-01T00:00:00.000Z",
            "2026-04-04T24:00:00.000Z",
            "2026-04-04 12:00:00.000Z",
            "2026-04-04T12:00:0x.000Z",
            "",
        ] {
            assert_eq!(time_of(text), None, "{text}");
        }
    }
}
