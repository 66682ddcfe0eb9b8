//! I17 secrets-out: no secret in any serialized state.
//!
//! Secrets are a type that does not print itself; what is left are texts that somebody else wrote.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Violation;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    let secrets = town.unquotable();
    if secrets.is_empty() {
        return;
    }
    let mut look = |id: &str, written: Result<String, serde_json::Error>| {
        // What can't be written is not stored either.
        let written = written.unwrap_or_default();
        if secrets.are_in(&written) {
            out.push(Violation::new("I17", [id], format!("{id} holds a secret")));
        }
    };
    for bead in town.beads() {
        look(bead.id.as_str(), serde_json::to_string(bead));
    }
    for agent in town.agents() {
        look(agent.id.as_str(), serde_json::to_string(agent));
    }
    for nudge in town.nudges() {
        look(nudge.id.as_str(), serde_json::to_string(nudge));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i17_no_text_holds_a_secret() {
        let town = "town config.git_auth.github_token=ghp_0123456789\nbead b1 issue open";
        assert!(!violations(town, "0s").contains("I17"));
        let told = std::format!("{town} body=ghp_0123456789");
        assert!(violations(&told, "0s").contains("I17 b1: b1 holds a secret"));
        let agent = std::format!("{town}\nagent a1 polecat idle status_message=ghp_0123456789");
        assert!(violations(&agent, "0s").contains("I17 a1"));
    }
}
