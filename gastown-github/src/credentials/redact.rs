//! Texts of others, made safe to show.

/// What stands where a credential stood.
const REDACTED: &str = "[redacted]";

/// The beginnings by which GitHub's credentials are known, and the shortest length of the rest.
/// An installation token may be a JWT behind its prefix, so dots belong to it.
const PREFIXES: [(&str, usize); 7] = [
    ("github_pat_", 8),
    ("ghp_", 8),
    ("gho_", 8),
    ("ghu_", 8),
    ("ghs_", 8),
    ("ghr_", 8),
    ("eyJ", 20),
];

/// The text with everything that looks like a credential of GitHub replaced.
///
/// ```
/// use gastown_github::credentials::redact;
/// assert_eq!(redact("bad token ghp_0123456789abcdef!"), "bad token [redacted]!");
/// ```
#[must_use]
pub fn redact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut word_start = None;
    let flush = |out: &mut String, word: &str| out.push_str(&redacted_word(word));
    for (at, character) in text.char_indices() {
        let in_word = character.is_ascii_alphanumeric() || matches!(character, '_' | '-' | '.');
        match (in_word, word_start) {
            (true, None) => word_start = Some(at),
            (true, Some(_)) => {}
            (false, None) => out.push(character),
            (false, Some(start)) => {
                flush(&mut out, text.get(start..at).unwrap_or_default());
                out.push(character);
                word_start = None;
            }
        }
    }
    if let Some(start) = word_start {
        flush(&mut out, text.get(start..).unwrap_or_default());
    }
    out
}

fn redacted_word(word: &str) -> String {
    let found = PREFIXES.iter().filter_map(|(prefix, rest_min)| {
        let at = word.find(prefix)?;
        let rest = word.len().saturating_sub(at).saturating_sub(prefix.len());
        (rest >= *rest_min).then_some(at)
    });
    match found.min() {
        Some(at) => format!("{}{REDACTED}", word.get(..at).unwrap_or_default()),
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_token_is_hidden() {
        let jwt = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiIxIn0.c2ln_bmF0-dXJl";
        for token in [
            "ghp_abcdefghijklmnopqrstuvwxyz0123456789".to_owned(),
            "github_pat_11ABCDEFG0_abcdefghijklmnop".to_owned(),
            format!("ghs_12345_{jwt}"),
            jwt.to_owned(),
        ] {
            let text = redact(&format!("https://x:{token}@github.com said \"{token}\""));
            assert_eq!(text, "https://x:[redacted]@github.com said \"[redacted]\"");
        }
    }

    #[test]
    fn other_texts_stay() {
        for text in ["", "ghs_ is a prefix", "Ärger mit eyJ…", "a.b-c_d e"] {
            assert_eq!(redact(text), text);
        }
    }
}
