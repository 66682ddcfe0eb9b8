//! What the base branch demands: rulesets and classic protection (facts 1.7).

use super::{invalid, json, object};
use crate::classify::MergeMethod;
use crate::json::Json;
use crate::observation::ForgeError;

/// A check that must report, and pass, before a merge.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequiredCheck {
    /// The name of the check run, or the context of the status.
    pub name: String,
    /// The App that must have made it; none for any.
    pub app: Option<i64>,
}

/// All active rules of one branch together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BranchRules {
    /// The required checks.
    pub required_checks: Vec<RequiredCheck>,
    /// The methods that every rule about them allows; none if no rule speaks of them.
    pub allowed_methods: Option<Vec<MergeMethod>>,
    /// Merge commits are ruled out.
    pub linear_history: bool,
    /// Changes come through a merge queue only.
    pub merge_queue: bool,
    /// How many approvals are needed.
    pub required_approvals: u64,
    /// Whether every rule was understood. One that was not may demand anything.
    pub complete: bool,
}

impl BranchRules {
    /// No rules, known for certain.
    #[must_use]
    pub fn none() -> Self {
        Self {
            complete: true,
            ..Self::default()
        }
    }

    /// Takes the rules of another page.
    pub fn extend(&mut self, other: Self) {
        self.required_checks.extend(other.required_checks);
        self.allowed_methods = match (self.allowed_methods.take(), other.allowed_methods) {
            (Some(a), Some(b)) => Some(a.into_iter().filter(|it| b.contains(it)).collect()),
            (one, None) | (None, one) => one,
        };
        self.linear_history |= other.linear_history;
        self.merge_queue |= other.merge_queue;
        self.required_approvals = self.required_approvals.max(other.required_approvals);
        self.complete &= other.complete;
    }

    /// Whether a merge by this method may pass, as far as the rules go.
    #[must_use]
    pub fn allows(&self, method: MergeMethod) -> bool {
        let listed = self
            .allowed_methods
            .as_ref()
            .is_none_or(|it| it.contains(&method));
        listed && !(self.linear_history && method == MergeMethod::Merge)
    }
}

/// Reads `GET …/rules/branches/{b}`.
///
/// # Errors
/// [`ForgeError::InvalidResponse`] if it is no list.
pub fn branch_rules(body: &[u8]) -> Result<BranchRules, ForgeError> {
    let value = json(body, "branch rules")?;
    let list = value
        .as_array()
        .ok_or_else(|| invalid("branch rules", "not a list"))?;
    let mut rules = BranchRules::none();
    for rule in list {
        rules.extend(rule_of(Json::of(rule)));
    }
    Ok(rules)
}

fn rule_of(rule: Json<'_>) -> BranchRules {
    let parameters = rule.at("parameters");
    let mut found = BranchRules::none();
    match rule.at("type").text() {
        Some("required_status_checks") => {
            let checks = parameters.at("required_status_checks");
            found.complete = checks.list().is_some();
            found.extend(required(checks, "integration_id"));
        }
        Some("pull_request") => {
            let approvals = parameters.at("required_approving_review_count");
            found.required_approvals = approvals.natural().unwrap_or(0);
            let methods = parameters.at("allowed_merge_methods");
            // Words that are not known allow nothing that we could ask for.
            found.allowed_methods = methods
                .list()
                .map(|_| methods.items().filter_map(method).collect());
        }
        Some("merge_queue") => found.merge_queue = true,
        Some("required_linear_history") => found.linear_history = true,
        // Other rules show in the forge's summary of mergeability.
        Some(_) => {}
        None => found.complete = false,
    }
    found
}

/// Classic protection as everyone may see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BranchProtection {
    /// The required checks.
    pub required_checks: Vec<RequiredCheck>,
    /// Whether all that is demanded of checks was understood.
    pub complete: bool,
}

/// Reads the protection in `GET …/branches/{b}`.
///
/// # Errors
/// [`ForgeError::InvalidResponse`] if it is no JSON object.
pub fn branch_protection(body: &[u8]) -> Result<BranchProtection, ForgeError> {
    let value = object(body, "branch")?;
    let branch = Json::of(&value);
    let checks = branch.along(&["protection", "required_status_checks"]);
    // A branch that says it is protected and not how keeps something back.
    let unknown =
        branch.at("protected").flag() != Some(false) && !branch.at("protection").is_there();
    let listed = checks.at("checks").list().is_some() || checks.at("contexts").list().is_some();
    let mut rules = required(checks.at("checks"), "app_id");
    let named = |name: &str| rules.required_checks.iter().any(|it| it.name == name);
    let by_name: Vec<_> = checks
        .at("contexts")
        .items()
        .filter_map(|it| it.word())
        .filter(|it| !named(it))
        .map(|name| RequiredCheck {
            name: name.to_owned(),
            app: None,
        })
        .collect();
    rules.required_checks.extend(by_name);
    Ok(BranchProtection {
        required_checks: rules.required_checks,
        complete: rules.complete && !unknown && (listed || !checks.is_there()),
    })
}

fn required(list: Json<'_>, app_key: &str) -> BranchRules {
    let mut rules = BranchRules::none();
    for entry in list.items() {
        // -1 and null both say "any App".
        let app = entry.at(app_key);
        // An App that cannot be understood must not become "any".
        rules.complete &= app.integer().is_some() || !app.is_there();
        let app = app.integer().filter(|it| *it > 0);
        match entry.at("context").word() {
            Some(name) => rules.required_checks.push(RequiredCheck {
                name: name.to_owned(),
                app,
            }),
            None => rules.complete = false,
        }
    }
    rules
}

fn method(word: Json<'_>) -> Option<MergeMethod> {
    let word = word.text()?.to_ascii_lowercase();
    MergeMethod::AUTO.into_iter().find(|it| it.word() == word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn rules(value: Value) -> BranchRules {
        branch_rules(value.to_string().as_bytes()).unwrap()
    }

    fn protection(value: Value) -> BranchProtection {
        branch_protection(value.to_string().as_bytes()).unwrap()
    }

    fn check(name: &str, app: Option<i64>) -> RequiredCheck {
        RequiredCheck {
            name: name.to_owned(),
            app,
        }
    }

    #[test]
    fn rules_of_several_rulesets_add_up() {
        let found = rules(json!([
            {"type": "deletion"},
            {"type": "required_status_checks", "parameters": {"required_status_checks": [
                {"context": "ci", "integration_id": 15368}, {"context": "lint"}]}},
            {"type": "required_status_checks", "parameters": {"required_status_checks": [
                {"context": "e2e", "integration_id": null}]}},
            {"type": "pull_request", "parameters": {"required_approving_review_count": 1,
                "allowed_merge_methods": ["merge", "squash", "teleport"]}},
            {"type": "pull_request", "parameters": {"required_approving_review_count": 2,
                "allowed_merge_methods": ["rebase", "squash"]}},
            {"type": "merge_queue", "parameters": {"merge_method": "SQUASH"}},
        ]));
        let expected = [
            check("ci", Some(15368)),
            check("lint", None),
            check("e2e", None),
        ];
        assert_eq!(found.required_checks, expected);
        assert_eq!(found.allowed_methods, Some(vec![MergeMethod::Squash]));
        assert_eq!((found.required_approvals, found.merge_queue), (2, true));
        assert!(found.complete);
    }

    #[test]
    fn trap_26_a_rule_narrows_the_methods() {
        let squash_only = rules(json!([{"type": "pull_request",
            "parameters": {"allowed_merge_methods": ["squash"]}}]));
        let allowed = MergeMethod::AUTO.map(|it| squash_only.allows(it));
        assert_eq!(allowed, [true, false, false]);
        let linear = rules(json!([{"type": "required_linear_history"}]));
        assert_eq!(
            MergeMethod::AUTO.map(|it| linear.allows(it)),
            [true, false, true]
        );
        assert_eq!(
            MergeMethod::AUTO.map(|it| BranchRules::none().allows(it)),
            [true; 3]
        );
    }

    #[test]
    fn a_rule_that_is_not_understood_makes_all_incomplete() {
        for rule in [
            json!({"type": "required_status_checks"}),
            json!({"type": "required_status_checks",
                   "parameters": {"required_status_checks": [{"integration_id": 1}]}}),
            json!({"type": "required_status_checks", "parameters":
                   {"required_status_checks": [{"context": "ci", "integration_id": "one"}]}}),
            json!({}),
            json!(7),
        ] {
            assert!(!rules(json!([rule])).complete, "{rule}");
        }
        assert!(rules(json!([{"type": "something_new"}])).complete);
    }

    #[test]
    fn classic_protection_is_read_as_everyone_sees_it() {
        let found = protection(json!({"protected": true, "protection": {"enabled": true,
            "required_status_checks": {"enforcement_level": "everyone",
                "contexts": ["a", "b", "c"],
                "checks": [{"context": "a", "app_id": -1}, {"context": "b", "app_id": 123}]}}}));
        let expected = [check("a", None), check("b", Some(123)), check("c", None)];
        assert_eq!(found.required_checks, expected);
        assert!(found.complete);
        assert!(protection(json!({"protected": false})).complete);
        assert!(protection(json!({"protected": true, "protection": {"enabled": true}})).complete);
        assert!(!protection(json!({"protected": true})).complete);
        assert!(
            !protection(json!({"protected": true,
            "protection": {"required_status_checks": {}}}))
            .complete
        );
    }
}
