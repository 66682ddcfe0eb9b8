//! Convoys: issues that belong together (spec 1.4, 3.5).

use alloc::collections::BTreeMap;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::config::ConvoyMergeMode;
use crate::ids::RigId;
use crate::time::Timestamp;

/// The landing of a convoy in one rig.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Landing {
    /// Landing reviews made so far that have not landed.
    pub attempts: u32,
    /// When the last one was made.
    pub last_attempt_at: Option<Timestamp>,
    /// When the work was on the default branch.
    pub landed_at: Option<Timestamp>,
}

/// How far the feature branch of one rig is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BranchState {
    /// Not asked for.
    None,
    /// Asked for.
    Asked,
    /// There.
    Created,
    /// Could not be created.
    Failed,
}

/// The feature branch of one rig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConvoyBranch {
    /// How far it is.
    pub state: BranchState,
    /// Since when.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// How often it was asked for.
    #[serde(default)]
    pub tries: u32,
    /// Tries that no longer count, because a person asked to try again.
    #[serde(default, skip_serializing_if = "crate::wire::is_default")]
    pub forgiven: u32,
}

impl ConvoyBranch {
    /// A branch that nobody asked for yet.
    #[must_use]
    pub const fn to_be_created() -> Self {
        Self {
            state: BranchState::None,
            at: None,
            tries: 0,
            forgiven: 0,
        }
    }

    /// Whether the tries that the policy allows are spent: if the last one failed, or is not answered
    /// in time, only a person can try again.
    #[must_use]
    pub fn is_given_up(&self, limit: u32) -> bool {
        matches!(self.state, BranchState::Asked | BranchState::Failed)
            && self.tries.saturating_sub(self.forgiven) >= limit
    }
}

/// What a convoy bead adds to a bead (spec 1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Convoy {
    /// Its issues.
    #[serde(default)]
    pub total: u32,
    /// Those that are terminal.
    #[serde(default)]
    pub closed: u32,
    /// How its work reaches the default branch.
    #[serde(default = "review_then_land")]
    pub merge_mode: ConvoyMergeMode,
    /// The branch that its issues go to.
    #[serde(default)]
    pub feature_branch: Option<String>,
    /// Waits for `start_convoy`.
    #[serde(default)]
    pub staged: bool,
    /// All its work is on the feature branch.
    #[serde(default)]
    pub ready_to_land: bool,
    /// A person ordered to land what is closed although some failed.
    #[serde(default)]
    pub landing_ordered: bool,
    /// The landing of a convoy of one rig, in its short form.
    #[serde(default)]
    pub landing: Landing,
    /// The landing per rig.
    #[serde(default)]
    pub landings: BTreeMap<RigId, Landing>,
    /// The feature branch per rig; absent means created.
    #[serde(default)]
    pub branches: BTreeMap<RigId, ConvoyBranch>,
    /// When an issue last joined or left.
    #[serde(default)]
    pub changed_at: Option<Timestamp>,
    /// When all of it was on the default branch.
    #[serde(default)]
    pub landed_at: Option<Timestamp>,
}

impl Default for Convoy {
    fn default() -> Self {
        Self {
            total: 0,
            closed: 0,
            merge_mode: review_then_land(),
            feature_branch: None,
            staged: false,
            ready_to_land: false,
            landing_ordered: false,
            landing: Landing::default(),
            landings: BTreeMap::new(),
            branches: BTreeMap::new(),
            changed_at: None,
            landed_at: None,
        }
    }
}

fn review_then_land() -> ConvoyMergeMode {
    ConvoyMergeMode::ReviewThenLand
}

impl Convoy {
    /// The branch that it lands from, if it lands at all.
    pub(crate) fn lands_from(&self) -> Option<&str> {
        let branch = self.feature_branch.as_deref()?;
        (self.merge_mode == ConvoyMergeMode::ReviewThenLand).then_some(branch)
    }

    /// The landing of `rig`: its own record, else the short form of a convoy of one rig.
    #[must_use]
    pub fn landing_of(&self, rig: &RigId) -> Landing {
        match self.landings.get(rig) {
            Some(landing) => landing.clone(),
            None if self.landings.is_empty() => self.landing.clone(),
            None => Landing::default(),
        }
    }

    /// Changes the record of `rig`'s landing. While it is the only one, the short form says the
    /// same; a first record takes the short form over.
    pub(crate) fn edit_landing(&mut self, rig: &RigId, edit: impl FnOnce(&mut Landing)) {
        let mut landing = self.landing_of(rig);
        edit(&mut landing);
        self.landings.insert(rig.clone(), landing.clone());
        self.landing = match self.landings.len() {
            1 => landing,
            _ => Landing::default(),
        };
    }

    /// Whether the feature branch of `rig` is there; absent means yes.
    #[must_use]
    pub fn branch_created(&self, rig: &RigId) -> bool {
        self.branches
            .get(rig)
            .is_none_or(|branch| branch.state == BranchState::Created)
    }
}
