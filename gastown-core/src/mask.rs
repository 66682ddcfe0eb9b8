//! Keeps secrets out of logs, errors and reports (invariant I17).

mod forms;

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::Range;

use serde_json::Value;

use self::forms::Forms;
use crate::branches::hyphenated;
use crate::secret::{REDACTED, Secret};

/// A shorter text is no secret worth the name: masking it would eat ordinary words.
const SECRET_BYTES_MIN: usize = 8;
/// The slug of [`REDACTED`]: a branch that is named after a masked title has the same name.
const REDACTED_SLUG: &str = "redacted";
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
/// A secret is known whole and by each of its lines, as it is, as JSON writes it, and as URLs do. Other forms
/// of it (base64, a digest, a part) are not known.
///
/// ```
/// use gastown_core::{Masker, Secret};
/// let masker = Masker::new([&Secret::new("hunter2-hunter2")]);
/// assert_eq!(masker.mask("login hunter2-hunter2"), "login [redacted]");
/// assert_eq!(masker.mask("https://me:pw@host/x"), "https://[redacted]@host/x");
/// ```
#[derive(Clone, Default)]
pub struct Masker {
    /// The secrets as they are written.
    forms: Forms,
    /// The same in branch names, if what the engine made of secrets is looked for.
    slugs: Option<Forms>,
}

impl core::fmt::Debug for Masker {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Masker")
            .field("forms", &self.forms.len())
            .finish()
    }
}

impl Masker {
    /// A masker for these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let texts = secrets.into_iter().filter_map(Secret::expose);
        let forms = texts.flat_map(parts).flat_map(written);
        Self {
            forms: Forms::new(forms),
            slugs: None,
        }
    }

    /// One that also knows what the engine makes of a text that holds them: branch names, and the beginning
    /// of a secret where the text was cut.
    pub(crate) fn of_records(secrets: &[Secret]) -> Self {
        let texts = secrets.iter().filter_map(Secret::expose);
        let slugs = texts.flat_map(parts).map(hyphenated);
        let masker = Self::new(secrets);
        // What is its own slug may stand anywhere.
        let slugs = slugs.filter(|slug| !masker.knows(slug));
        let slugs = Some(Forms::new(slugs));
        Self { slugs, ..masker }
    }

    /// Whether a text is a secret, whole, or a line of one.
    pub(crate) fn knows(&self, text: &str) -> bool {
        self.forms.contains(text)
    }

    /// `text` without its secrets.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut found = Vec::new();
        self.forms.find(text, &mut found);
        if self.slugs.is_some() {
            self.forms.find_cut(text, &ends(text, false), &mut found);
        }
        let mut found: Vec<Found> = found.into_iter().map(|range| (range, REDACTED)).collect();
        if let Some(slugs) = &self.slugs {
            let mut slugged = Vec::new();
            slugs.find(text, &mut slugged);
            slugs.find_cut(text, &ends(text, true), &mut slugged);
            found.extend(slugged.into_iter().map(|range| (range, REDACTED_SLUG)));
        }
        mask_tokens(&mask_user_info(&without(text, found)))
    }
}

/// Where a secret stands, and what is to stand there.
type Found = (Range<usize>, &'static str);

/// Where a text may have been cut: at its end and before an ellipsis; a slug also before the next part of a
/// branch name.
fn ends(text: &str, of_slugs: bool) -> Vec<usize> {
    let marks = text.match_indices(|c| c == '…' || (of_slugs && c == '/'));
    let ends = marks.map(|(at, _)| text.get(..at).unwrap_or_default().trim_end().len());
    ends.chain(core::iter::once(text.len())).collect()
}

/// Whether a secret is long enough to be masked.
pub(crate) fn is_worth_masking(secret: &str) -> bool {
    secret.trim().len() >= SECRET_BYTES_MIN
}

/// What of a secret is looked for: one of several lines is quoted whole or by a line.
fn parts(secret: &str) -> impl Iterator<Item = &str> {
    let parts = core::iter::once(secret)
        .chain(secret.lines())
        .map(str::trim);
    parts.filter(|part| is_worth_masking(part))
}

/// How a part of a secret may be written.
fn written(part: &str) -> [String; 4] {
    let in_url = |hex| {
        let bytes = part.bytes();
        bytes.map(|byte| as_in_url(byte, hex)).collect()
    };
    [
        part.to_owned(),
        as_json(part),
        in_url(b"0123456789ABCDEF"),
        in_url(b"0123456789abcdef"),
    ]
}

/// A byte as it stands in a part of a URL.
fn as_in_url(byte: u8, hex: &[u8; 16]) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        return char::from(byte).into();
    }
    let digit = |digit: u8| hex.get(usize::from(digit)).copied().map(char::from);
    ['%']
        .into_iter()
        .chain(digit(byte >> 4))
        .chain(digit(byte & 15))
        .collect()
}

/// The text with masks in the places of what was found. Those that overlap are one: of none a piece is left.
fn without(text: &str, mut found: Vec<Found>) -> String {
    found.sort_by_key(|(range, mask)| (range.start, range.end, *mask));
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    let mut found = found.into_iter().peekable();
    while let Some((mut range, mut mask)) = found.next() {
        while let Some((next, other)) = found.next_if(|(next, _)| next.start < range.end) {
            range.end = range.end.max(next.end);
            if other == REDACTED {
                mask = other;
            }
        }
        out.push_str(text.get(done..range.start).unwrap_or_default());
        out.push_str(mask);
        done = range.end;
    }
    out.push_str(text.get(done..).unwrap_or_default());
    out
}

/// A text as it stands between the quotes of JSON. Quotes of its own are part of it: a value of an
/// `.env` file may begin and end with one.
pub(crate) fn as_json(text: &str) -> String {
    let quoted = Value::from(text).to_string();
    let inner = quoted
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.unwrap_or(&quoted).to_owned()
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
            ("abcdefgh-longerabcdefgh", "[redacted][redacted]"),
            ("abcdefgh-longabcdefg", "[redacted]-longabcdefg"),
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
        assert_eq!(format!("{masker:?}"), "Masker { forms: 2 }");
    }

    /// Whichever were masked first would leave a piece of the other.
    #[test]
    fn of_secrets_that_overlap_nothing_is_left() {
        let secrets = ["abcdefghij", "ghij-klmno-pq", "-klmno-p"].map(Secret::new);
        let masked = Masker::new(&secrets).mask("x abcdefghij-klmno-pq y");
        assert_eq!(masked, "x [redacted] y");
    }

    /// Made of a secret by the engine, or cut within one.
    #[test]
    fn slugs_and_beginnings_of_secrets_are_masked_in_records() {
        let secret = "Zk9Q2_xW7pLm4RtY8vBn3CsD6fGh1JkA";
        let long = "Ab1_".repeat(30);
        let secrets = [secret, &*long, "lower-case-1"].map(Secret::new);
        let masker = Masker::of_records(&secrets);
        assert_eq!(crate::branches::slug(REDACTED, ""), REDACTED_SLUG);
        let branch = |title: &str| {
            let convoy = crate::ids::BeadId::new("c1").unwrap();
            crate::branches::feature_branch(title, &convoy)
        };
        for (text, expected) in [
            (
                branch(&format!("Try {secret}")),
                "convoy/try-redacted/c1/head",
            ),
            (
                branch(&format!("Try {secret} and more")),
                "convoy/try-redacted-and/c1/head",
            ),
            (
                branch(&format!("Why did anyone try {secret}?")),
                "convoy/why-did-anyone-try-redacted/c1/head",
            ),
            (branch(&long), "convoy/redacted/c1/head"),
            (branch("Try lower-case-1"), "convoy/try-[redacted]/c1/head"),
            // By hand: what the engine would have cut there.
            ("x Zk9Q2_xW".into(), "x [redacted]"),
            (
                "x Zk9Q2_xW… and Zk9Q2_xW7p … (cut; it had 70000 bytes)".into(),
                "x [redacted]… and [redacted] … (cut; it had 70000 bytes)",
            ),
            // Too little to tell, not cut, and another one.
            ("x Zk9Q2_x".into(), "x Zk9Q2_x"),
            ("x Zk9Q2_xW y".into(), "x Zk9Q2_xW y"),
            ("x Zk9Q2_xWz".into(), "x Zk9Q2_xWz"),
            ("convoy/zk9q2-x/zk9q2-xw7".into(), "convoy/zk9q2-x/redacted"),
        ] {
            assert_eq!(masker.mask(&text), expected, "{text}");
        }
        let text = "x Zk9Q2_xW";
        assert_eq!(Masker::new(&secrets).mask(text), text, "what nobody cut");
    }

    #[test]
    fn a_secret_in_a_url_is_masked() {
        let masker = Masker::new([&Secret::new("päss/word+1")]);
        for text in [
            "https://h/?p=p%C3%A4ss%2Fword%2B1&x",
            "https://h/?p=p%c3%a4ss%2fword%2b1&x",
        ] {
            assert_eq!(masker.mask(text), "https://h/?p=[redacted]&x");
        }
    }

    #[test]
    fn every_line_of_a_key_is_masked() {
        let key = Secret::new("-----BEGIN KEY-----\nMIIEpAIBAAKCAQEA\n-----END KEY-----\n");
        let masked = Masker::new([&key]).mask("err: MIIEpAIBAAKCAQEA");
        assert_eq!(masked, "err: [redacted]");
    }

    #[test]
    fn a_secret_and_each_of_its_lines_is_masked_as_json_writes_it() {
        let account = Secret::new("{\n  \"private_key_id\": \"0123abcd\",\n  \"b\": \"\\n\"\n}\n");
        let quoted = Secret::new("\"abc12345\"");
        let masker = Masker::new([&account, &quoted]);
        let cases = [
            (
                r#"{"note":"has \"private_key_id\": \"0123abcd\", in it"}"#,
                r#"{"note":"has [redacted] in it"}"#,
            ),
            (
                r#"{"note":"{\n  \"private_key_id\": \"0123abcd\",\n  \"b\": \"\\n\"\n}"}"#,
                r#"{"note":"[redacted]"}"#,
            ),
            (
                r#"{"note":"key \"abc12345\" bad"}"#,
                r#"{"note":"key [redacted] bad"}"#,
            ),
            (r#"key "abc12345" bad"#, "key [redacted] bad"),
        ];
        for (text, expected) in cases {
            assert_eq!(masker.mask(text), expected, "{text}");
        }
    }
}
