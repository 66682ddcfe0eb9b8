//! The chain of a town, as its settings order it (spec 4.7).

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(feature = "app")]
use std::sync::Mutex;

use gastown_core::{RigConfig, Secret, TokenSource, TownConfig};

#[cfg(feature = "app")]
use super::app::{AppIdentity, Installation, InstallationTokens};
use super::{Asker, CredentialOrder, CredentialSource, KnownToken, Token};
use crate::url::ForgeHost;

/// Where a town looks that does not say where.
const ORDER: [TokenSource; 3] = [
    TokenSource::GithubToken,
    TokenSource::GithubCliPat,
    TokenSource::PlatformIntegration,
];

/// What the settings of a town and a rig say about tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenSettings {
    order: Option<Vec<TokenSource>>,
    github_token: Option<Secret>,
    github_cli_pat: Option<Secret>,
    /// The town's, then the rig's.
    integrations: Vec<String>,
}

impl TokenSettings {
    /// Reads both settings; a rig has nothing but an integration of its own.
    #[must_use]
    pub fn of(town: &TownConfig, rig: Option<&RigConfig>) -> Self {
        let integration = |of: &gastown_core::GitAuth| of.platform_integration_id.clone();
        let rigs = rig.and_then(|it| integration(&it.git_auth));
        let mut integrations: Vec<String> = integration(&town.git_auth).into_iter().collect();
        integrations.extend(rigs.filter(|it| !integrations.contains(it)));
        Self {
            order: town.token_order.clone(),
            github_token: town.git_auth.github_token.clone(),
            github_cli_pat: town.github_cli_pat.clone(),
            integrations,
        }
    }
}

/// The settings of all towns, as the host keeps them.
pub trait TownSettings: Send + Sync {
    /// What they say now for this asker; none for a town that is not known.
    fn tokens(&self, asker: &Asker) -> Option<TokenSettings>;
}

/// Settings that stand in a map, by town and rig.
impl TownSettings for BTreeMap<Asker, TokenSettings> {
    fn tokens(&self, asker: &Asker) -> Option<TokenSettings> {
        self.get(asker).cloned()
    }
}

/// What the platform's integrations are.
///
/// # To ensure correctness
/// - The same identifier gives the same source, so that tokens are fetched once and kept.
pub trait PlatformIntegrations: Send + Sync {
    /// The source of this `platform_integration_id`; none if there is no such integration.
    fn source(&self, id: &str) -> Option<Arc<dyn CredentialSource>>;

    /// Lets every source forget what it keeps.
    fn forget(&self);
}

/// A platform without integrations.
#[derive(Clone, Copy, Debug)]
pub struct NoIntegrations;

impl PlatformIntegrations for NoIntegrations {
    fn source(&self, _: &str) -> Option<Arc<dyn CredentialSource>> {
        None
    }

    fn forget(&self) {}
}

/// Integrations that are installations of one GitHub App, by their number.
#[cfg(feature = "app")]
pub struct AppInstallations {
    identity: AppIdentity,
    host: ForgeHost,
    transport: Arc<dyn crate::transport::Transport>,
    clock: Arc<dyn crate::clock::Clock>,
    known: Mutex<BTreeMap<u64, Arc<InstallationTokens>>>,
}

#[cfg(feature = "app")]
impl std::fmt::Debug for AppInstallations {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppInstallations")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

#[cfg(feature = "app")]
impl AppInstallations {
    /// The installations of this App on this host.
    pub fn new(
        identity: AppIdentity,
        host: ForgeHost,
        transport: Arc<dyn crate::transport::Transport>,
        clock: Arc<dyn crate::clock::Clock>,
    ) -> Self {
        Self {
            identity,
            host,
            transport,
            clock,
            known: Mutex::default(),
        }
    }
}

#[cfg(feature = "app")]
impl PlatformIntegrations for AppInstallations {
    fn source(&self, id: &str) -> Option<Arc<dyn CredentialSource>> {
        let number: u64 = id.parse().ok()?;
        let mut known = crate::client::lock(&self.known);
        let source = known.entry(number).or_insert_with(|| {
            Arc::new(InstallationTokens::new(
                format!("platform integration {number}"),
                self.identity.clone(),
                self.host.clone(),
                Installation::Number(number),
                self.transport.clone(),
                self.clock.clone(),
            ))
        });
        Some(Arc::clone(source) as Arc<dyn CredentialSource>)
    }

    fn forget(&self) {
        let known = crate::client::lock(&self.known);
        known.values().for_each(|it| it.forget_all());
    }
}

/// The chain of spec 4.7 for every town: stored token, personal token, integration of the town, else
/// of the rig; in the town's `token_order` if it has one. Changed settings count from the next
/// request on.
///
/// ```
/// use std::collections::BTreeMap;
/// use std::sync::Arc;
///
/// use gastown_core::TownConfig;
/// use gastown_github::credentials::town::{NoIntegrations, TokenSettings, TownTokens};
/// use gastown_github::credentials::{Asker, CredentialChain};
/// use gastown_github::url::ForgeHost;
///
/// let asker = Asker { town: Some("t1".into()), rig: Some("r1".into()) };
/// let settings = TokenSettings::of(&TownConfig::seed(), None);
/// let towns = Arc::new(BTreeMap::from([(asker, settings)]));
/// let tokens = TownTokens::new(ForgeHost::github_com(), towns, Arc::new(NoIntegrations));
/// let chain = CredentialChain::ordered_by(Arc::new(tokens));
/// ```
pub struct TownTokens {
    host: ForgeHost,
    towns: Arc<dyn TownSettings>,
    integrations: Arc<dyn PlatformIntegrations>,
}

impl std::fmt::Debug for TownTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TownTokens")
            .field("host", &self.host.web())
            .finish_non_exhaustive()
    }
}

impl TownTokens {
    /// The chains of these towns; stored tokens go to this host only.
    pub fn new(
        host: ForgeHost,
        towns: Arc<dyn TownSettings>,
        integrations: Arc<dyn PlatformIntegrations>,
    ) -> Self {
        Self {
            host,
            towns,
            integrations,
        }
    }

    fn stored(&self, name: &str, secret: Option<&Secret>) -> Arc<dyn CredentialSource> {
        let token = secret.and_then(Secret::expose).and_then(Token::new);
        Arc::new(KnownToken::new(name, &self.host, token))
    }

    fn integrated(&self, ids: &[String]) -> Vec<Arc<dyn CredentialSource>> {
        let found = ids.iter().map(|id| match self.integrations.source(id) {
            Some(source) => source,
            None => self.stored(
                &format!("platform integration {id}, which is not known"),
                None,
            ),
        });
        let found: Vec<_> = found.collect();
        if found.is_empty() {
            vec![self.stored("platform integration of the town or rig", None)]
        } else {
            found
        }
    }
}

impl CredentialOrder for TownTokens {
    fn sources(&self, asker: &Asker) -> Vec<Arc<dyn CredentialSource>> {
        let settings = self.towns.tokens(asker).unwrap_or_default();
        let order = settings.order.as_deref().unwrap_or(&ORDER);
        let of = |source: &TokenSource| match source {
            TokenSource::GithubToken => {
                vec![self.stored("git_auth.github_token", settings.github_token.as_ref())]
            }
            TokenSource::GithubCliPat => {
                vec![self.stored("github_cli_pat", settings.github_cli_pat.as_ref())]
            }
            TokenSource::PlatformIntegration => self.integrated(&settings.integrations),
        };
        order.iter().flat_map(of).collect()
    }

    fn forget(&self) {
        self.integrations.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CredentialChain;
    use crate::observation::ForgeError;

    struct Integration(String);

    #[async_trait::async_trait]
    impl CredentialSource for Integration {
        fn name(&self) -> &str {
            &self.0
        }

        async fn token(
            &self,
            _: &crate::credentials::TokenScope,
        ) -> Result<Option<Token>, ForgeError> {
            Ok(Token::new(&self.0))
        }
    }

    struct Platform;

    impl PlatformIntegrations for Platform {
        fn source(&self, id: &str) -> Option<Arc<dyn CredentialSource>> {
            (id != "gone").then(|| Arc::new(Integration(id.to_owned())) as Arc<_>)
        }

        fn forget(&self) {}
    }

    fn town(json: &str) -> TownConfig {
        serde_json::from_str(json).unwrap()
    }

    /// The names and tokens that are tried in turn if each is refused, and how it ends.
    async fn tried(town: &TownConfig, rig: Option<&RigConfig>) -> (Vec<String>, ForgeError) {
        let asker = Asker {
            town: Some("t1".to_owned()),
            rig: Some("r1".to_owned()),
        };
        let towns = BTreeMap::from([(asker.clone(), TokenSettings::of(town, rig))]);
        let host = ForgeHost::github_com();
        let tokens = TownTokens::new(host.clone(), Arc::new(towns), Arc::new(Platform));
        let chain = CredentialChain::ordered_by(Arc::new(tokens));
        let scope = crate::credentials::TokenScope {
            host,
            repository: crate::url::RepositoryName::parse("o/r").unwrap(),
            asker,
        };
        let mut walk = chain.walk(&scope.asker);
        let mut texts = Vec::new();
        loop {
            match walk.next(&scope).await {
                Ok(token) => texts.push(token.expose().to_owned()),
                Err(error) => return (texts, error),
            }
        }
    }

    const ALL: &str = r#"{"github_cli_pat": "pat", "git_auth":
        {"github_token": "stored", "platform_integration_id": "i-town"}}"#;

    #[tokio::test]
    async fn a_town_without_an_order_has_the_default_one() {
        let rig: RigConfig =
            serde_json::from_str(r#"{"git_auth": {"platform_integration_id": "i-rig"}}"#).unwrap();
        let (texts, _) = tried(&town(ALL), Some(&rig)).await;
        assert_eq!(texts, ["stored", "pat", "i-town", "i-rig"]);
    }

    #[tokio::test]
    async fn the_order_of_the_town_counts() {
        let ordered = ALL.replacen(
            '{',
            r#"{"token_order": ["platform_integration", "github_token"], "#,
            1,
        );
        let (texts, _) = tried(&town(&ordered), None).await;
        assert_eq!(texts, ["i-town", "stored"]);
    }

    #[tokio::test]
    async fn what_was_tried_is_told_by_name_and_never_by_value() {
        let (texts, error) = tried(&town("{}"), None).await;
        assert!(texts.is_empty());
        assert_eq!(
            error.to_string(),
            "no GitHub token; tried git_auth.github_token, github_cli_pat, platform integration \
             of the town or rig; the credentials that agents use themselves are separate"
        );
        let gone = town(r#"{"git_auth": {"platform_integration_id": "gone"}}"#);
        let told = tried(&gone, None).await.1.to_string();
        assert!(
            told.contains("integration gone, which is not known"),
            "{told}"
        );
        let settings = TokenSettings::of(&town(ALL), None);
        let shown = format!("{settings:?}");
        assert!(
            !shown.contains("stored") && !shown.contains("\"pat\""),
            "{shown}"
        );
    }
}
