//! Text of agents on its way to a terminal.

/// The text in one line of at most `width` characters, with nothing in it that a terminal obeys.
pub(crate) fn line(text: &str, width: usize) -> String {
    let shown = |c: char| if steers(c) { ' ' } else { c };
    if text.chars().count() <= width {
        return text.chars().map(shown).collect();
    }
    let cut = text.chars().take(width.saturating_sub(1));
    cut.map(shown).chain(['…']).take(width).collect()
}

/// Control characters, and those that turn the direction of writing or show nothing.
fn steers(c: char) -> bool {
    let is_invisible = matches!(c,
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || is_invisible
}

#[cfg(test)]
mod tests {
    use super::line;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let clear_screen = "a\u{1b}[2Jb\u{9b}2J\r\nc\u{202e}d\u{7f}";
        assert_eq!(line(clear_screen, 80), "a [2Jb 2J  c d ");
    }

    #[test]
    fn what_is_too_long_is_cut_where_it_shows() {
        let cases = [(5, "äöüßé"), (4, "äöü…"), (1, "…"), (0, "")];
        for (width, expected) in cases {
            assert_eq!(line("äöüßé", width), expected);
        }
    }
}
