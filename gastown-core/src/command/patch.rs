//! Partial updates of settings (spec 1.9): absent is unchanged, null takes a value back.

use alloc::format;
use alloc::string::{String, ToString};
use core::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::data::object;
use crate::config::{RigConfig, TownConfig};
use crate::schema::nullable;
use crate::secret::REDACTED;
use crate::wire::{WireError, read_value};

/// Where secrets stand in a configuration.
const SECRET_PATHS: [&str; 3] = ["github_cli_pat", "llm_token", "git_auth.github_token"];

/// Settings that an update replaces whole.
const REPLACED_WHOLE: &str = "env_vars";

macro_rules! patch {
    ($(#[$doc:meta])* $name:ident of $config:ty) => {
        $(#[$doc])*
        ///
        /// Secrets in it are shown and written as `[redacted]`, which an update takes for
        /// "unchanged".
        #[derive(Clone, PartialEq, Default)]
        pub struct $name(Map<String, Value>);

        impl $name {
            /// An update with these fields.
            #[must_use]
            pub fn new(fields: Map<String, Value>) -> Self {
                Self(fields)
            }

            /// Whether it changes nothing.
            #[must_use]
            pub fn is_empty(&self) -> bool {
                self.0.is_empty()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&redacted(&self.0), f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                redacted(&self.0).serialize(out)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                object(input).map(Self)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> alloc::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                let mut schema = <$config>::json_schema(generator);
                nullable(&mut schema);
                schema
            }
        }
    };
}

patch! {
    /// A partial update of a town's settings.
    TownConfigPatch of TownConfig
}
patch! {
    /// A partial update of a rig's overrides.
    RigConfigPatch of RigConfig
}

impl TownConfigPatch {
    /// The same update, without secrets that came back masked and those that the settings have
    /// already: what is left of them in a record is new.
    pub(crate) fn without_known_secrets(&self, config: &TownConfig) -> Self {
        let mut fields = self.0.clone();
        drop_masked(&mut fields);
        let known = config.exposed_secrets();
        each_secret(&mut fields, |inner, name, path| {
            let given = inner.get(name).and_then(Value::as_str);
            if given.is_some() && given == known.get(path).map(String::as_str) {
                inner.remove(name);
            }
        });
        Self(fields)
    }

    /// The update of a record, for a replay: a redacted secret in it was a new one, so each gets a
    /// text that no other has. `place` says which command it is, of which tick.
    pub(crate) fn with_stand_ins(&self, place: &str) -> Self {
        let mut fields = self.0.clone();
        each_secret(&mut fields, |inner, name, _| {
            if let Some(value) = inner.get_mut(name)
                && value.as_str() == Some(REDACTED)
            {
                *value = format!("a secret that was not recorded ({place})").into();
            }
        });
        Self(fields)
    }

    /// The settings after the update. Secrets that the update does not name stay as they are; those that
    /// it replaces are retired.
    pub(super) fn applied_to(&self, config: &TownConfig) -> Result<TownConfig, WireError> {
        let mut patch = self.0.clone();
        drop_masked(&mut patch);
        let mut updated: TownConfig = merged(config, &patch)?;
        let kept = config.exposed_secrets();
        for (path, secret) in [
            ("github_cli_pat", &updated.github_cli_pat),
            ("llm_token", &updated.llm_token),
            ("git_auth.github_token", &updated.git_auth.github_token),
        ]
        .map(|(path, secret)| (path, secret.clone()))
        {
            let unchanged = secret.is_some_and(|secret| secret.expose().is_none());
            if let (true, Some(text)) = (unchanged, kept.get(path)) {
                updated.restore_secrets(&[(path.to_string(), text.clone())].into());
            }
        }
        Ok(updated.after(config))
    }
}

impl RigConfigPatch {
    /// The overrides after the update.
    pub(super) fn applied_to(&self, config: &RigConfig) -> Result<RigConfig, WireError> {
        merged(config, &self.0)
    }
}

/// Reads the configuration that a merge patch makes of another.
fn merged<T: Serialize + serde::de::DeserializeOwned>(
    config: &T,
    patch: &Map<String, Value>,
) -> Result<T, WireError> {
    let mut value =
        serde_json::to_value(config).map_err(|error| WireError::new(".", error.to_string()))?;
    if let Value::Object(object) = &mut value {
        merge(object, patch);
    }
    read_value(value)
}

/// Merges `patch` into `object` (RFC 7396), but for what is replaced whole. The depth is that of
/// the object: below a value that is no object, the patch replaces.
fn merge(object: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (name, value) in patch {
        match (object.get_mut(name), value) {
            (_, Value::Null) => {
                object.remove(name);
            }
            (Some(Value::Object(inner)), Value::Object(changes)) if name != REPLACED_WHOLE => {
                merge(inner, changes);
            }
            (_, Value::Object(changes)) if name != REPLACED_WHOLE => {
                let mut inner = changes.clone();
                inner.retain(|_, value| !value.is_null());
                object.insert(name.clone(), Value::Object(inner));
            }
            (
                _,
                Value::Bool(_)
                | Value::Number(_)
                | Value::String(_)
                | Value::Array(_)
                | Value::Object(_),
            ) => {
                object.insert(name.clone(), value.clone());
            }
        }
    }
}

/// Calls `see` for each secret that the fields may hold: with the fields beside it, its name there
/// and its path.
fn each_secret(fields: &mut Map<String, Value>, see: impl Fn(&mut Map<String, Value>, &str, &str)) {
    for path in SECRET_PATHS {
        match path.split_once('.') {
            None => see(fields, path, path),
            Some((outer, name)) => {
                if let Some(Value::Object(inner)) = fields.get_mut(outer) {
                    see(inner, name, path);
                }
            }
        }
    }
}

/// The same fields without their secrets.
fn redacted(fields: &Map<String, Value>) -> Map<String, Value> {
    let mut fields = fields.clone();
    let redact = |value: &mut Value| {
        if !value.is_null() {
            *value = REDACTED.into();
        }
    };
    for (name, value) in &mut fields {
        match (name.as_str(), value) {
            ("github_cli_pat" | "llm_token", value) => redact(value),
            // Whatever else stands in here may be a token in the wrong place.
            ("git_auth", Value::Object(inner)) => inner
                .iter_mut()
                .filter(|(name, _)| name.as_str() != "platform_integration_id")
                .for_each(|(_, value)| redact(value)),
            ("git_auth", value) => redact(value),
            _ => {}
        }
    }
    fields
}

/// Drops secrets that come back masked: they keep the stored value.
fn drop_masked(fields: &mut Map<String, Value>) {
    each_secret(fields, |inner, name, _| {
        if inner
            .get(name)
            .and_then(Value::as_str)
            .is_some_and(is_masked)
        {
            inner.remove(name);
        }
    });
}

/// Four asterisks and up to four characters, or the redacted form (spec 1.9).
fn is_masked(text: &str) -> bool {
    text == REDACTED
        || text
            .strip_prefix("****")
            .is_some_and(|rest| rest.chars().count() <= 4)
}
