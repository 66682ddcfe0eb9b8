//! Conditions: what is wrong with the world around the beads (spec 1.8).

use alloc::string::String;
use alloc::vec::Vec;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::ids::RigId;
use crate::reason::ReasonCode;
use crate::time::Timestamp;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConditionKind {
    /// The forge can't be reached.
    ForgeUnreachable,
    /// The forge limits the rate.
    RateLimited,
    /// No credential was found for a rig.
    CredentialsMissing,
    /// A rig's credential was refused.
    CredentialsRejected,
    /// A rig's credential may not do what is needed.
    PermissionMissing,
    /// The forge answers in a form that is not understood.
    ApiDrift,
    /// No merge method is allowed in a rig.
    MergeMethodImpossible,
}

impl ConditionKind {
    /// The kind as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ConditionKind::ForgeUnreachable => "forge_unreachable",
            ConditionKind::RateLimited => "rate_limited",
            ConditionKind::CredentialsMissing => "credentials_missing",
            ConditionKind::CredentialsRejected => "credentials_rejected",
            ConditionKind::PermissionMissing => "permission_missing",
            ConditionKind::ApiDrift => "api_drift",
            ConditionKind::MergeMethodImpossible => "merge_method_impossible",
        }
    }

    /// The category under which a person is told.
    #[must_use]
    pub const fn category(self) -> ReasonCode {
        match self {
            ConditionKind::ForgeUnreachable => ReasonCode::ForgeUnreachable,
            ConditionKind::RateLimited => ReasonCode::RateLimited,
            ConditionKind::CredentialsMissing => ReasonCode::CredentialsMissing,
            ConditionKind::CredentialsRejected => ReasonCode::CredentialsRejected,
            ConditionKind::PermissionMissing => ReasonCode::PermissionMissing,
            ConditionKind::ApiDrift => ReasonCode::ApiDrift,
            ConditionKind::MergeMethodImpossible => ReasonCode::MergeMethodImpossible,
        }
    }

    /// Whether polls wait for it, but for one probe.
    #[must_use]
    pub const fn holds_polls(self) -> bool {
        match self {
            ConditionKind::ForgeUnreachable
            | ConditionKind::RateLimited
            | ConditionKind::CredentialsMissing
            | ConditionKind::CredentialsRejected
            | ConditionKind::PermissionMissing => true,
            ConditionKind::ApiDrift | ConditionKind::MergeMethodImpossible => false,
        }
    }

    /// Whether merges wait for it.
    #[must_use]
    pub const fn holds_merges(self) -> bool {
        self.holds_polls() || matches!(self, ConditionKind::MergeMethodImpossible)
    }
}

/// Whom a condition is about.
///
/// Written as `{"kind": "town"}` or `{"kind": "rig", "id": "r1"}`; the bare words `"town"` and
/// `"r1"` are read as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum ConditionSubject {
    /// The whole town: its forge.
    Town,
    /// One rig.
    Rig(RigId),
}

impl ConditionSubject {
    /// The rig, of one that is about a rig.
    pub(crate) fn rig(&self) -> Option<&RigId> {
        match self {
            ConditionSubject::Town => None,
            ConditionSubject::Rig(id) => Some(id),
        }
    }

    /// Whether it is about a rig, or about the work of no rig.
    pub(crate) fn covers(&self, rig: Option<&RigId>) -> bool {
        match self {
            ConditionSubject::Town => true,
            ConditionSubject::Rig(id) => Some(id) == rig,
        }
    }
}

impl<'de> Deserialize<'de> for ConditionSubject {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            tag = "kind",
            content = "id",
            rename_all = "snake_case",
            deny_unknown_fields
        )]
        enum Form {
            Town,
            Rig(RigId),
        }
        let value = Value::deserialize(input)?;
        match value.as_str() {
            Some("town") => return Ok(Self::Town),
            Some(word) => return RigId::new(word).map(Self::Rig).map_err(D::Error::custom),
            None => {}
        }
        match Form::deserialize(value).map_err(D::Error::custom)? {
            Form::Town => Ok(Self::Town),
            Form::Rig(id) => Ok(Self::Rig(id)),
        }
    }
}

/// Something that is wrong with the world around the beads (spec 1.8).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// What is wrong.
    pub kind: ConditionKind,
    /// Whom it is about.
    pub subject: ConditionSubject,
    /// Since when.
    pub since: Timestamp,
    /// Error answers since then.
    #[serde(default)]
    pub strikes: u32,
    /// When a person was told.
    #[serde(default)]
    pub told_at: Option<Timestamp>,
    /// When the next probe may go.
    #[serde(default)]
    pub next_probe_at: Option<Timestamp>,
    /// Rate limits: until when.
    #[serde(default)]
    pub until: Option<Timestamp>,
    /// What showed it, for a person.
    #[serde(default)]
    pub evidence: String,
    /// Credential sources that were tried.
    #[serde(default)]
    pub tried: Vec<String>,
    /// Evidence ended it, and a person who was told of it is yet to hear so: nothing waits for it
    /// any more, and `conditions/end` says so and removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
}

impl Condition {
    /// Whether anything waits for it.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.ended_at.is_none()
    }
}
