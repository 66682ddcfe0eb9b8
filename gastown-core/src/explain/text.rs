//! An explanation as a person reads it.

use core::fmt;

use super::{ExplainedCondition, ExplainedWait, Explanation};
use crate::time::Timestamp;
use crate::verdict::WaitFor;

/// The rule whose wait says when the engine looks at a pull request again.
const LOOKS: &str = "review/poll";
/// The rule whose waits are the conditions of *green* that do not hold.
const MERGES: &str = "review/merge";

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.conditions.is_empty() {
            self.write_conditions(f)?;
        }
        // What keeps it from being merged stands above, condition by condition.
        let waits = self
            .waits_for
            .iter()
            .filter(|wait| self.conditions.is_empty() || wait.rule != MERGES);
        let mut waits = waits.peekable();
        if waits.peek().is_some() {
            writeln!(f, "{} waits for:", self.bead_id)?;
        }
        for wait in waits {
            writeln!(f, "- {wait}")?;
        }
        if let Some(at) = self.looked_at_again() {
            writeln!(f, "The engine looks again at {at}.")?;
        }
        match &self.next_rule {
            Some(next) => write!(f, "Next, if no event comes: {} at {}.", next.rule, next.at),
            None => f.write_str("Nothing happens by itself; an event or a command has to come."),
        }
    }
}

impl Explanation {
    /// When its pull request is looked at again, if the passing of time alone leads to a look.
    fn looked_at_again(&self) -> Option<Timestamp> {
        self.waits_for.iter().find(|wait| wait.rule == LOOKS)?.until
    }

    fn write_conditions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.conditions.len();
        let met = self.conditions.iter().filter(|it| it.holds()).count();
        match met == all {
            true => writeln!(
                f,
                "{} is green: all of {all} conditions hold.",
                self.bead_id
            )?,
            false => writeln!(
                f,
                "{} is not green: {met} of {all} conditions hold.",
                self.bead_id
            )?,
        }
        // What is missing comes first: that is what people look for.
        let missing = self.conditions.iter().filter(|it| !it.holds());
        let holding = self.conditions.iter().filter(|it| it.holds());
        missing
            .chain(holding)
            .try_for_each(|condition| writeln!(f, "{condition}"))
    }
}

impl fmt::Display for ExplainedCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let green = &self.condition;
        let word = if green.holds { "yes" } else { "NO " };
        write!(f, "  {word} {:<12} {}", green.name, green.value)?;
        f.write_str(" (")?;
        match self.age_seconds {
            Some(age) => write!(f, "seen {} ago", Span(age))?,
            None if green.of_the_forge => f.write_str("never seen")?,
            None => f.write_str("known now")?,
        }
        if let Some(since) = green.since {
            write!(f, "; so since {since}")?;
        }
        let who = Who(green.changed_by, green.id.as_deref());
        match green.holds {
            true => write!(f, "; {who} can change it)"),
            false => write!(f, "; waits for {who})"),
        }
    }
}

impl fmt::Display for ExplainedWait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", Who(self.kind, self.id.as_deref()), self.text)?;
        if let Some(since) = self.since {
            write!(f, ", since {since}")?;
        }
        if let Some(until) = self.until {
            write!(f, ", until {until}")?;
        }
        write!(f, " ({})", self.rule)
    }
}

/// Who has to move, in words.
struct Who<'a>(WaitFor, Option<&'a str>);

impl fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (one, of) = match self.0 {
            WaitFor::Time => ("time", ""),
            WaitFor::Agent => ("an agent", "agent "),
            WaitFor::Bead => ("another bead", "bead "),
            WaitFor::Forge => ("the forge", "the forge, "),
            WaitFor::Person => ("a person", "a person, "),
            WaitFor::Condition => ("a condition", "condition "),
        };
        match self.1 {
            Some(id) => write!(f, "{of}{id}"),
            None => f.write_str(one),
        }
    }
}

/// A span of seconds in its two largest units.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(86_400, "d"), (3_600, "h"), (60, "min")];
        let mut rest = self.0;
        let mut written: u8 = 0;
        for (seconds, unit) in UNITS {
            let count = rest.checked_div(seconds).unwrap_or(0);
            rest = rest.saturating_sub(count.saturating_mul(seconds));
            if count > 0 && written < 2 {
                let space = if written > 0 { " " } else { "" };
                write!(f, "{space}{count} {unit}")?;
                written = written.saturating_add(1);
            }
        }
        match written {
            0 => write!(f, "{rest} s"),
            1 if rest > 0 && self.0 < 3_600 => write!(f, " {rest} s"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use super::Span;

    #[test]
    fn spans_are_shown_in_two_units() {
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61, "1 min 1 s"),
            (3_600, "1 h"),
            (3_661, "1 h 1 min"),
            (90_061, "1 d 1 h"),
        ] {
            assert_eq!(Span(seconds).to_string(), text);
        }
    }
}
