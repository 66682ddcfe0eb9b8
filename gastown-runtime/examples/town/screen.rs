//! What a person sees while the town runs: a table that is drawn anew on a terminal, else a line
//! for each step.

use std::io::{self, IsTerminal, Stdout, Write};
use std::time::Duration;

use crate::board::{self, Line, Stage};
use crate::directory::Directory;
use crate::journal::{Journal, Step};
use crate::sanitize;

/// The width of a terminal that does not say.
const WIDTH_DEFAULT: usize = 80;
/// How many of the last steps stand below the table.
const STEPS_SHOWN: usize = 6;
/// The width of a line where there is no terminal.
const PLAIN_WIDTH: usize = 120;
const COMMIT_DIGITS: usize = 40;
const COMMIT_DIGITS_SHOWN: usize = 7;
const SPINNER: [&str; 4] = ["◐", "◓", "◑", "◒"];

/// What a person sees.
pub(crate) struct Screen {
    out: Stdout,
    is_terminal: bool,
    /// Steps that were printed, where there is no terminal.
    printed: usize,
    /// Lines of the last drawing, to be drawn over.
    drawn: usize,
    frame: usize,
}

impl Screen {
    /// Says where the town is. What an earlier run has shown is not shown again.
    pub(crate) fn begin(directory: &Directory, journal: &Journal) -> Self {
        let mut out = io::stdout();
        let path = directory.path().display();
        let head = match directory.is_resumed() {
            true => format!("The town in {path} goes on.\n"),
            false => format!("A new town in {path}\nWhatever stops it, `--dir {path}` goes on.\n"),
        };
        drop(out.write_all(head.as_bytes()));
        Self {
            is_terminal: out.is_terminal()
                && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
            out,
            printed: journal.steps.len(),
            drawn: 0,
            frame: 0,
        }
    }

    /// Shows what there is. A reader that has gone away does not matter to the town.
    pub(crate) fn show(&mut self, journal: &Journal, elapsed: Duration) {
        let shown = if self.is_terminal {
            self.draw(journal, elapsed)
        } else {
            self.print(journal, elapsed)
        };
        drop(shown);
    }

    fn print(&mut self, journal: &Journal, elapsed: Duration) -> io::Result<()> {
        let time = elapsed.as_secs_f64();
        for step in journal.steps.iter().skip(self.printed) {
            writeln!(
                self.out,
                "{time:6.1} s  {}",
                step_text(journal, step, PLAIN_WIDTH)
            )?;
        }
        self.printed = journal.steps.len();
        self.out.flush()
    }

    fn draw(&mut self, journal: &Journal, elapsed: Duration) -> io::Result<()> {
        let width = terminal_width();
        let spinner = self.spin();
        let table = board::lines(journal);
        let done = table
            .iter()
            .filter(|line| line.stage == Stage::Done)
            .count();
        let mut lines = vec![
            String::new(),
            format!(
                "\u{1b}[1m{done} of {} done\u{1b}[0m after {:.0} s and {} ticks",
                table.len(),
                elapsed.as_secs_f64(),
                journal.ticks
            ),
        ];
        lines.extend(table.iter().map(|line| table_line(line, spinner, width)));
        lines.push(String::new());
        let from = journal.steps.len().saturating_sub(STEPS_SHOWN);
        for step in journal.steps.iter().skip(from) {
            let text = step_text(journal, step, width.saturating_sub(2));
            lines.push(format!("\u{1b}[2m  {text}\u{1b}[0m"));
        }
        self.replace(&lines)
    }

    /// Draws over the last drawing, in one write, so that nothing flickers.
    fn replace(&mut self, lines: &[String]) -> io::Result<()> {
        let mut text = String::from("\u{1b}[?25l");
        if self.drawn > 0 {
            text.push_str(&format!("\u{1b}[{}A", self.drawn));
        }
        for line in lines {
            text.push_str(&format!("\r{line}\u{1b}[K\n"));
        }
        text.push_str("\u{1b}[J");
        self.drawn = lines.len();
        self.out.write_all(text.as_bytes())?;
        self.out.flush()
    }

    fn spin(&mut self) -> &'static str {
        self.frame = self.frame.wrapping_add(1);
        let at = self.frame.checked_rem(SPINNER.len()).unwrap_or(0);
        SPINNER.get(at).copied().unwrap_or(" ")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if self.is_terminal {
            // The cursor comes back whatever happened.
            drop(self.out.write_all(b"\x1b[?25h"));
            drop(self.out.flush());
        }
    }
}

fn table_line(line: &Line, spinner: &str, width: usize) -> String {
    let (sign, colour) = match line.stage {
        Stage::Waits => ("·", "2"),
        Stage::Works => (spinner, "33"),
        Stage::Reviews => (spinner, "36"),
        Stage::Repairs => (spinner, "35"),
        Stage::Done => ("✓", "32"),
        Stage::Failed => ("✗", "31"),
    };
    let agent = match &line.agent {
        Some((name, says)) if says.is_empty() => name.clone(),
        Some((name, says)) => format!("{name}: {says}"),
        None => String::new(),
    };
    let text = format!(
        "{sign} {:<24} {:<8} {:<25} {agent}",
        line.title, line.rig, line.state
    );
    let text = sanitize::line(text.trim_end(), width);
    format!("\u{1b}[{colour}m{text}\u{1b}[0m")
}

/// One step in one line.
fn step_text(journal: &Journal, step: &Step, width: usize) -> String {
    let bead = journal.beads.get(&step.bead);
    let title = bead.map_or(step.bead.as_str(), |bead| bead.title.as_str());
    let reason: Vec<String> = step
        .reason
        .message
        .split(' ')
        .map(|word| readable(journal, word))
        .collect();
    let (from, to) = (step.from.as_str(), step.to.as_str());
    let text = format!("{title}: {from} → {to} ({})", reason.join(" "));
    sanitize::line(&text, width)
}

/// Agents by their names, commits as short as git shows them.
fn readable(journal: &Journal, word: &str) -> String {
    if let Some(agent) = journal
        .agents
        .iter()
        .find(|agent| agent.id.as_str() == word)
    {
        return agent.name.clone();
    }
    let is_commit = word.len() == COMMIT_DIGITS && word.bytes().all(|b| b.is_ascii_hexdigit());
    let shown = if is_commit {
        COMMIT_DIGITS_SHOWN
    } else {
        usize::MAX
    };
    word.chars().take(shown).collect()
}

fn terminal_width() -> usize {
    rustix::termios::tcgetwinsize(io::stdout())
        .map(|size| usize::from(size.ws_col))
        .ok()
        .filter(|width| *width > 0)
        .unwrap_or(WIDTH_DEFAULT)
}
