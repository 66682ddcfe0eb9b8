//! Takes secrets out of JSON texts, and leaves every other byte as it is: a replay compares bytes.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde_json::Value;

use crate::mask::Masker;
use crate::secret::{REDACTED, Secret};
use crate::store::Row;

/// The settings whose values may be credentials, as they begin in JSON.
const ENVIRONMENT: &str = r#""env_vars":{"#;

/// Takes the secrets of one town out of texts.
pub(super) struct Hider {
    masker: Masker,
}

impl Hider {
    /// `rows` hold the secrets.
    pub(super) fn new(rows: &[Row]) -> Self {
        let mut secrets = Vec::new();
        for row in rows {
            let texts = serde_json::from_str::<BTreeMap<String, String>>(&row.body);
            for text in texts.unwrap_or_default().into_values() {
                // Also as it stands within JSON, where a secret may hold what has to be escaped.
                let escaped = Value::from(text.as_str()).to_string();
                secrets.push(Secret::new(escaped.trim_matches('"')));
                secrets.push(Secret::new(text));
            }
        }
        Self {
            masker: Masker::new(&secrets),
        }
    }

    /// A JSON text without secrets.
    pub(super) fn hide(&self, json: &str) -> String {
        self.masker.mask(&without_environment(json))
    }
}

/// Masks every value of every `env_vars` object.
fn without_environment(json: &str) -> String {
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
                variables
                    .values_mut()
                    .for_each(|value| *value = REDACTED.into());
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

    fn hider(secret: &str) -> Hider {
        Hider::new(&[Row {
            key: RowKey {
                kind: "secrets".into(),
                id: "town".into(),
            },
            working: true,
            body: serde_json::json!({"llm_token": secret}).to_string(),
        }])
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
                r#"{"config":{"env_vars":{"A":"[redacted]","B":"[redacted]"},"owner":"z"},"url":"https://[redacted]@h/x"}"#,
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
            let hidden = hider("tok-12345678").hide(text);
            assert_eq!(hidden, expected);
            serde_json::from_str::<Value>(&hidden).unwrap();
        }
    }

    #[test]
    fn a_secret_that_json_escapes_is_masked() {
        let key = "-----BEGIN KEY-----\nMIIE\"pAIB\\AAKCAQEA\n-----END KEY-----";
        let text = serde_json::json!({ "t": alloc::format!("x {key} y") }).to_string();
        assert_eq!(hider(key).hide(&text), r#"{"t":"x [redacted] y"}"#);
    }
}
