//! Reading answers of a forge without ever failing on a part that is not needed.
//!
//! A missing key, a null, and a value of an unexpected type are the same here: not known. What
//! is needed is asked for where it is needed, and only that can make a decode fail.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// A place in an answer that may not be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Json<'a>(Option<&'a Value>);

impl<'a> Json<'a> {
    pub(crate) fn of(value: &'a Value) -> Self {
        Self(Some(value))
    }

    /// The member of that name.
    pub(crate) fn at(self, key: &str) -> Self {
        Self(self.0.and_then(|it| it.get(key)))
    }

    /// The place reached by these names, one after the other.
    pub(crate) fn along(self, path: &[&str]) -> Self {
        path.iter().fold(self, |it, key| it.at(key))
    }

    /// Whether there is anything but null.
    pub(crate) fn is_there(self) -> bool {
        self.0.is_some_and(|it| !it.is_null())
    }

    pub(crate) fn text(self) -> Option<&'a str> {
        self.0.and_then(Value::as_str)
    }

    /// A text that is not blank.
    pub(crate) fn word(self) -> Option<&'a str> {
        self.text().filter(|it| !it.trim().is_empty())
    }

    pub(crate) fn flag(self) -> Option<bool> {
        self.0.and_then(Value::as_bool)
    }

    pub(crate) fn natural(self) -> Option<u64> {
        self.0.and_then(Value::as_u64)
    }

    pub(crate) fn integer(self) -> Option<i64> {
        self.0.and_then(Value::as_i64)
    }

    pub(crate) fn time(self) -> Option<DateTime<Utc>> {
        DateTime::parse_from_rfc3339(self.text()?)
            .ok()
            .map(|it| it.to_utc())
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items(self) -> impl Iterator<Item = Json<'a>> {
        self.list().unwrap_or_default().iter().map(Json::of)
    }

    /// The list, if it is one.
    pub(crate) fn list(self) -> Option<&'a [Value]> {
        self.0.and_then(Value::as_array).map(Vec::as_slice)
    }
}
