//! Values of arguments, refused with what was expected.

use std::str::FromStr;

use serde::de::DeserializeOwned;

/// A whole number.
pub(crate) fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("expected a whole number, found {text}"))
}

/// The JSON in a file.
pub(crate) fn json<T: DeserializeOwned>(file: &str) -> Result<T, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    serde_json::from_str(&text).map_err(|error| format!("{file}: {error}"))
}
