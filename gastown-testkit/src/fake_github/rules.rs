//! What a branch demands.

/// How a merge is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// A commit with two parents.
    Merge,
    /// One commit for all.
    Squash,
    /// Every commit anew.
    Rebase,
}

impl Method {
    /// GitHub's word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
        }
    }

    /// Reads GitHub's word.
    #[must_use]
    pub fn read(word: &str) -> Option<Self> {
        let all = [Self::Merge, Self::Squash, Self::Rebase];
        all.into_iter().find(|it| it.word() == word)
    }
}

/// A check that must pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequiredCheck {
    /// Its name.
    pub context: String,
    /// The App that has to make it; none for any.
    pub app: Option<i64>,
}

/// Where a demand is written down, which decides where it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Written {
    /// In a ruleset.
    #[default]
    Ruleset,
    /// In classic branch protection.
    Protection,
}

/// What a branch demands of a merge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Where the checks are written down; the rest always is in a ruleset.
    pub written: Written,
    /// Checks that must pass.
    pub required_checks: Vec<RequiredCheck>,
    /// Whether the head has to have everything of its base.
    pub strict: bool,
    /// How many writers have to approve.
    pub approvals: u32,
    /// Whether a push makes approvals void.
    pub dismiss_stale: bool,
    /// Whether every thread has to be resolved.
    pub resolve_threads: bool,
    /// Methods that a rule allows; none: all of them.
    pub methods: Option<Vec<Method>>,
    /// Whether merge commits are ruled out.
    pub linear_history: bool,
    /// Whether merges go through a queue.
    pub merge_queue: bool,
}

impl Rules {
    /// The same with one more required check, of any App.
    #[must_use]
    pub fn requiring(mut self, context: &str) -> Self {
        self.required_checks.push(RequiredCheck {
            context: context.to_owned(),
            app: None,
        });
        self
    }
}
