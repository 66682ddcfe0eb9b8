//! Configuration of towns and rigs, and how a value is resolved (spec 1.9).

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::schema::titled;
use crate::secret::{RetiredSecrets, Secret, is_mask, names_credential};

/// How work reaches the target branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeStrategy {
    /// The refinery merges and pushes.
    Direct,
    /// The polecat opens a pull request, which the forge merges.
    Pr,
}

/// How a refinery tells what is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReviewMode {
    /// It asks for changes, which become a rework bead.
    Rework,
    /// It comments on the pull request.
    Comments,
}

/// How a pull request is merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MergeMethod {
    /// The first of squash, merge and rebase that repository and branch allow.
    Auto,
    /// One commit.
    Squash,
    /// A merge commit.
    Merge,
    /// The commits, moved.
    Rebase,
}

/// How the work of a convoy reaches the default branch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ConvoyMergeMode {
    /// Each issue goes to a feature branch, which lands as a whole.
    ReviewThenLand,
    /// Each issue goes to the default branch on its own.
    ReviewAndMerge,
}

/// How long a pull request must have been green before it is merged.
///
/// On the wire a number of minutes, or `"never"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AutoMergeDelay {
    /// Never merged by the engine.
    Never,
    /// Merged once green for this long; zero merges at once.
    After(Duration),
}

impl Serialize for AutoMergeDelay {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Never => out.serialize_str("never"),
            Self::After(span) if span.as_millis() % 60_000 == 0 => {
                out.serialize_u64(span.as_secs() / 60)
            }
            Self::After(span) => out.serialize_f64(span.as_secs_f64() / 60.0),
        }
    }
}

impl<'de> Deserialize<'de> for AutoMergeDelay {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Minutes(f64),
            Word(String),
        }
        const EXPECTED: &str = "a number of minutes from 0 to 525600, or \"never\"";
        match Form::deserialize(input).map_err(|_| serde::de::Error::custom(EXPECTED))? {
            Form::Word(word) if word == "never" => Ok(Self::Never),
            Form::Minutes(minutes) if (0.0..=525_600.0).contains(&minutes) => {
                // Milliseconds are what times are kept in, and what is written again.
                let span = Duration::from_secs_f64(minutes * 60.0);
                let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                Ok(Self::After(Duration::from_millis(millis)))
            }
            Form::Word(_) | Form::Minutes(_) => Err(serde::de::Error::custom(EXPECTED)),
        }
    }
}

impl JsonSchema for AutoMergeDelay {
    fn schema_name() -> Cow<'static, str> {
        "AutoMergeDelay".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Minutes, 0 for at once, or \"never\".",
            "anyOf": [
                {"type": "number", "minimum": 0, "maximum": 525_600}, {"const": "never"}
            ],
        })
    }
}

/// Where a GitHub token may come from (spec 4.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenSource {
    /// The stored token.
    GithubToken,
    /// The personal token of the GitHub command line.
    GithubCliPat,
    /// The platform's app installation of the town, else of the rig.
    PlatformIntegration,
}

/// A value per role.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = titled)]
pub struct PerRole {
    /// For the mayor; a rig can't set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mayor: Option<String>,
    /// For refineries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refinery: Option<String>,
    /// For polecats.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub polecat: Option<String>,
}

/// Stored access to the git host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(transform = titled)]
pub struct GitAuth {
    /// A stored token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub github_token: Option<Secret>,
    /// The platform integration whose installation token is used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform_integration_id: Option<String>,
}

macro_rules! refinery_config {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// Settings of reviewing and merging. Absent means: the next level decides.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        #[schemars(transform = titled)]
        pub struct RefineryConfig {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)*
        }
    };
}

refinery_config! {
    /// Whether a refinery reviews what polecats made.
    code_review: bool,
    /// How a refinery tells what is wrong.
    review_mode: ReviewMode,
    /// Whether the engine merges at all; a rig can't set it.
    auto_merge: bool,
    /// How long a pull request must have been green before it is merged.
    auto_merge_delay_minutes: AutoMergeDelay,
    /// Whether every head needs a review of its own.
    review_every_head: bool,
    /// Whether an approval of an older head does not count.
    require_fresh_approval: bool,
    /// Whether a pull request without any check is not green.
    require_checks: bool,
    /// Whether comments and failing checks make a repair bead.
    auto_resolve_pr_feedback: bool,
    /// Whether conflicts make a repair bead.
    auto_resolve_merge_conflicts: bool,
    /// How a pull request is merged.
    merge_method: MergeMethod,
    /// Commands that must pass; a rig can't set them.
    gates: Vec<String>,
    /// Whether a direct merge must be clean; a rig can't set it.
    require_clean_merge: bool,
}

macro_rules! config {
    ($(#[$head:meta])* $struct:ident { $($(#[$doc:meta])* $name:ident: $type:ty,)* }
     nested { $($(#[$ndoc:meta])* $nname:ident: $ntype:ty,)* }) => {
        $(#[$head])*
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        #[schemars(transform = titled)]
        pub struct $struct {
            $($(#[$doc])* #[serde(skip_serializing_if = "Option::is_none")] pub $name: Option<$type>,)*
            $($(#[$ndoc])* #[serde(skip_serializing_if = "crate::wire::is_default")] pub $nname: $ntype,)*
        }
    };
}

config! {
    /// The settings of a town. Absent means: the default of spec 1.9.
    TownConfig {
        /// How work reaches the target branch.
        merge_strategy: MergeStrategy,
        /// How the work of a convoy reaches the default branch.
        convoy_merge_mode: ConvoyMergeMode,
        /// Whether new convoys wait for `start_convoy`.
        staged_convoys_default: bool,
        /// Polecats that may hold work in one rig, 1 to 50; absent: no limit.
        #[schemars(range(min = 1, max = 50))]
        max_polecats_per_rig: u32,
        /// Dispatches of one bead.
        max_dispatch_attempts: u32,
        /// The model of agents without one of their own.
        default_model: String,
        /// The model for small tasks.
        small_model: String,
        /// Where GitHub tokens are looked for, in order.
        token_order: Vec<TokenSource>,
        /// Whether the container token is refreshed for a waiting mayor.
        keep_waiting_mayor_fresh: bool,
        /// The personal token of the GitHub command line.
        github_cli_pat: Secret,
        /// The token for language models.
        llm_token: Secret,
        /// The organization that pays.
        organization_id: String,
        /// Who owns the town.
        owner: String,
        /// Longest pause between two ticks while work is active, ISO 8601.
        #[serde(with = "iso_option_duration")]
        #[schemars(with = "Option<String>")]
        tick_interval_active: Duration,
        /// Longest pause between two ticks of an idle town, ISO 8601.
        #[serde(with = "iso_option_duration")]
        #[schemars(with = "Option<String>")]
        tick_interval_idle: Duration,
    } nested {
        /// Reviewing and merging.
        refinery: RefineryConfig,
        /// Models per role.
        role_models: PerRole,
        /// Instructions appended to prompts, 2,000 characters at most each.
        custom_instructions: PerRole,
        /// Environment of every agent; replaced whole by an update.
        #[serde(deserialize_with = "crate::secret::unechoed_variables")]
        env_vars: BTreeMap<String, String>,
        /// Stored access to the git host.
        #[serde(deserialize_with = "crate::secret::unechoed")]
        git_auth: GitAuth,
        /// Secrets that other ones took the place of. No setting: an update neither shows nor takes them.
        #[serde(skip)]
        retired_secrets: RetiredSecrets,
    }
}

config! {
    /// The settings that a rig overrides. Absent means: the town's value.
    RigConfig {
        /// How work reaches the target branch.
        merge_strategy: MergeStrategy,
        /// How the work of a convoy reaches the default branch.
        convoy_merge_mode: ConvoyMergeMode,
        /// Polecats that may hold work in this rig, 1 to 50.
        #[schemars(range(min = 1, max = 50))]
        max_polecats_per_rig: u32,
        /// Dispatches of one bead.
        max_dispatch_attempts: u32,
        /// The model of agents without one of their own.
        default_model: String,
        /// The model for small tasks.
        small_model: String,
        /// Flags of every `git push`.
        git_push_flags: String,
    } nested {
        /// Reviewing and merging.
        refinery: RefineryConfig,
        /// Models per role, not the mayor's.
        role_models: PerRole,
        /// Instructions appended to prompts, not the mayor's.
        custom_instructions: PerRole,
        /// Stored access to the git host; a rig has only the platform integration.
        #[serde(deserialize_with = "crate::secret::unechoed")]
        git_auth: GitAuth,
    }
}

mod iso_option_duration {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer};
    use crate::time::iso_duration;

    #[derive(Serialize, Deserialize)]
    struct Iso(#[serde(with = "iso_duration")] Duration);

    pub(super) fn serialize<S: Serializer>(
        v: &Option<Duration>,
        out: S,
    ) -> Result<S::Ok, S::Error> {
        v.map(Iso).serialize(out)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        input: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Iso>::deserialize(input)?.map(|Iso(span)| span))
    }
}

/// The values in force for one rig, or for a bead without one: rig, else town, else default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How work reaches the target branch.
    pub merge_strategy: MergeStrategy,
    /// Whether a refinery reviews what polecats made.
    pub code_review: bool,
    /// How a refinery tells what is wrong.
    pub review_mode: ReviewMode,
    /// Whether the engine merges at all.
    pub auto_merge: bool,
    /// How long a pull request must have been green before it is merged.
    pub auto_merge_delay: AutoMergeDelay,
    /// Whether every head needs a review of its own.
    pub review_every_head: bool,
    /// Whether an approval of an older head does not count.
    pub require_fresh_approval: bool,
    /// Whether a pull request without any check is not green.
    pub require_checks: bool,
    /// Whether comments and failing checks make a repair bead.
    pub auto_resolve_pr_feedback: bool,
    /// Whether conflicts make a repair bead.
    pub auto_resolve_merge_conflicts: bool,
    /// How a pull request is merged.
    pub merge_method: MergeMethod,
    /// Commands that must pass.
    pub gates: Vec<String>,
    /// Whether a direct merge must be clean.
    pub require_clean_merge: bool,
    /// How the work of a convoy reaches the default branch.
    pub convoy_merge_mode: ConvoyMergeMode,
    /// Polecats that may hold work in one rig; none: no limit.
    pub max_polecats_per_rig: Option<u32>,
    /// Dispatches of one bead.
    pub max_dispatch_attempts: u32,
}

impl Settings {
    /// Whether a count of attempts is at the cap.
    pub(crate) fn attempts_spent(&self, attempts: u32) -> bool {
        attempts >= self.max_dispatch_attempts
    }

    /// Resolves every value: rig override, else town value, else default (spec 1.9).
    #[must_use]
    pub fn resolve(town: &TownConfig, rig: Option<&RigConfig>) -> Self {
        let none = RigConfig::default();
        let rig = rig.unwrap_or(&none);
        let (ours, theirs) = (&rig.refinery, &town.refinery);
        macro_rules! refinery {
            ($name:ident, $default:expr) => {
                ours.$name.or(theirs.$name).unwrap_or($default)
            };
        }
        Self {
            merge_strategy: rig
                .merge_strategy
                .or(town.merge_strategy)
                .unwrap_or(MergeStrategy::Direct),
            code_review: refinery!(code_review, true),
            review_mode: refinery!(review_mode, ReviewMode::Rework),
            auto_merge: theirs.auto_merge.unwrap_or(true),
            auto_merge_delay: refinery!(auto_merge_delay_minutes, AutoMergeDelay::Never),
            review_every_head: refinery!(review_every_head, true),
            require_fresh_approval: refinery!(require_fresh_approval, true),
            require_checks: refinery!(require_checks, false),
            auto_resolve_pr_feedback: refinery!(auto_resolve_pr_feedback, false),
            auto_resolve_merge_conflicts: refinery!(auto_resolve_merge_conflicts, true),
            merge_method: refinery!(merge_method, MergeMethod::Auto),
            gates: theirs.gates.clone().unwrap_or_default(),
            require_clean_merge: theirs.require_clean_merge.unwrap_or(true),
            convoy_merge_mode: rig
                .convoy_merge_mode
                .or(town.convoy_merge_mode)
                .unwrap_or(ConvoyMergeMode::ReviewThenLand),
            max_polecats_per_rig: rig.max_polecats_per_rig.or(town.max_polecats_per_rig),
            max_dispatch_attempts: rig
                .max_dispatch_attempts
                .or(town.max_dispatch_attempts)
                .unwrap_or(5),
        }
    }
}

/// Longest custom instruction in characters (spec 1.9).
const INSTRUCTIONS_CHARACTERS_MAX: usize = 2_000;

/// A setting that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct ConfigError {
    /// The path of the setting.
    pub field: String,
    /// What is wrong, and what was expected.
    pub problem: String,
}

fn refuse(field: &str, problem: &str) -> Result<(), ConfigError> {
    Err(ConfigError {
        field: field.into(),
        problem: problem.into(),
    })
}

fn check_shared(polecats: Option<u32>, texts: &PerRole) -> Result<(), ConfigError> {
    if polecats.is_some_and(|n| !(1..=50).contains(&n)) {
        return refuse("max_polecats_per_rig", "expected 1 to 50");
    }
    let roles = [
        ("custom_instructions.mayor", &texts.mayor),
        ("custom_instructions.refinery", &texts.refinery),
        ("custom_instructions.polecat", &texts.polecat),
    ];
    for (field, text) in roles {
        let characters = text.as_deref().unwrap_or("").chars().count();
        if characters > INSTRUCTIONS_CHARACTERS_MAX {
            return refuse(field, "expected 2,000 characters at most");
        }
    }
    Ok(())
}

impl TownConfig {
    /// What a new town starts with (spec 1.9).
    #[must_use]
    pub fn seed() -> Self {
        Self {
            merge_strategy: Some(MergeStrategy::Pr),
            staged_convoys_default: Some(true),
            refinery: RefineryConfig {
                review_mode: Some(ReviewMode::Comments),
                auto_merge_delay_minutes: Some(AutoMergeDelay::After(Duration::from_secs(300))),
                auto_resolve_pr_feedback: Some(true),
                ..RefineryConfig::default()
            },
            ..Self::default()
        }
    }

    /// Checks what the types can't.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and what was expected.
    pub fn validate(&self) -> Result<(), ConfigError> {
        check_shared(self.max_polecats_per_rig, &self.custom_instructions)
    }

    /// Every secret by its path, in the clear: the only way in which they are ever written.
    #[must_use]
    pub fn exposed_secrets(&self) -> BTreeMap<String, String> {
        let secrets = [
            ("github_cli_pat", &self.github_cli_pat),
            ("llm_token", &self.llm_token),
            ("git_auth.github_token", &self.git_auth.github_token),
        ];
        let exposed = |secret: &Option<Secret>| Some(secret.as_ref()?.expose()?.into());
        secrets
            .iter()
            .filter_map(|(path, s)| Some(((*path).into(), exposed(s)?)))
            .collect()
    }

    /// The values of variables that are named like credentials: as secret as a secret.
    pub(crate) fn credentials_of_agents(&self) -> impl Iterator<Item = &str> {
        let named = self
            .env_vars
            .iter()
            .filter(|(name, value)| names_credential(name) && !is_mask(value));
        named.map(|(_, value)| value.as_str())
    }

    /// These settings in the place of others: whatever was secret there and is not any more is retired. No
    /// setting is ever replaced without it.
    #[must_use]
    pub(crate) fn after(mut self, before: &Self) -> Self {
        let mut retired = before.retired_secrets.clone();
        let all = |config: &Self| -> BTreeSet<String> {
            let secrets = config.exposed_secrets().into_values();
            secrets
                .chain(config.credentials_of_agents().map(Into::into))
                .collect()
        };
        for text in all(before).difference(&all(&self)) {
            retired.add(text);
        }
        self.retired_secrets = retired;
        self
    }

    /// Puts secrets back that were written apart.
    pub(crate) fn restore_secrets(&mut self, exposed: &BTreeMap<String, String>) {
        let slots = [
            ("github_cli_pat", &mut self.github_cli_pat),
            ("llm_token", &mut self.llm_token),
            ("git_auth.github_token", &mut self.git_auth.github_token),
        ];
        for (path, slot) in slots {
            if let Some(text) = exposed.get(path) {
                *slot = Some(Secret::new(text.as_str()));
            }
        }
    }
}

impl RigConfig {
    /// Checks what the types can't, and that nothing is overridden that only the town sets.
    ///
    /// # Errors
    /// [`ConfigError`] names the setting and what was expected.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const TOWN_ONLY: &str = "only the town sets this";
        check_shared(self.max_polecats_per_rig, &self.custom_instructions)?;
        let town_only = [
            ("refinery.auto_merge", self.refinery.auto_merge.is_some()),
            ("refinery.gates", self.refinery.gates.is_some()),
            (
                "refinery.require_clean_merge",
                self.refinery.require_clean_merge.is_some(),
            ),
            ("role_models.mayor", self.role_models.mayor.is_some()),
            (
                "custom_instructions.mayor",
                self.custom_instructions.mayor.is_some(),
            ),
            (
                "git_auth.github_token",
                self.git_auth.github_token.is_some(),
            ),
        ];
        match town_only.iter().find(|(_, set)| *set) {
            Some((field, _)) => refuse(field, TOWN_ONLY),
            None => Ok(()),
        }
    }
}
