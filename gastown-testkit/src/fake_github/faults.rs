//! What goes wrong, by script.

use std::time::Duration;

use serde_json::Value;

use super::World;

/// Which requests a fault strikes.
#[derive(Clone, Debug, Default)]
pub struct Requests {
    method: Option<String>,
    path: Option<String>,
    operation: Option<String>,
    skip: u32,
    times: Option<u32>,
}

impl Requests {
    /// Every request.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// Those of this method whose path ends like this: `("PUT", "/pulls/7/merge")`.
    #[must_use]
    pub fn to(method: &str, path_end: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            path: Some(path_end.to_owned()),
            ..Self::default()
        }
    }

    /// Those of this GraphQL operation: `"Observation"`.
    #[must_use]
    pub fn graphql(operation: &str) -> Self {
        Self {
            operation: Some(operation.to_owned()),
            ..Self::default()
        }
    }

    /// Only the nth of them from now, counted from 1.
    #[must_use]
    pub fn nth(mut self, nth: u32) -> Self {
        self.skip = nth.saturating_sub(1);
        self.times = Some(1);
        self
    }

    /// Only the next ones, so many.
    #[must_use]
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }

    /// Whether this request is struck; it counts if it is one of them.
    pub(super) fn strike(&mut self, method: &str, path: &str, operation: Option<&str>) -> bool {
        let same = self.method.as_ref().is_none_or(|it| it == method)
            && self
                .path
                .as_ref()
                .is_none_or(|it| path.ends_with(it.as_str()))
            && (self.operation.is_none() || self.operation.as_deref() == operation);
        if !same {
            return false;
        }
        if self.skip > 0 {
            self.skip = self.skip.saturating_sub(1);
            return false;
        }
        match &mut self.times {
            None => true,
            Some(0) => false,
            Some(left) => {
                *left = left.saturating_sub(1);
                true
            }
        }
    }
}

/// How GitHub says that a secondary limit was reached; it has many ways.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secondary {
    /// 403 with `Retry-After` in seconds.
    Seconds(u64),
    /// 429 with `Retry-After` as a date, so many seconds from now.
    Date(u64),
    /// 403, and only the body says so.
    BodyOnly,
}

/// What happens to a request.
pub enum Fault {
    /// It is answered like this and has no effect.
    Instead {
        /// The status.
        status: u16,
        /// The body.
        body: Value,
    },
    /// It has its effect and is then answered with this status.
    AfterEffect {
        /// The status, 502 say.
        status: u16,
    },
    /// It is redirected.
    Redirect {
        /// 301, 302, 307 or 308.
        status: u16,
        /// Where to.
        location: String,
    },
    /// A secondary limit.
    SecondaryLimit(Secondary),
    /// GraphQL answers, and the fields at this path of names can't be read.
    PartialGraphql {
        /// Names of fields from `data` on, without list positions.
        path: Vec<String>,
        /// GitHub's `type`: `FORBIDDEN` say.
        kind: String,
    },
    /// It has its effect, and nothing is answered: the connection ends.
    Lost,
    /// It has its effect, and only so many bytes of its answer arrive.
    CutBody {
        /// How many.
        bytes: usize,
    },
    /// It has its effect, and the answer takes so long (by the machine's clock).
    Slow(Duration),
    /// Something changes just before it is looked at.
    Before(Box<dyn FnMut(&mut World) + Send>),
}

impl std::fmt::Debug for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Instead { .. } => "Instead",
            Self::AfterEffect { .. } => "AfterEffect",
            Self::Redirect { .. } => "Redirect",
            Self::SecondaryLimit(_) => "SecondaryLimit",
            Self::PartialGraphql { .. } => "PartialGraphql",
            Self::Lost => "Lost",
            Self::CutBody { .. } => "CutBody",
            Self::Slow(_) => "Slow",
            Self::Before(_) => "Before",
        })
    }
}

impl Fault {
    /// 502 without any effect.
    #[must_use]
    pub fn bad_gateway() -> Self {
        Self::Instead {
            status: 502,
            body: serde_json::json!({"message": "Server Error"}),
        }
    }

    /// The base branch moved while GitHub was merging: it passes by itself.
    #[must_use]
    pub fn base_modified() -> Self {
        let message = "Base branch was modified. Review and try the merge again.";
        Self::Instead {
            status: 405,
            body: serde_json::json!({"message": message}),
        }
    }
}
