//! The row of a town's secrets: the only place where any of them is written.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::config::TownConfig;
use crate::secret::unechoed_secrets;
use crate::wire::{self, WireError};

/// The record of the row.
#[derive(Serialize, Deserialize)]
pub(super) struct SecretsForm {
    /// Those in use, by their paths in the settings.
    #[serde(flatten)]
    in_use: BTreeMap<String, String>,
    /// Those of before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<String>,
}

impl SecretsForm {
    /// The secrets of these settings; none if they have none.
    pub(super) fn of(config: &TownConfig) -> Option<Self> {
        let form = Self {
            in_use: config.exposed_secrets(),
            retired: config.retired_secrets.exposed().map(Into::into).collect(),
        };
        (!form.in_use.is_empty() || !form.retired.is_empty()).then_some(form)
    }

    /// Reads a record. The error shows nothing of it.
    pub(super) fn read(body: &str) -> Result<Self, WireError> {
        let read: Result<Self, serde_json::Error> = unechoed_secrets(wire::parse(body)?);
        read.map_err(|error| WireError::new(".", error.to_string()))
    }

    /// Puts them into settings that were written without.
    pub(super) fn restore(&self, config: &mut TownConfig) {
        config.restore_secrets(&self.in_use);
        for text in &self.retired {
            config.retired_secrets.add(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As towns of before have it, and as one has it that has replaced something.
    #[test]
    fn a_record_reads_with_and_without_retired_secrets() {
        for body in [
            r#"{"llm_token":"tok-now-1"}"#,
            r#"{"retired":["tok-one-1","tok-two-2"]}"#,
            r#"{"git_auth.github_token":"tok-now-1","retired":["tok-one-1"]}"#,
        ] {
            let mut config = TownConfig::default();
            SecretsForm::read(body).unwrap().restore(&mut config);
            let written = SecretsForm::of(&config).map(|form| serde_json::to_string(&form));
            assert_eq!(written.unwrap().unwrap(), body);
        }
        assert!(SecretsForm::of(&TownConfig::default()).is_none());
    }

    #[test]
    fn an_error_shows_nothing_of_it() {
        for body in [r#"{"llm_token":12345678}"#, r#"{"retired":"tok-one-1"}"#] {
            let said = SecretsForm::read(body).err().map(|error| error.to_string());
            let expected = "expected an object of texts by their paths, and a list `retired`";
            assert!(
                said.as_ref().is_some_and(|said| said.contains(expected)),
                "{said:?}"
            );
            assert!(
                !said.unwrap_or_default().contains("1"),
                "it shows what it read"
            );
        }
    }
}
