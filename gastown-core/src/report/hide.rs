//! Takes secrets out of JSON texts, and leaves every other byte as it is: a replay compares bytes.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::{Map, Value};

use crate::mask::Masker;
use crate::secret::{REDACTED, Secret};
use crate::store::Row;

/// The settings whose values may be credentials, as they begin in JSON.
const ENVIRONMENT: &str = r#""env_vars":{"#;

/// What the names of variables that hold credentials have in them.
const CREDENTIAL_WORDS: [&str; 7] = [
    "KEY",
    "TOKEN",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "CREDENTIAL",
];

/// Takes the secrets of one town out of texts.
pub(super) struct Hider {
    masker: Masker,
    /// The values of `env_vars`, as JSON, in the order in which they were first seen. Each has a
    /// mask of its own: where one takes the place of another, a replay has to see a change.
    values: BTreeMap<String, usize>,
}

impl Hider {
    /// `known` are the town's secrets, `texts` are all that will be hidden.
    pub(super) fn new<'a>(
        known: impl IntoIterator<Item = String>,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut secrets = Vec::new();
        for text in known {
            add_secret(&mut secrets, &text);
        }
        let mut values = BTreeMap::new();
        for text in texts {
            each_environment(text, |variables| {
                for (name, value) in variables {
                    let next = values.len().saturating_add(1);
                    values.entry(value.to_string()).or_insert(next);
                    let value = value.as_str().filter(|value| !is_mask(value));
                    if let (true, Some(value)) = (names_credential(name), value) {
                        add_secret(&mut secrets, value);
                    }
                }
            });
        }
        Self {
            masker: Masker::new(&secrets),
            values,
        }
    }

    /// A JSON text without secrets.
    pub(super) fn hide(&self, json: &str) -> String {
        let masked = |value: &Value| match self.values.get(&value.to_string()) {
            Some(number) => format!("[redacted {number}]"),
            None => REDACTED.to_string(),
        };
        let json = each_environment(json, |variables| {
            variables
                .values_mut()
                .for_each(|value| *value = masked(value).into());
        });
        self.masker.mask(&json)
    }
}

/// The secrets that a town's rows hold.
pub(super) fn secrets_of(rows: &[Row]) -> Vec<String> {
    let texts = rows
        .iter()
        .map(|row| serde_json::from_str::<BTreeMap<String, String>>(&row.body));
    texts
        .flat_map(Result::unwrap_or_default)
        .map(|(_, text)| text)
        .collect()
}

/// Also as it stands within JSON, where a secret may hold what has to be escaped.
fn add_secret(secrets: &mut Vec<Secret>, text: &str) {
    let escaped = Value::from(text).to_string();
    secrets.push(Secret::new(escaped.trim_matches('"')));
    secrets.push(Secret::new(text));
}

/// Whether the value comes from a report that was imported.
fn is_mask(value: &str) -> bool {
    value.starts_with("[redacted")
}

/// Whether the value of such a variable is taken out wherever it stands. Others are often words of
/// everyday, a language or an address, without which nobody could read the report.
fn names_credential(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    name.ends_with("_PAT") || CREDENTIAL_WORDS.iter().any(|word| name.contains(word))
}

/// The text with every `env_vars` object as `change` leaves it.
fn each_environment(json: &str, mut change: impl FnMut(&mut Map<String, Value>)) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find(ENVIRONMENT) {
        // The object begins with the brace that the pattern ends with.
        let begin = at.saturating_add(ENVIRONMENT.len()).saturating_sub(1);
        let (before, object) = rest.split_at(begin);
        out.push_str(before);
        let mut values = serde_json::Deserializer::from_str(object).into_iter::<Value>();
        match values.next() {
            Some(Ok(Value::Object(mut variables))) => {
                change(&mut variables);
                out.push_str(&Value::Object(variables).to_string());
                rest = object.get(values.byte_offset()..).unwrap_or_default();
            }
            // Not an object of ours after all: the pattern stood within a text.
            Some(_) | None => rest = object,
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::RowKey;

    fn hider(secret: &str, texts: &[&str]) -> Hider {
        let row = Row {
            key: RowKey {
                kind: "secrets".into(),
                id: "town".into(),
            },
            working: true,
            body: serde_json::json!({"llm_token": secret}).to_string(),
        };
        Hider::new(secrets_of(&[row]), texts.iter().copied())
    }

    #[test]
    fn secrets_are_masked_and_the_rest_stays_byte_by_byte() {
        let cases = [
            (
                r#"{ "b":1.0, "a":"say tok-12345678 twice: tok-12345678" }"#,
                r#"{ "b":1.0, "a":"say [redacted] twice: [redacted]" }"#,
            ),
            (
                r#"{"config":{"env_vars":{"A":"x","B":"y"},"owner":"z"},"url":"https://u:p@h/x"}"#,
                r#"{"config":{"env_vars":{"A":"[redacted 1]","B":"[redacted 2]"},"owner":"z"},"url":"https://[redacted]@h/x"}"#,
            ),
            (r#"{"env_vars":{}}"#, r#"{"env_vars":{}}"#),
            (
                r#"{"t":"\"env_vars\":{ is a setting","git_url":"ssh://git@h/a"}"#,
                r#"{"t":"\"env_vars\":{ is a setting","git_url":"ssh://git@h/a"}"#,
            ),
            (
                r#"{"t":"\nghp_0123456789abcdef\n"}"#,
                r#"{"t":"\n[redacted]\n"}"#,
            ),
        ];
        for (text, expected) in cases {
            let hidden = hider("tok-12345678", &[text]).hide(text);
            assert_eq!(hidden, expected);
            serde_json::from_str::<Value>(&hidden).unwrap();
        }
    }

    #[test]
    fn a_secret_that_json_escapes_is_masked() {
        let key = "-----BEGIN KEY-----\nMIIE\"pAIB\\AAKCAQEA\n-----END KEY-----";
        let text = serde_json::json!({ "t": alloc::format!("x {key} y") }).to_string();
        assert_eq!(hider(key, &[]).hide(&text), r#"{"t":"x [redacted] y"}"#);
    }

    /// Else a replay would take a change for none.
    #[test]
    fn each_value_of_the_environment_has_its_own_mask() {
        let texts = [
            r#"{"env_vars":{"A":"x","LANG":"y"}}"#,
            r#"{"env_vars":{"A":"z","LANG":"x"}}"#,
        ];
        let hider = hider("tok-12345678", &texts);
        let hidden = texts.map(|text| hider.hide(text));
        assert_eq!(
            hidden,
            [
                r#"{"env_vars":{"A":"[redacted 1]","LANG":"[redacted 2]"}}"#,
                r#"{"env_vars":{"A":"[redacted 3]","LANG":"[redacted 1]"}}"#,
            ]
        );
    }

    #[test]
    fn credentials_of_the_environment_are_masked_wherever_they_stand() {
        let settings = r#"{"env_vars":{"API_KEY":"k3y-of-nobody","STAGE":"production"}}"#;
        let note = r#"{"note":"401 for k3y-of-nobody in production"}"#;
        assert_eq!(
            hider("tok-12345678", &[note, settings]).hide(note),
            r#"{"note":"401 for [redacted] in production"}"#
        );
    }
}
