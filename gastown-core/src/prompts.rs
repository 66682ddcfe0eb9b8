//! What agents are told to do: one template per role and situation (spec 6.6).

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::agent::Role;
use crate::config::{MergeStrategy, PerRole, ReviewMode, Settings};
use crate::context::{Prime, ReviewContext, Situation};
use crate::ids::cut;
use crate::rig::Rig;
use crate::town::Town;
use crate::work::Work;

/// How much of a bead's body stands in the prompt, in characters; all of it is in the context.
const BODY_CHARACTERS_MAX: usize = 20_000;
/// How much of a triage request stands in the prompt, in characters.
const REQUEST_CHARACTERS_MAX: usize = 2_000;
/// How much of the list of files to change stands in the prompt, in characters.
const FILES_CHARACTERS_MAX: usize = 20_000;
/// How many rigs the mayor's prompt lists.
const RIGS_LISTED_MAX: usize = 50;

const POLECAT_ISSUE: &str = include_str!("prompts/polecat_issue.md");
const POLECAT_REWORK: &str = include_str!("prompts/polecat_rework.md");
const POLECAT_PR_FIXUP: &str = include_str!("prompts/polecat_pr_fixup.md");
const POLECAT_PR_FEEDBACK: &str = include_str!("prompts/polecat_pr_feedback.md");
const POLECAT_PR_CONFLICT: &str = include_str!("prompts/polecat_pr_conflict.md");
const POLECAT_TRIAGE: &str = include_str!("prompts/polecat_triage.md");
const REFINERY: &str = include_str!("prompts/refinery.md");
const REFINERY_COMMENTS: &str = include_str!("prompts/refinery_comments.md");
const REFINERY_CHANGES: &str = include_str!("prompts/refinery_changes.md");
const REFINERY_MERGE_DIRECT: &str = include_str!("prompts/refinery_merge_direct.md");
const REFINERY_MERGE_PR: &str = include_str!("prompts/refinery_merge_pr.md");
const REFINERY_OPEN_PR: &str = include_str!("prompts/refinery_open_pr.md");
const MAYOR: &str = include_str!("prompts/mayor.md");

/// The instructions for an agent in its situation, with the custom ones appended.
pub(crate) fn prompt_for(town: &Town, prime: &Prime) -> String {
    prompt_within(town, prime, None)
}

/// The same; where the context is cut, too, with at most so many characters of each text that it quotes.
pub(crate) fn prompt_within(town: &Town, prime: &Prime, characters_max: Option<usize>) -> String {
    let rig = prime.agent.rig_id.as_ref().and_then(|id| town.rig(id));
    let settings = town.settings(rig.map(|rig| &rig.id));
    let writer = Writer {
        town,
        prime,
        rig,
        settings,
        characters_max,
    };
    let mut out = writer.write();
    if let Some(custom) = writer.custom_instructions() {
        out.push_str("\nInstructions of this town:\n\n");
        out.push_str(custom);
        out.push('\n');
    }
    out
}

/// The value for a role, of the rig or else of the town; the mayor's is the town's alone.
pub(crate) fn of_role<'a>(
    town: &'a PerRole,
    rig: Option<&'a PerRole>,
    role: Role,
) -> Option<&'a str> {
    let of = |values: &'a PerRole| match role {
        Role::Polecat => values.polecat.as_deref(),
        Role::Refinery => values.refinery.as_deref(),
        Role::Mayor => values.mayor.as_deref(),
    };
    rig.filter(|_| role != Role::Mayor)
        .and_then(of)
        .or_else(|| of(town))
}

struct Writer<'a> {
    town: &'a Town,
    prime: &'a Prime,
    rig: Option<&'a Rig>,
    settings: Settings,
    /// How much of each text is quoted, where the context is cut, too.
    characters_max: Option<usize>,
}

impl Writer<'_> {
    fn write(&self) -> String {
        match (self.prime.agent.role, &self.prime.situation) {
            (Role::Mayor, _) => self.mayor(),
            (Role::Refinery, Some(Situation::Review(review))) => self.refinery(review),
            (Role::Refinery | Role::Polecat, Some(Situation::Rework(rework))) => {
                let files = match rework.files.as_slice() {
                    [] => String::new(),
                    files => {
                        let files = files.join(", ");
                        let files = self.cut(&files, FILES_CHARACTERS_MAX);
                        format!("\nThe files meant: {files}\n")
                    }
                };
                let mr = rework.mr_bead_id.as_ref().map_or("?", |id| id.as_str());
                let original = rework.original_title.as_deref().unwrap_or("?");
                let own = [
                    ("files", files.as_str()),
                    ("mr", mr),
                    ("original", original),
                ];
                self.fill(POLECAT_REWORK, &own)
            }
            (Role::Refinery | Role::Polecat, Some(Situation::PrFixup(fixup))) => {
                let is_feedback = matches!(self.work(), Some(Work::PrFeedback(_)));
                let template = if is_feedback {
                    POLECAT_PR_FEEDBACK
                } else {
                    POLECAT_PR_FIXUP
                };
                self.fill(template, &[("pr_url", or_unknown(fixup.pr_url.as_deref()))])
            }
            (Role::Refinery | Role::Polecat, Some(Situation::PrConflict(conflict))) => {
                let feedback = if conflict.has_feedback {
                    "- There is feedback too. Settle each unresolved review thread as a whole and \
                     resolve it, and repair the failing checks.\n"
                } else {
                    ""
                };
                let pr_url = or_unknown(conflict.pr_url.as_deref());
                self.fill(
                    POLECAT_PR_CONFLICT,
                    &[("feedback", feedback), ("pr_url", pr_url)],
                )
            }
            (Role::Refinery | Role::Polecat, Some(Situation::Triage(triage))) => {
                let mut requests = String::new();
                for request in &triage.requests {
                    requests.push_str(&format!(
                        "- {} ({}): {}\n  agent {}, bead {}, options: {}\n",
                        request.request_id,
                        request.triage_type.as_str(),
                        self.cut(request.text(), REQUEST_CHARACTERS_MAX),
                        request.agent_id.as_ref().map_or("none", |id| id.as_str()),
                        request.bead_id.as_ref().map_or("none", |id| id.as_str()),
                        request.options.join(", "),
                    ));
                }
                self.fill(POLECAT_TRIAGE, &[("requests", &requests)])
            }
            (Role::Polecat, Some(Situation::Review(_)))
            | (Role::Refinery | Role::Polecat, None) => {
                let finish = self.finish();
                let steps = self.steps();
                self.fill(POLECAT_ISSUE, &[("finish", &finish), ("steps", &steps)])
            }
        }
    }

    /// The first characters of a text, marked where it is cut.
    fn cut(&self, text: &str, characters_max: usize) -> String {
        match self.characters_max {
            None => cut(
                text,
                characters_max,
                " … (cut; all of it is in the context)",
            ),
            Some(max) => cut(text, characters_max.min(max), " … (cut)"),
        }
    }

    fn work(&self) -> Option<&Work> {
        self.prime.bead.as_ref().and_then(|bead| bead.work())
    }

    /// Fills a template with its own values and those that all share.
    fn fill(&self, template: &str, own: &[(&str, &str)]) -> String {
        let bead = self.prime.bead.as_ref();
        let body = bead.and_then(|bead| bead.body.as_deref()).unwrap_or("");
        let body = match body.trim() {
            "" if bead.is_some_and(|bead| bead.review().is_some()) => {
                "(Its author said nothing more about it.)".to_string()
            }
            "" => "(There is no further description.)".to_string(),
            body => self.cut(body, BODY_CHARACTERS_MAX),
        };
        let gates = self.gates();
        let push = match self.push_flags() {
            "" => String::new(),
            flags => format!("- Push with these flags: `{flags}`\n"),
        };
        let mut values: Vec<(&str, &str)> = alloc::vec![
            ("name", self.prime.agent.name.as_str()),
            ("rig", self.rig.map_or("none", |rig| rig.name.as_str())),
            ("bead", bead.map_or("none", |bead| bead.id.as_str())),
            ("title", bead.map_or("", |bead| bead.title.as_str())),
            ("body", &body),
            ("branch", self.prime.branch.as_deref().unwrap_or("none")),
            (
                "target",
                self.prime.target_branch.as_deref().unwrap_or("none")
            ),
            ("gates", &gates),
            ("push", &push),
        ];
        values.extend_from_slice(own);
        fill(template, &values)
    }

    fn push_flags(&self) -> &str {
        let flags = self
            .rig
            .and_then(|rig| rig.config.git_push_flags.as_deref());
        flags.unwrap_or("").trim()
    }

    fn gates(&self) -> String {
        if self.settings.gates.is_empty() {
            return "- Run the repository's own tests and checks; they must pass.\n".to_string();
        }
        let mut out = "- Run these gates; every one must pass:\n".to_string();
        for gate in &self.settings.gates {
            out.push_str(&format!("  - `{gate}`\n"));
        }
        out
    }

    /// How a polecat hands its work over: by a pull request, or by its branch alone.
    fn finish(&self) -> String {
        let bead = self.prime.bead.as_ref();
        let feature = bead.and_then(|bead| self.town.feature_convoy_of(&bead.id));
        let opens_pr = self.settings.merge_strategy == MergeStrategy::Pr && feature.is_none();
        let template = if opens_pr {
            "- Push `{{branch}}`, open a pull request from it to `{{target}}`, and call `gt_done` \
             with the branch, pr_url, head_sha and a summary of what you did.\n"
        } else {
            "- Push `{{branch}}` and call `gt_done` with the branch, head_sha and a summary of \
             what you did. Open no pull request: the refinery merges it into `{{target}}`.\n"
        };
        self.fill(template, &[])
    }

    /// The steps of the bead's molecule, if it has one.
    fn steps(&self) -> String {
        let Some(molecule) = &self.prime.molecule else {
            return String::new();
        };
        let mut out = "- The work has steps. Do them in order, and call `gt_mol_advance` after \
                       each:\n"
            .to_string();
        for step in &molecule.steps {
            let mark = if step.closed { "x" } else { " " };
            let title = self.cut(&step.title, REQUEST_CHARACTERS_MAX);
            out.push_str(&format!("  - [{mark}] {title}\n"));
        }
        out
    }

    fn refinery(&self, review: &ReviewContext) -> String {
        let pull_request = match &review.pr_url {
            Some(url) => format!(", in pull request {url}"),
            None => String::new(),
        };
        let convoy = match &review.convoy {
            Some(convoy) if review.lands_convoy => {
                format!("\nIt lands convoy {} ({}).", convoy.convoy_id, convoy.title)
            }
            Some(convoy) => format!(
                "\nIt belongs to convoy {} ({}), of which {} of {} issues are finished.",
                convoy.convoy_id, convoy.title, convoy.closed, convoy.total
            ),
            None => String::new(),
        };
        let merges = if review.is_direct && review.pr_url.is_none() {
            " and merge what is good"
        } else {
            ""
        };
        let asked = match (&review.original_title, review.original_body.as_deref()) {
            (Some(title), body) if !review.lands_convoy => {
                let body = self.cut(body.unwrap_or("").trim(), BODY_CHARACTERS_MAX);
                let asked = format!("What was asked for: {title}\n\n{body}");
                format!("\n{}\n", asked.trim_end())
            }
            (Some(_) | None, _) => String::new(),
        };
        let verdict = self.verdict(review);
        self.fill(
            REFINERY,
            &[
                ("asked", &asked),
                ("pull_request", &pull_request),
                ("convoy", &convoy),
                ("merges", merges),
                ("verdict", verdict.trim_end()),
            ],
        )
    }

    /// What a refinery does with what it found. Comments need a pull request to stand on.
    fn verdict(&self, review: &ReviewContext) -> String {
        let has_pr = review.pr_url.is_some();
        if has_pr && review.review_mode == ReviewMode::Comments {
            return self.fill(REFINERY_COMMENTS, &[]);
        }
        let clean = if self.settings.require_clean_merge {
            " (if that conflicts, request changes instead)"
        } else {
            " (small conflicts you may resolve yourself)"
        };
        let push_flags = match self.push_flags() {
            "" => String::new(),
            flags => format!(" with `{flags}`"),
        };
        let merge = if has_pr {
            REFINERY_MERGE_PR
        } else if review.is_direct {
            REFINERY_MERGE_DIRECT
        } else {
            REFINERY_OPEN_PR
        };
        let own = [("clean", clean), ("push_flags", push_flags.as_str())];
        let mut out = self.fill(REFINERY_CHANGES, &[]);
        out.push_str(&self.fill(merge, &own));
        out
    }

    fn mayor(&self) -> String {
        let mut rigs = String::new();
        for rig in self.town.rigs().take(RIGS_LISTED_MAX) {
            rigs.push_str(&format!("- {} ({})\n", rig.id, rig.name));
        }
        if rigs.is_empty() {
            rigs.push_str("- none yet; a person has to add one\n");
        }
        self.fill(MAYOR, &[("town", self.town.id().as_str()), ("rigs", &rigs)])
    }

    fn custom_instructions(&self) -> Option<&str> {
        let town = &self.town.state().config.custom_instructions;
        let rig = self.rig.map(|rig| &rig.config.custom_instructions);
        of_role(town, rig, self.prime.agent.role)
            .map(str::trim)
            .filter(|text| !text.is_empty())
    }
}

fn or_unknown(url: Option<&str>) -> &str {
    url.unwrap_or("(its URL is not known)")
}

/// Puts values in place of `{{name}}`, in one pass: what a value holds is not looked at again.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out.push_str(before);
        let Some((name, after)) = after.split_once("}}") else {
            break;
        };
        let value = values.iter().rev().find(|(known, _)| *known == name);
        out.push_str(value.map_or("", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_filled_again() {
        let values = [("a", "{{b}}"), ("b", "B")];
        assert_eq!(fill("x {{a}} {{b}} {{c}}{", &values), "x {{b}} B {");
    }
}
