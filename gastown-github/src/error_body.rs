//! The words in which GitHub explains a failure.

use serde_json::Value;

use crate::credentials::redact;

/// The longest explanation that is passed on.
const MESSAGE_CHARS_MAX: usize = 1000;

/// What a failed answer says about itself. Every part is optional, and many failures are not
/// even JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorBody {
    /// The message and the details of `errors`, in one text, credentials removed.
    pub message: String,
    /// Where the failure is documented; tells some limits apart.
    pub documentation_url: String,
}

impl ErrorBody {
    /// Reads what can be read.
    #[must_use]
    pub fn read(body: &[u8]) -> Self {
        let Ok(value) = serde_json::from_slice::<Value>(body) else {
            return Self::default();
        };
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default();
        let mut parts = vec![text("message").to_owned()];
        if let Some(errors) = value.get("errors").and_then(Value::as_array) {
            parts.extend(errors.iter().filter_map(detail));
        }
        parts.retain(|it| !it.is_empty());
        let message: String = redact(&parts.join("; "))
            .chars()
            .take(MESSAGE_CHARS_MAX)
            .collect();
        Self {
            message,
            documentation_url: text("documentation_url").to_owned(),
        }
    }

    /// The message, or the status if there is none.
    #[must_use]
    pub fn message_or(&self, status: u16) -> String {
        if self.message.is_empty() {
            format!("status {status}")
        } else {
            self.message.clone()
        }
    }
}

/// `errors` holds texts at some endpoints and objects at others.
fn detail(error: &Value) -> Option<String> {
    if let Some(text) = error.as_str() {
        return Some(text.to_owned());
    }
    let text = |name: &str| error.get(name).and_then(Value::as_str);
    match (text("message"), text("field"), text("code")) {
        (Some(message), _, _) => Some(message.to_owned()),
        (None, Some(field), Some(code)) => Some(format!("{field} {code}")),
        (None, Some(word), None) | (None, None, Some(word)) => Some(word.to_owned()),
        (None, None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(body: &str) -> String {
        ErrorBody::read(body.as_bytes()).message
    }

    #[test]
    fn details_are_texts_or_objects() {
        assert_eq!(
            message(r#"{"message":"No","errors":["a","b"]}"#),
            "No; a; b"
        );
        let objects =
            r#"{"message":"No","errors":[{"message":"m"},{"field":"f","code":"c"},{},7]}"#;
        assert_eq!(message(objects), "No; m; f c");
    }

    #[test]
    fn anything_is_survived() {
        for body in [
            "",
            "<html>502</html>",
            "[]",
            "null",
            r#"{"message":7,"errors":{}}"#,
        ] {
            assert_eq!(message(body), "", "{body}");
        }
        assert_eq!(ErrorBody::default().message_or(502), "status 502");
    }

    #[test]
    fn a_quoted_token_is_removed_and_length_is_limited() {
        let body = r#"{"message":"bad ghp_0123456789abcdef"}"#;
        assert_eq!(message(body), "bad [redacted]");
        let long = format!(r#"{{"message":"{}"}}"#, "ü".repeat(3000));
        assert_eq!(message(&long).chars().count(), MESSAGE_CHARS_MAX);
    }
}
