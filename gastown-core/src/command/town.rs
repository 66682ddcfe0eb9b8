//! Settings and the breaker (spec 2.1).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::time::Duration;

use super::check::{self, limits};
use super::data::UpdateConfig;
use super::{Actor, CommandError, Did, Executed};
use crate::breaker::BreakerState;
use crate::config::{ConfigError, PerRole, TownConfig};
use crate::ids::{BeadId, RigId};
use crate::town::Town;
use crate::wire::WireError;

/// Longest dispatch budget of one bead that settings may give.
const DISPATCH_ATTEMPTS_MAX: u32 = 1_000;

impl Town {
    pub(super) fn update_config(&mut self, update: UpdateConfig, actor: &Actor) -> Executed {
        if actor.rig.is_some() {
            return Err(CommandError::forbidden(
                "the caller may act on one rig only",
            ));
        }
        let updated = update
            .config
            .applied_to(&self.state().config)
            .map_err(|error| under_config(&error))?;
        updated.validate().map_err(refused)?;
        check_town_config(&updated)?;
        // Whoever updates says that it may be tried again, changed settings or not (spec 1.8).
        self.end_merge_method_impossible(None, actor.now);
        if updated == self.state().config {
            return check::nothing("the settings are so already");
        }
        self.state_mut().config = updated;
        self.settings_changed(None);
        Ok(Did::text("the settings are updated"))
    }

    /// Another setting may decide otherwise about every pull request of the rig, or of the town:
    /// a look is worth it now (spec 3.10).
    pub(super) fn settings_changed(&mut self, rig: Option<&RigId>) {
        let mrs: Vec<BeadId> = self
            .live_beads()
            .filter(|bead| bead.review().is_some())
            .filter(|bead| rig.is_none() || self.rig_of_review(bead).map(|of| &of.id) == rig)
            .map(|bead| bead.id.clone())
            .collect();
        for mr in mrs {
            self.look_again_at(&mr);
        }
    }

    pub(super) fn probe_by_command(&mut self, actor: &Actor) -> Executed {
        if actor.rig.is_some() {
            return Err(CommandError::forbidden("the breaker is the whole town's"));
        }
        match self.state().breaker.state {
            BreakerState::Closed => Err(CommandError::conflict(".", "the breaker is closed")),
            BreakerState::HalfOpen => Err(CommandError::conflict(".", "a probe is under way")),
            BreakerState::Open => {
                self.state_mut().breaker.probe_asked = true;
                Ok(Did::text("the next eligible bead is dispatched as a probe"))
            }
        }
    }
}

pub(super) fn under_config(error: &WireError) -> CommandError {
    let field = match error.path.as_str() {
        "." => "config".to_string(),
        path => format!("config.{path}"),
    };
    CommandError::invalid(field, error.message.clone())
}

pub(super) fn refused(error: ConfigError) -> CommandError {
    CommandError::invalid(format!("config.{}", error.field), error.problem)
}

pub(super) fn check_texts(texts: &[(&str, &Option<String>)]) -> Result<(), CommandError> {
    for (field, text) in texts {
        if let Some(text) = text {
            check::setting(&format!("config.{field}"), text)?;
        }
    }
    Ok(())
}

pub(super) fn check_per_role(models: &PerRole) -> Result<(), CommandError> {
    check_texts(&[
        ("role_models.mayor", &models.mayor),
        ("role_models.refinery", &models.refinery),
        ("role_models.polecat", &models.polecat),
    ])
}

pub(super) fn check_attempts(attempts: Option<u32>) -> Result<(), CommandError> {
    match attempts {
        Some(n) if !(1..=DISPATCH_ATTEMPTS_MAX).contains(&n) => Err(CommandError::invalid(
            "config.max_dispatch_attempts",
            format!("expected 1 to {DISPATCH_ATTEMPTS_MAX}"),
        )),
        Some(_) | None => Ok(()),
    }
}

/// Sizes and forms that the types can't hold.
fn check_town_config(config: &TownConfig) -> Result<(), CommandError> {
    check_attempts(config.max_dispatch_attempts)?;
    check_per_role(&config.role_models)?;
    check_texts(&[
        ("default_model", &config.default_model),
        ("small_model", &config.small_model),
        ("organization_id", &config.organization_id),
        ("owner", &config.owner),
        (
            "git_auth.platform_integration_id",
            &config.git_auth.platform_integration_id,
        ),
    ])?;
    let gates = config.refinery.gates.as_deref().unwrap_or_default();
    check::count("config.refinery.gates", gates.len(), limits::GATES_MAX)?;
    for (at, gate) in gates.iter().enumerate() {
        check::setting(&format!("config.refinery.gates[{at}]"), gate)?;
    }
    let sources = config.token_order.as_deref().unwrap_or_default();
    let distinct: BTreeSet<String> = sources.iter().map(|source| format!("{source:?}")).collect();
    if distinct.len() != sources.len() {
        return Err(CommandError::invalid(
            "config.token_order",
            "names a source twice",
        ));
    }
    let ticks = [
        ("tick_interval_active", config.tick_interval_active),
        ("tick_interval_idle", config.tick_interval_idle),
    ];
    let allowed = Duration::from_millis(100)..=Duration::from_secs(86_400);
    for (field, tick) in ticks {
        if tick.is_some_and(|tick| !allowed.contains(&tick)) {
            return Err(CommandError::invalid(
                format!("config.{field}"),
                "expected PT0.1S to P1D",
            ));
        }
    }
    for (path, secret) in config.exposed_secrets() {
        let field = format!("config.{path}");
        check::size(&field, secret.len(), limits::SECRET_BYTES_MAX)?;
    }
    check_env_vars(config)
}

fn check_env_vars(config: &TownConfig) -> Result<(), CommandError> {
    check::count(
        "config.env_vars",
        config.env_vars.len(),
        limits::ENV_VARS_MAX,
    )?;
    for (name, value) in &config.env_vars {
        let field = format!("config.env_vars.{}", crate::ids::shown(name, 80));
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit());
        if !is_name || name.chars().count() > limits::NAME_CHARACTERS_MAX {
            return Err(CommandError::invalid(
                field,
                "expected a name of letters, digits and underscores",
            ));
        }
        check::size(&field, value.len(), limits::TEXT_BYTES_MAX)?;
        if value.contains('\0') {
            return Err(CommandError::invalid(field, "holds a null character"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use crate::command::Caller;
    use crate::testing::{at, executes, town};

    const TOWN: &str = r#"
        town config.max_polecats_per_rig=3 config.refinery.code_review=false config.env_vars={"A":"1","B":"2"}
        rig r1
        bead b1 issue open rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1
    "#;

    #[test]
    fn an_update_of_the_settings_is_partial_and_env_vars_are_replaced_whole() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "update_config", "caller": {"kind": "host"}, "config": {"max_polecats_per_rig": null, "refinery": {"auto_merge_delay_minutes": 5}, "env_vars": {"B": "3"}}}
            {"type": "update_config", "caller": {"kind": "host"}, "config": {"refinery": {"code_review": null}}}
            {"type": "update_config", "caller": {"kind": "host"}, "config": {}}
            {"type": "update_config", "caller": {"kind": "host"}, "config": "{}"}
            {"type": "update_config", "caller": {"kind": "host"}, "config": {"refinery": {"speed": 1}}}
            {"type": "update_config", "caller": {"kind": "host"}, "config": {"refinery": {"auto_merge_delay_minutes": "soon"}}}
            {"type": "update_config", "caller": {"kind": "host"}, "config": {"env_vars": {"A=B": "1"}}}
            {"type": "update_config", "caller": {"kind": "host"}, "config": {"token_order": ["github_token", "github_token"]}}
            {"type": "update_config", "caller": {"kind": "host"}, "config": {"tick_interval_active": "PT0S"}}
            {"type": "update_config", "caller": {"kind": "user", "id": "ann", "rig_id": "r1"}, "config": {}}
        "#), @r#"
        update_config []: the settings are updated
          m1.review.poll.due_now: false → true
          town.config.env_vars.A: "1" → -
          town.config.env_vars.B: "2" → "3"
          town.config.max_polecats_per_rig: 3 → -
          town.config.refinery.auto_merge_delay_minutes: - → 5
        update_config []: the settings are updated
          town.config.refinery.code_review: false → -
        update_config []: the settings are so already
        unreadable: config: expected a JSON object, found a string: pass the object itself, not JSON inside a string
        refused Invalid: config.refinery.speed: unknown field `speed`, expected one of `code_review`, `review_mode`, `auto_merge`, `auto_merge_delay_minutes`, `review_every_head`, `require_fresh_approval`, `require_checks`, `auto_resolve_pr_feedback`, `auto_resolve_merge_conflicts`, `merge_method`, `gates`, `require_clean_merge`
        refused Invalid: config.refinery.auto_merge_delay_minutes: a number of minutes from 0 to 525600, or "never"
        refused Invalid: config.env_vars.A=B: expected a name of letters, digits and underscores
        refused Invalid: config.token_order: names a source twice
        refused Invalid: config.tick_interval_active: expected PT0.1S to P1D
        refused Forbidden: caller: the caller may act on one rig only
        "#);
    }

    /// Secrets stand in a row of their own, which nothing that counts bytes of commands sees.
    #[test]
    fn secrets_end_at_their_limit() {
        let mut town = town(TOWN);
        let mut update = |bytes: usize| {
            let secret = "x".repeat(bytes);
            let text = alloc::format!(
                r#"{{"type": "update_config", "caller": {{"kind": "host"}}, "config": {{"git_auth": {{"github_token": "{secret}"}}}}}}"#
            );
            let command = crate::wire::command_from_str(&text).unwrap();
            let answer = town.execute(command, at("0s"));
            answer.map_err(|error| error.to_string()).map(|_| ())
        };
        let most = super::limits::SECRET_BYTES_MAX;
        assert_eq!(update(most), Ok(()));
        let said = update(most + 1).unwrap_err();
        assert_eq!(
            said,
            "config.git_auth.github_token: expected 65536 bytes at most"
        );
    }

    #[test]
    fn secrets_keep_their_value_when_they_come_back_masked_and_are_never_written() {
        let mut town = town(TOWN);
        let mut update = |config: &str| {
            let text = alloc::format!(
                r#"{{"type": "update_config", "caller": {{"kind": "host"}}, "config": {config}}}"#
            );
            let command = crate::wire::command_from_str(&text).unwrap();
            let written = serde_json::to_string(&command).unwrap();
            let shown = alloc::format!("{command:?}");
            for secret in ["token-one-1234", "token-two-5678"] {
                assert!(
                    !written.contains(secret) && !shown.contains(secret),
                    "{written}"
                );
            }
            town.execute(command, at("0s")).unwrap();
            let config = &town.state().config;
            let expose = |secret: &Option<crate::secret::Secret>| {
                secret
                    .as_ref()
                    .and_then(|s| s.expose().map(ToString::to_string))
            };
            (
                expose(&config.llm_token),
                expose(&config.git_auth.github_token),
            )
        };
        let some = |text: &str| Some(text.to_string());
        let both = (some("token-one-1234"), some("token-two-5678"));
        assert_eq!(
            update(
                r#"{"llm_token": "token-one-1234", "git_auth": {"github_token": "token-two-5678"}}"#
            ),
            both
        );
        assert_eq!(update(r#"{"llm_token": "****1234", "owner": "ann"}"#), both);
        assert_eq!(
            update(r#"{"llm_token": "[redacted]", "git_auth": {"github_token": "****"}}"#),
            both
        );
        assert_eq!(
            update(r#"{"git_auth": null}"#),
            (some("token-one-1234"), None)
        );
        assert_eq!(update(r#"{"llm_token": null}"#), (None, None));
    }

    /// I17: what was written while they were in use stays, and a report has to know them.
    #[test]
    fn secrets_that_are_replaced_or_removed_are_kept_and_never_shown() {
        let mut town = town(TOWN);
        let update = |town: &mut crate::town::Town, config: &str| {
            let text = alloc::format!(
                r#"{{"type": "update_config", "caller": {{"kind": "host"}}, "config": {config}}}"#
            );
            let command = crate::wire::command_from_str(&text).unwrap();
            town.execute(command, at("0s")).unwrap();
            let retired = &town.state().config.retired_secrets;
            retired
                .exposed()
                .map(ToString::to_string)
                .collect::<alloc::vec::Vec<_>>()
        };
        let first = r#"{"llm_token": "llm-first-1", "github_cli_pat": "short", "env_vars": {"API_KEY": "key-first-1", "STAGE": "production"}}"#;
        assert!(update(&mut town, first).is_empty());
        assert!(update(&mut town, r#"{"owner": "ann"}"#).is_empty());
        let gone = update(
            &mut town,
            r#"{"llm_token": "llm-second-2", "github_cli_pat": null, "env_vars": null}"#,
        );
        assert_eq!(gone, ["key-first-1", "llm-first-1"]);
        // Whoever gives it once more finds nothing to do.
        assert_eq!(update(&mut town, r#"{"llm_token": "llm-second-2"}"#), gone);
        let gone = update(&mut town, r#"{"llm_token": null}"#);
        assert_eq!(gone, ["key-first-1", "llm-first-1", "llm-second-2"]);

        let state = town.state();
        let shown = [
            alloc::format!("{town:?} {state:?}"),
            serde_json::to_string(&state.config).unwrap(),
            crate::wire::snapshot_to_value(&town).unwrap().to_string(),
        ];
        for shown in shown {
            assert!(
                !shown.contains("llm-") && !shown.contains("key-first"),
                "{shown}"
            );
        }
        let evidence = r#"{"note":"401 for llm-first-1 and key-first-1"}"#;
        let hidden = crate::report::hide_secrets([&state.config], evidence);
        assert_eq!(hidden, r#"{"note":"401 for [redacted] and [redacted]"}"#);
        let rows = town.take_changes().put;
        for row in &rows {
            let is_secret = crate::town::is_secret_row(&row.key);
            assert_eq!(row.body.contains("llm-first-1"), is_secret, "{}", row.body);
        }
        assert_eq!(crate::town::Town::from_rows(rows).unwrap(), town);
    }

    #[test]
    fn probe_asks_an_open_breaker_for_one_dispatch_more() {
        let probe = r#"{"type": "probe", "caller": {"kind": "user", "id": "ann"}}"#;
        insta::assert_snapshot!(executes(TOWN, probe), @"refused Conflict: .: the breaker is closed");
        let open = TOWN.replace("town ", "town breaker.state=open ");
        insta::assert_snapshot!(executes(&open, probe), @"
        probe []: the next eligible bead is dispatched as a probe
          town.breaker.probe_asked: false → true
        ");
        let of_one_rig =
            r#"{"type": "probe", "caller": {"kind": "user", "id": "ann", "rig_id": "r1"}}"#;
        insta::assert_snapshot!(executes(&open, of_one_rig), @"refused Forbidden: caller: the breaker is the whole town's");
        assert_eq!(
            Caller::user("ann"),
            Caller::User {
                id: "ann".into(),
                rig_id: None
            }
        );
    }
}
