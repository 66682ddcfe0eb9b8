//! Keeps secrets out of logs, errors and reports (invariant I17).

use alloc::borrow::ToOwned;
use alloc::string::String;
use alloc::vec::Vec;

use crate::secret::{REDACTED, Secret};

/// A shorter text is no secret worth the name: masking it would eat ordinary words.
const SECRET_BYTES_MIN: usize = 8;
/// The user of SSH addresses; no secret.
const SSH_USER: &str = "git";
/// Beginnings by which tokens of common services are known, whoever they belong to.
const TOKEN_PREFIXES: [&str; 8] = [
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "sk-ant-",
];

/// Replaces secrets in texts by `[redacted]`: those that it was given, the credentials in URLs
/// (but not the `git@` that every SSH address begins with), and tokens of common services.
///
/// ```
/// use gastown_core::{Masker, Secret};
/// let masker = Masker::new([&Secret::new("hunter2-hunter2")]);
/// assert_eq!(masker.mask("login hunter2-hunter2"), "login [redacted]");
/// assert_eq!(masker.mask("https://me:pw@host/x"), "https://[redacted]@host/x");
/// ```
#[derive(Clone, Default)]
pub struct Masker {
    /// Longest first, so that no secret is cut by one that it contains.
    secrets: Vec<String>,
}

impl core::fmt::Debug for Masker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Masker")
            .field("secrets", &self.secrets.len())
            .finish()
    }
}

impl Masker {
    /// A masker for these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let texts = secrets.into_iter().filter_map(Secret::expose);
        // A secret of several lines is written line by line.
        let lines = texts.flat_map(str::lines).map(str::trim);
        let mut secrets: Vec<String> = lines
            .filter(|line| line.len() >= SECRET_BYTES_MIN)
            .map(str::to_owned)
            .collect();
        secrets.sort_by_key(|secret| core::cmp::Reverse(secret.len()));
        Self { secrets }
    }

    /// `text` without its secrets.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut out = text.to_owned();
        for secret in &self.secrets {
            if out.contains(secret.as_str()) {
                out = out.replace(secret.as_str(), REDACTED);
            }
        }
        mask_tokens(&mask_user_info(&out))
    }
}

/// Replaces the user info of every URL.
fn mask_user_info(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after
            .find(|c: char| c.is_whitespace() || "/?#'\"<>".contains(c))
            .unwrap_or(after.len());
        let (authority, tail) = after.split_at_checked(end).unwrap_or((after, ""));
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                out.push_str(if user == SSH_USER { user } else { REDACTED });
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

/// Replaces words that begin like a token of a common service.
fn mask_tokens(text: &str) -> String {
    let mut out = text.to_owned();
    for prefix in TOKEN_PREFIXES {
        let mut from = 0;
        while let Some(found) = out.get(from..).and_then(|rest| rest.find(prefix)) {
            let begin = from.saturating_add(found);
            let word = out.get(begin..).unwrap_or_default();
            let length = word
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
                .unwrap_or(word.len());
            // A prefix alone is documentation, not a token.
            if length >= prefix.len().saturating_add(SECRET_BYTES_MIN) {
                out.replace_range(begin..begin.saturating_add(length), REDACTED);
                from = begin.saturating_add(REDACTED.len());
            } else {
                from = begin.saturating_add(length);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn secrets_urls_and_tokens_are_masked_and_words_are_not() {
        let secrets = [
            Secret::new("abcdefgh"),
            Secret::new("abcdefgh-longer"),
            Secret::new("short"),
        ];
        let masker = Masker::new(&secrets);
        let cases = [
            ("x abcdefgh-longer y", "x [redacted] y"),
            ("short is no secret", "short is no secret"),
            (
                "fatal: https://u:p@h.example/a?x and ssh://git@h/b",
                "fatal: https://[redacted]@h.example/a?x and ssh://git@h/b",
            ),
            ("https://h/p@q stays", "https://h/p@q stays"),
            ("token ghp_0123456789abcdef.", "token [redacted]."),
            (
                "tokens begin with ghp_ or ghs_",
                "tokens begin with ghp_ or ghs_",
            ),
            ("ghp_aaaaaaaaaaaaghp_bbbbbbbbbbbb", "[redacted]"),
            ("é://é@é", "é://[redacted]@é"),
        ];
        for (text, expected) in cases {
            assert_eq!(masker.mask(text), expected, "{text}");
        }
        assert_eq!(format!("{masker:?}"), "Masker { secrets: 2 }");
    }

    #[test]
    fn every_line_of_a_key_is_masked() {
        let key = Secret::new("-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----\n");
        let masked = Masker::new([&key]).mask("err: MIIEpAIBAAKCAQEA");
        assert_eq!(masked, "err: [redacted]");
    }
}
