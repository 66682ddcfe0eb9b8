//! Which branch work is done on, and where it goes (spec 2.1, 4.1).

use alloc::format;
use alloc::string::{String, ToString};

use crate::agent::Agent;
use crate::bead::Bead;
use crate::convoy::Convoy;
use crate::ids::BeadId;
use crate::review::Review;
use crate::rig::Rig;
use crate::town::Town;
use crate::work::Work;

/// Longest slug in a branch name, in characters (spec 2.1).
const SLUG_CHARACTERS_MAX: usize = 40;

/// The end of a convoy's feature branch; leaves room for branches under its prefix.
const HEAD: &str = "/head";

/// The feature branch of a new convoy.
pub(crate) fn feature_branch(title: &str, convoy: &BeadId) -> String {
    format!(
        "convoy/{}/{}{HEAD}",
        slug(title, "convoy"),
        short_bead(convoy)
    )
}

/// The words of `text` in lower case, joined by hyphens: a part of a branch name.
pub(crate) fn slug(text: &str, otherwise: &str) -> String {
    let cut: String = hyphenated(text).chars().take(SLUG_CHARACTERS_MAX).collect();
    let cut = cut.trim_matches('-');
    if cut.is_empty() {
        otherwise.to_string()
    } else {
        cut.to_string()
    }
}

/// A slug before it is cut, for whoever looks for a text in branch names.
pub(crate) fn hyphenated(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_ascii_alphanumeric() {
            out.push(c);
        } else if !out.is_empty() && !out.ends_with('-') {
            out.push('-');
        }
    }
    if out.ends_with('-') {
        out.pop();
    }
    out
}

/// A short name of a bead for branches: the first eight characters of its id and, where that
/// leaves something out, a digest of all of it. Identifiers that the engine makes share their
/// first characters, so that these alone would give two beads one branch.
pub(crate) fn short_bead(id: &BeadId) -> String {
    let text = id.as_str();
    let plain = text.len() <= 8 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let head = slug(&crate::ids::first_eight(text), "bead");
    if plain && head == text {
        head
    } else {
        format!("{head}-{}", crate::digest::hex8(text))
    }
}

/// Whether git takes a text as the name of a branch (`git check-ref-format --branch`).
#[must_use]
pub fn is_branch_name(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty() && !part.starts_with('.') && !part.to_ascii_lowercase().ends_with(".lock")
    };
    let bad = |c: char| {
        c.is_control() || c.is_whitespace() || matches!(c, '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    text.split('/').all(part)
        && !text.starts_with('-')
        && !text.ends_with('.')
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains(bad)
        && !matches!(text, "@" | "HEAD")
}

impl Town {
    /// The convoy whose feature branch an issue's work goes to, if there is one.
    pub(crate) fn feature_convoy_of(&self, issue: &BeadId) -> Option<(&Bead, &Convoy, &str)> {
        let bead = self.convoy_of(issue)?;
        let convoy = bead.convoy()?;
        Some((bead, convoy, convoy.lands_from()?))
    }

    /// Where an issue's work goes: its convoy's feature branch if the convoy is review-then-land
    /// and has one, else the default branch of its rig (spec 4.1).
    pub(crate) fn target_branch_of(&self, issue: &Bead) -> Option<String> {
        match self.feature_convoy_of(&issue.id) {
            Some((_, _, branch)) => Some(branch.to_string()),
            None => self.rig_of(issue).map(|rig| rig.default_branch.clone()),
        }
    }

    /// Why a branch is nobody's own: work goes there. It contains itself, so a review of it would land
    /// whatever it holds (I20).
    pub(crate) fn why_shared(&self, rig: Option<&Rig>, branch: &str) -> Option<&'static str> {
        if rig.is_some_and(|rig| rig.default_branch == branch) {
            return Some("is the rig's default branch");
        }
        let mut convoys = self.beads().filter_map(Bead::convoy);
        convoys
            .any(|convoy| convoy.feature_branch.as_deref() == Some(branch))
            .then_some("is the feature branch of a convoy")
    }

    /// The branch that a session works on: the one that a repair names, the one under review for a
    /// refinery, else the agent's own.
    pub(crate) fn session_branch(&self, agent: &Agent, bead: &Bead) -> String {
        let named = match bead.work() {
            Some(Work::Rework(work)) => work.branch.as_ref(),
            Some(Work::PrFeedback(work)) => work.branch.as_ref(),
            Some(Work::PrConflict(work)) => work.branch.as_ref(),
            Some(Work::PrFixup(work)) => work.branch.as_ref(),
            Some(Work::Plain | Work::TriageRequest(_) | Work::TriageBatch | Work::MoleculeStep)
            | None => None,
        };
        named
            .or_else(|| self.review_worked_on(bead).map(|review| &review.branch))
            .cloned()
            .unwrap_or_else(|| self.work_branch(agent, bead))
    }

    /// The branch that a session begins from and that its work goes to.
    pub(crate) fn session_target(&self, bead: &Bead, rig: &Rig) -> String {
        self.repaired_target(bead)
            .or_else(|| Some(self.review_worked_on(bead)?.target_branch.clone()))
            .or_else(|| Some(self.feature_convoy_of(&bead.id)?.2.to_string()))
            .unwrap_or_else(|| rig.default_branch.clone())
    }

    /// The branch that a repair's branch goes to: the one that it names, else its review's.
    pub(crate) fn repaired_target(&self, repair: &Bead) -> Option<String> {
        let named = match repair.work()? {
            Work::Rework(work) => &work.target_branch,
            Work::PrConflict(work) => &work.target_branch,
            Work::PrFixup(work) => &work.target_branch,
            Work::PrFeedback(work) => &work.conflict_target_branch,
            Work::Plain | Work::TriageRequest(_) | Work::TriageBatch | Work::MoleculeStep => &None,
        };
        named
            .clone()
            .or_else(|| Some(self.review_worked_on(repair)?.target_branch.clone()))
    }

    /// The review that a bead is, or repairs.
    fn review_worked_on<'a>(&'a self, bead: &'a Bead) -> Option<&'a Review> {
        let mr = self.repaired_mr(bead).and_then(|id| self.bead(id));
        mr.unwrap_or(bead).review()
    }

    /// The branch of an agent's own on which it works on a bead.
    pub(crate) fn work_branch(&self, agent: &Agent, bead: &Bead) -> String {
        let own = format!("gt/{}/{}", slug(&agent.name, "agent"), short_bead(&bead.id));
        // The feature branch ends in `/head` to leave room for branches under its prefix; git has
        // none under a branch that does not.
        let feature = self.feature_convoy_of(&bead.id);
        match feature.and_then(|(_, _, branch)| branch.strip_suffix(HEAD)) {
            Some(prefix) => format!("{prefix}/{own}"),
            None => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_git_takes() {
        for text in ["main", "gt/amber/t1-b1", "a.b", "feature/é", "x@y"] {
            assert!(is_branch_name(text), "{text}");
        }
        for text in [
            "", "/a", "a/", "a//b", ".a", "a/.b", "a..b", "a.lock", "a b", "a~1", "a^", "a:b",
            "a?", "a*", "a[", "a\\b", "@", "a@{1}", "-a", "a.", "HEAD", "a\n",
        ] {
            assert!(!is_branch_name(text), "{text:?}");
        }
    }

    #[test]
    fn slugs_are_parts_of_branch_names() {
        assert_eq!(slug("Add  OAuth (v2)!", "convoy"), "add-oauth-v2");
        assert_eq!(slug("…", "convoy"), "convoy");
        assert_eq!(slug(&"ab ".repeat(40), "convoy").len(), SLUG_CHARACTERS_MAX);
    }

    #[test]
    fn short_names_of_beads_differ() {
        let short = |id: &str| short_bead(&BeadId::new(id).unwrap());
        assert_eq!(short("b1"), "b1");
        assert_ne!(short("example-town-b1"), short("example-town-b2"));
        assert_ne!(short("B1"), short("b1"));
        assert!(
            short("a..b~^:")
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        );
    }
}
