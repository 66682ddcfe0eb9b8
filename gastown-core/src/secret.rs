//! A text that never shows itself (spec 1.9, invariant I17).

mod retired;

use alloc::string::String;
use core::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

pub use self::retired::RetiredSecrets;

/// What a secret prints wherever it is shown.
pub const REDACTED: &str = "[redacted]";

/// A credential. It prints `[redacted]` in `Debug`, `Display` and every serialized form; only
/// [`Secret::expose`] gives the text.
///
/// A secret that was read back from its redacted form has no text: the value was not there.
///
/// ```
/// use gastown_core::Secret;
/// let token = Secret::new("ghp_0123456789abcdef");
/// assert_eq!(format!("{token} {token:?}"), "[redacted] [redacted]");
/// assert_eq!(token.masked(), "****cdef");
/// assert_eq!(token.expose(), Some("ghp_0123456789abcdef"));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Option<String>);

impl Secret {
    /// Takes a text into custody. The redacted form itself is no text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        Self((text != REDACTED).then_some(text))
    }

    /// The text, unless only the redacted form was ever seen.
    #[must_use]
    pub fn expose(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Four asterisks and the last four characters, for settings pages. Of a text with fewer than
    /// twelve characters nothing is shown.
    #[must_use]
    pub fn masked(&self) -> String {
        let mut out = String::from("****");
        if let Some(text) = &self.0 {
            let count = text.chars().count();
            if count >= 12 {
                out.extend(text.chars().skip(count.saturating_sub(4)));
            }
        }
        out
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(REDACTED)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        // What stands in the place of a secret may be one: it is not shown.
        match Value::deserialize(input)?.as_str() {
            Some(text) => Ok(Self::new(text)),
            None => Err(D::Error::custom(
                "expected a text; what was given is not shown",
            )),
        }
    }
}

/// Reads what holds secrets. What can't be read may be one in the wrong place: it is not shown.
pub(crate) fn unechoed<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: serde::de::DeserializeOwned,
    D: Deserializer<'de>,
{
    let expected = "an object with the texts github_token and platform_integration_id";
    read_unechoed(input, expected)
}

/// The same for the environment of agents.
pub(crate) fn unechoed_variables<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: serde::de::DeserializeOwned,
    D: Deserializer<'de>,
{
    read_unechoed(input, "an object of texts by the names of variables")
}

/// The same for the row of a town's secrets.
pub(crate) fn unechoed_secrets<'de, T, D>(input: D) -> Result<T, D::Error>
where
    T: serde::de::DeserializeOwned,
    D: Deserializer<'de>,
{
    read_unechoed(
        input,
        "an object of texts by their paths, and a list `retired`",
    )
}

/// What the names of variables that hold credentials have in them.
const CREDENTIAL_WORDS: [&str; 8] = [
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
    "SIGNATURE",
];

/// The same for words that are parts of many others: between underscores.
const CREDENTIAL_WORDS_WHOLE: [&str; 9] = [
    "PASS", "PWD", "PAT", "AUTH", "PRIVATE", "COOKIE", "DSN", "WEBHOOK", "SESSION",
];

/// Whether the value of such a variable is a secret wherever it stands. Others are often words of
/// everyday, a language or an address, without which nobody could read a report.
pub(crate) fn names_credential(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    // Of all shells: the directory.
    let is_directory = name == "PWD";
    let is_whole = |word| !is_directory && CREDENTIAL_WORDS_WHOLE.contains(&word);
    CREDENTIAL_WORDS.iter().any(|word| name.contains(word)) || name.split('_').any(is_whole)
}

/// Whether a value of the environment comes from a report that was imported: a mask in the place of one.
pub(crate) fn is_mask(value: &str) -> bool {
    value.starts_with("[redacted")
}

fn read_unechoed<'de, T, D>(input: D, expected: &str) -> Result<T, D::Error>
where
    T: serde::de::DeserializeOwned,
    D: Deserializer<'de>,
{
    let value = Value::deserialize(input)?;
    // serde takes a list of the fields for the object.
    let read = value.is_object().then(|| T::deserialize(value));
    read.and_then(Result::ok).ok_or_else(|| {
        D::Error::custom(format_args!(
            "expected {expected}; what was given is not shown"
        ))
    })
}

impl schemars::JsonSchema for Secret {
    fn schema_name() -> alloc::borrow::Cow<'static, str> {
        "Secret".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({"type": "string", "writeOnly": true, "format": "password"})
    }
}

#[cfg(test)]
mod tests {
    use super::names_credential;

    #[test]
    fn names_of_credentials_are_known() {
        for name in [
            "API_KEY",
            "DB_PASS",
            "SMTP_PWD",
            "BASIC_AUTH",
            "GITHUB_PAT",
            "session_cookie",
            "SENTRY_DSN",
            "SLACK_WEBHOOK_URL",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "REQUEST_SIGNATURE",
            "PRIVATE_PEM",
            "SESSION",
            "PGPASSWORD",
        ] {
            assert!(names_credential(name), "{name}");
        }
        for name in [
            "LANG",
            "STAGE",
            "AUTHOR",
            "COMPASS",
            "PWD",
            "PATH",
            "BYPASS_CACHE",
            "PATTERN",
            "",
        ] {
            assert!(!names_credential(name), "{name}");
        }
    }
}
