//! Takes secrets out of JSON texts, and leaves every other byte as it is: a replay compares bytes.
//!
//! What a string says is looked at, be it a value or a key, not the JSON around it: a secret may hold what JSON
//! escapes, or look like what stands between two strings.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Map, Value};

use crate::mask::Masker;
use crate::secret::{REDACTED, Secret, is_mask, names_credential};
use crate::store::Row;

/// The settings whose values may be credentials, as they begin in JSON.
const ENVIRONMENT: &str = r#""env_vars":{"#;

/// Takes the secrets of one town out of texts.
pub(super) struct Hider {
    masker: Masker,
    /// The values of `env_vars`, as JSON, in the order in which they were first seen. Each has a
    /// mask of its own: where one takes the place of another, a replay has to see a change.
    values: BTreeMap<String, usize>,
    /// Names of fields that are secrets as well: as keys they stay.
    fields: BTreeSet<String>,
}

impl Hider {
    /// `known` are the town's secrets, `texts` are all that will be hidden.
    pub(super) fn new<'a>(
        known: impl IntoIterator<Item = String>,
        texts: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let mut secrets: Vec<Secret> = known.into_iter().map(Secret::new).collect();
        let mut values = BTreeMap::new();
        for text in texts {
            each_environment(text, |variables| {
                for (name, value) in variables {
                    let next = values.len().saturating_add(1);
                    values.entry(value.to_string()).or_insert(next);
                    let value = value.as_str().filter(|value| !is_mask(value));
                    if let (true, Some(value)) = (names_credential(name), value) {
                        secrets.push(Secret::new(value));
                    }
                }
            });
        }
        Self {
            masker: Masker::of_records(&secrets),
            values,
            fields: BTreeSet::new(),
        }
    }

    /// The same, but keys of these names stay. They are known to everybody, and a record without them could
    /// not be read: `KEY_FIELD=priority` makes no secret of the field `priority`.
    pub(super) fn leaving(mut self, fields: BTreeSet<String>) -> Self {
        self.fields = fields;
        self.fields
            .retain(|field| self.masker.mask(field) != *field);
        self
    }

    /// A JSON text without secrets. One that is no JSON after all is hidden as text.
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
        let hidden = self.hide_strings(&json);
        hidden.unwrap_or_else(|| self.hide_text(&json))
    }

    /// What a string within JSON says, or a name, without secrets.
    pub(super) fn hide_text(&self, text: &str) -> String {
        self.masker.mask(text)
    }

    /// The JSON with each string hidden; none if it is no JSON.
    fn hide_strings(&self, json: &str) -> Option<String> {
        let _sound: IgnoredAny = serde_json::from_str(json).ok()?;
        let mut out = String::with_capacity(json.len());
        let mut rest = json;
        while let Some(at) = rest.find('"') {
            let (between, string) = rest.split_at_checked(at)?;
            self.hide_numbers(between, &mut out);
            let mut strings = Deserializer::from_str(string).into_iter::<String>();
            let text = strings.next()?.ok()?;
            let (written, after) = string.split_at_checked(strings.byte_offset())?;
            let is_key = after.trim_start().starts_with(':');
            let hidden = if is_key {
                self.hide_key(&text)
            } else {
                self.hide_text(&text)
            };
            if hidden == text {
                out.push_str(written);
            } else {
                out.push_str(&Value::from(hidden).to_string());
            }
            rest = after;
        }
        self.hide_numbers(rest, &mut out);
        Some(out)
    }

    /// A key, or as bead events have it the path of one.
    fn hide_key(&self, key: &str) -> String {
        let (mut path, mut rest) = (String::new(), key);
        while let Some((field, below)) = rest.split_once('.')
            && self.fields.contains(field)
        {
            path.push_str(field);
            path.push('.');
            rest = below;
        }
        if self.fields.contains(rest) {
            return key.to_owned();
        }
        path.push_str(&self.hide_text(rest));
        path
    }

    /// Of what stands between two strings only a number can be a secret; its mask is a string.
    fn hide_numbers(&self, between: &str, out: &mut String) {
        let is_between = |c: char| c.is_whitespace() || "{}[]:,".contains(c);
        for piece in between.split_inclusive(is_between) {
            let number = piece.trim_end_matches(is_between);
            if self.masker.knows(number) {
                out.push_str(&Value::from(REDACTED).to_string());
                out.push_str(piece.get(number.len()..).unwrap_or_default());
            } else {
                out.push_str(piece);
            }
        }
    }
}

/// The secrets that a town's rows hold, those of before among them: every text in them.
pub(super) fn secrets_of(rows: &[Row]) -> Vec<String> {
    let mut texts = Vec::new();
    for row in rows {
        // One that can't be read holds whatever it holds.
        let record = serde_json::from_str(&row.body).unwrap_or_else(|_| Value::from(&*row.body));
        add_texts(record, &mut texts);
    }
    texts
}

fn add_texts(value: Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text),
        Value::Array(items) => items.into_iter().for_each(|item| add_texts(item, texts)),
        Value::Object(fields) => fields
            .into_iter()
            .for_each(|(_, value)| add_texts(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
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
        let mut values = Deserializer::from_str(object).into_iter::<Value>();
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
    fn secrets_of_before_are_masked_and_so_are_those_of_a_row_that_nobody_can_read() {
        let text = r#"{"t":"tok-now-1 tok-one-1 tok-two-2"}"#;
        for (body, expected) in [
            (
                r#"{"llm_token":"tok-now-1","retired":["tok-one-1","tok-two-2"]}"#,
                r#"{"t":"[redacted] [redacted] [redacted]"}"#,
            ),
            (
                r#"{"llm_token":7,"of":{"before":"tok-one-1"}}"#,
                r#"{"t":"tok-now-1 [redacted] tok-two-2"}"#,
            ),
        ] {
            let row = Row {
                key: RowKey {
                    kind: "secrets".into(),
                    id: "town".into(),
                },
                working: true,
                body: body.into(),
            };
            assert_eq!(Hider::new(secrets_of(&[row]), []).hide(text), expected);
        }
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

    /// Else nobody could read the report.
    #[test]
    fn json_stays_json_whatever_the_secret_is() {
        let cases = [
            // Its quotes are its own, as those of an .env file.
            (
                r#""abc12345""#,
                r#"{"note":"key \"abc12345\" bad"}"#,
                r#"{"note":"key [redacted] bad"}"#,
            ),
            (
                r#"one","b":"two"#,
                r#"{"a":"one","b":"two"}"#,
                r#"{"a":"one","b":"two"}"#,
            ),
            (
                "\\\\\\\\\\\\\\\\",
                r#"{"a":"\\\\\\\\\\\\\\\\"}"#,
                r#"{"a":"[redacted]"}"#,
            ),
            // Whoever wrote it, and however.
            (
                "pass/word-é",
                r#"{ "pass\/word-\u00e9" : [1, "\u0070ass/word-é"] }"#,
                r#"{ "[redacted]" : [1, "[redacted]"] }"#,
            ),
            (
                "12345678",
                r#"{"12345678":[12345678,123456789, 12345678 ]}"#,
                r#"{"[redacted]":["[redacted]",123456789, "[redacted]" ]}"#,
            ),
            // A panic is no JSON, and hidden all the same.
            ("abc12345", r#"at "x": abc12345"#, r#"at "x": [redacted]"#),
        ];
        for (secret, text, expected) in cases {
            assert_eq!(hider(secret, &[]).hide(text), expected, "{secret}");
        }
    }

    #[test]
    fn a_line_of_a_secret_is_masked_where_it_is_quoted() {
        let account = "{\n  \"private_key_id\": \"0123abcd\",\n  \"type\": \"x\"\n}";
        let hider = hider(account, &[]);
        // As it is in a text, and as JSON has it within one.
        let line = r#"is "private_key_id": "0123abcd", ok"#;
        for (levels, expected) in [
            (0, r#""is [redacted] ok""#),
            (1, r#""\"is [redacted] ok\"""#),
        ] {
            let quoted =
                (0..=levels).fold(line.to_string(), |text, _| Value::from(text).to_string());
            assert_eq!(hider.hide(&quoted), expected);
        }
    }

    #[test]
    fn what_is_the_name_of_a_field_stays_one_and_is_masked_elsewhere() {
        let hider = hider("metadata", &[]).leaving(["metadata".into(), "id".into()].into());
        let text = r#"{"metadata":{"my-metadata":"metadata"},"changed":{"metadata.metadata.x":1,"x.metadata":2}}"#;
        assert_eq!(
            hider.hide(text),
            r#"{"metadata":{"my-[redacted]":"[redacted]"},"changed":{"metadata.metadata.x":1,"x.[redacted]":2}}"#
        );
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
