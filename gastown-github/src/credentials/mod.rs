//! Where tokens come from: a chain of sources, first hit wins (spec 4.7).

mod redact;
mod token;

#[cfg(feature = "app")]
pub mod app;
#[cfg(feature = "forge")]
pub mod town;

use std::sync::Arc;

use async_trait::async_trait;

pub use self::redact::redact;
pub use self::token::{Fingerprint, Token};
use crate::observation::ForgeError;
use crate::url::{ForgeHost, RepositoryName};

/// On whose behalf a request is made; a source may have another token for each.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Asker {
    /// The town, if there are towns.
    pub town: Option<String>,
    /// Its rig, if one is known.
    pub rig: Option<String>,
}

/// For what a token is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenScope {
    /// The host that will receive it.
    pub host: ForgeHost,
    /// The repository that is to be read or changed.
    pub repository: RepositoryName,
    /// On whose behalf.
    pub asker: Asker,
}

/// What a source does about a token that the forge did not accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The token is so new that not every server of the forge may know it, and the source waited
    /// for them: try the same one again.
    TrySame,
    /// It had kept the token and can get a newer one; ask it once more.
    AskAgain,
    /// It has no other; go on to the next source.
    MoveOn,
}

/// One place that tokens come from.
///
/// # To ensure correctness
/// - `name` says where it looks, in words for people; it holds no part of a token.
/// - `token` answers `None` if it has none for this scope, and an error only if it could not
///   find out. Either moves the chain on.
/// - `token` never returns a token for a host that the token was not made for.
#[async_trait]
pub trait CredentialSource: Send + Sync {
    /// Where it looks, for example `git_auth.github_token`.
    fn name(&self) -> &str;

    /// The token to use now.
    ///
    /// # Errors
    /// A [`ForgeError`] if it could not find out whether there is one.
    async fn token(&self, scope: &TokenScope) -> Result<Option<Token>, ForgeError>;

    /// The forge answered 401 to this token. It may take a few seconds.
    async fn rejected(&self, scope: &TokenScope, token: &Token) -> Rejection {
        let _ = (scope, token);
        Rejection::MoveOn
    }

    /// What kept tokens may do has changed: fetch new ones. A source that keeps none does nothing.
    fn forget(&self) {}
}

/// A token that is simply known, for one host.
#[derive(Clone, Debug)]
pub struct KnownToken {
    name: String,
    host: String,
    token: Option<Token>,
}

impl KnownToken {
    /// A source of that name for the host of that web name. No token, or a blank one, is a miss.
    pub fn new(name: impl Into<String>, host: &ForgeHost, token: Option<Token>) -> Self {
        Self {
            name: name.into(),
            host: host.web().to_owned(),
            token,
        }
    }
}

#[async_trait]
impl CredentialSource for KnownToken {
    fn name(&self) -> &str {
        &self.name
    }

    async fn token(&self, scope: &TokenScope) -> Result<Option<Token>, ForgeError> {
        Ok(self.token.clone().filter(|_| scope.host.web() == self.host))
    }
}

/// Which sources are asked on whose behalf, in which order.
pub trait CredentialOrder: Send + Sync {
    /// The sources, the first first. A source that keeps tokens is the same one each time.
    fn sources(&self, asker: &Asker) -> Vec<Arc<dyn CredentialSource>>;

    /// Lets every source forget what it keeps.
    fn forget(&self);
}

/// The same sources for everyone.
impl CredentialOrder for Vec<Arc<dyn CredentialSource>> {
    fn sources(&self, _: &Asker) -> Vec<Arc<dyn CredentialSource>> {
        self.clone()
    }

    fn forget(&self) {
        self.iter().for_each(|it| it.forget());
    }
}

/// Sources in the order in which they are asked, `token_order` of spec 4.7.
#[derive(Clone)]
pub struct CredentialChain {
    order: Arc<dyn CredentialOrder>,
}

impl Default for CredentialChain {
    /// Nothing to ask.
    fn default() -> Self {
        Self::new([])
    }
}

impl std::fmt::Debug for CredentialChain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let anyones = self.order.sources(&Asker::default());
        f.debug_list()
            .entries(anyones.iter().map(|it| it.name().to_owned()))
            .finish()
    }
}

impl CredentialChain {
    /// Asks them in this order, on whoever's behalf.
    pub fn new(sources: impl IntoIterator<Item = Arc<dyn CredentialSource>>) -> Self {
        let sources: Vec<_> = sources.into_iter().collect();
        Self::ordered_by(Arc::new(sources))
    }

    /// Asks in an order that may be another for each asker.
    pub fn ordered_by(order: Arc<dyn CredentialOrder>) -> Self {
        Self { order }
    }

    /// Lets every source forget what it keeps, for example after the webhook `installation`.
    pub fn forget(&self) {
        self.order.forget();
    }

    /// Begins one walk along the chain, for one request.
    #[must_use]
    pub fn walk(&self, asker: &Asker) -> ChainWalk {
        ChainWalk {
            rest: self.order.sources(asker).into_iter(),
            current: None,
            misses: Misses::default(),
        }
    }
}

/// Why no source of a walk served.
#[derive(Debug, Default)]
struct Misses {
    tried: Vec<String>,
    refused: bool,
    failed: Option<ForgeError>,
}

impl Misses {
    /// The one error that a person can act on. A refused token weighs most, because the person
    /// gave it; a source that could not be reached weighs more than one that had nothing. What a
    /// source answered otherwise is no matter of the pull request for which it was asked.
    fn into_error(self) -> ForgeError {
        match (self.refused, self.failed) {
            (true, _) => ForgeError::Unauthorized,
            (false, Some(error)) => error,
            (false, None) => ForgeError::NoToken { tried: self.tried },
        }
    }
}

/// Whether an error says that the forge, or the right to ask it, is the trouble.
fn is_of_the_forge(error: &ForgeError) -> bool {
    matches!(
        error,
        ForgeError::Network { .. }
            | ForgeError::Server { .. }
            | ForgeError::RateLimited { .. }
            | ForgeError::Unauthorized
            | ForgeError::Forbidden { .. }
    )
}

/// How often one token is tried, whatever its source says about its age.
const SAME_TRIES_MAX: u32 = 4;

/// One walk along the chain: each step gives the next token to try.
pub struct ChainWalk {
    rest: std::vec::IntoIter<Arc<dyn CredentialSource>>,
    current: Option<Current>,
    misses: Misses,
}

/// The token that is being tried.
struct Current {
    source: Arc<dyn CredentialSource>,
    token: Token,
    tries: u32,
    /// Whether it is the first that its source gave on this walk.
    is_first: bool,
}

impl std::fmt::Debug for ChainWalk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChainWalk")
            .field("misses", &self.misses)
            .finish_non_exhaustive()
    }
}

impl ChainWalk {
    /// The next token. Being called again means that the forge did not accept the last one.
    ///
    /// # Errors
    /// The reason why there is none left.
    pub async fn next(&mut self, scope: &TokenScope) -> Result<Token, ForgeError> {
        if let Some(refused) = self.current.take()
            && let Some(token) = self.after_refusal(refused, scope).await
        {
            return Ok(token);
        }
        while let Some(source) = self.rest.next() {
            if let Some(token) = self.ask(&source, scope).await {
                return Ok(self.try_it(source, token, true));
            }
        }
        Err(std::mem::take(&mut self.misses).into_error())
    }

    /// The same token or a newer one of the same source, if that may help.
    async fn after_refusal(&mut self, refused: Current, scope: &TokenScope) -> Option<Token> {
        let Current { source, token, .. } = &refused;
        tracing::debug!(
            source = source.name(),
            "the forge does not accept the token"
        );
        self.misses.refused = true;
        match source.rejected(scope, token).await {
            Rejection::TrySame if refused.tries < SAME_TRIES_MAX => {
                let tries = refused.tries.saturating_add(1);
                let token = token.clone();
                self.current = Some(Current { tries, ..refused });
                Some(token)
            }
            Rejection::AskAgain if refused.is_first => {
                let fresh = self.ask(source, scope).await?;
                Some(self.try_it(refused.source, fresh, false))
            }
            Rejection::TrySame | Rejection::AskAgain | Rejection::MoveOn => None,
        }
    }

    fn try_it(&mut self, source: Arc<dyn CredentialSource>, token: Token, is_first: bool) -> Token {
        self.current = Some(Current {
            source,
            token: token.clone(),
            tries: 1,
            is_first,
        });
        token
    }

    async fn ask(
        &mut self,
        source: &Arc<dyn CredentialSource>,
        scope: &TokenScope,
    ) -> Option<Token> {
        match source.token(scope).await {
            Ok(Some(token)) => Some(token),
            Ok(None) => {
                self.misses.tried.push(source.name().to_owned());
                None
            }
            Err(error) => {
                tracing::warn!(source = source.name(), %error, "no token from this source");
                self.misses.tried.push(source.name().to_owned());
                if is_of_the_forge(&error) {
                    self.misses.failed.get_or_insert(error);
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn scope() -> TokenScope {
        TokenScope {
            host: ForgeHost::github_com(),
            repository: RepositoryName::parse("o/r").unwrap(),
            asker: Asker::default(),
        }
    }

    fn known(name: &str, token: &str) -> Arc<dyn CredentialSource> {
        Arc::new(KnownToken::new(
            name,
            &ForgeHost::github_com(),
            Token::new(token),
        ))
    }

    struct Failing(ForgeError);

    impl Failing {
        fn server() -> Arc<dyn CredentialSource> {
            Arc::new(Self(ForgeError::Server { status: 500 }))
        }
    }

    #[async_trait]
    impl CredentialSource for Failing {
        fn name(&self) -> &str {
            "failing"
        }

        async fn token(&self, _: &TokenScope) -> Result<Option<Token>, ForgeError> {
            Err(self.0.clone())
        }
    }

    /// Gives `t1`, `t2`, … a new one after each rejection.
    #[derive(Default)]
    struct Renewing(AtomicUsize);

    #[async_trait]
    impl CredentialSource for Renewing {
        fn name(&self) -> &str {
            "renewing"
        }

        async fn token(&self, _: &TokenScope) -> Result<Option<Token>, ForgeError> {
            Ok(Token::new(format!("t{}", self.0.load(Ordering::SeqCst))))
        }

        async fn rejected(&self, _: &TokenScope, _: &Token) -> Rejection {
            self.0.fetch_add(1, Ordering::SeqCst);
            Rejection::AskAgain
        }
    }

    /// The texts of all tokens that a walk yields if each is refused, and how it ends.
    async fn walked(chain: &CredentialChain) -> (Vec<String>, ForgeError) {
        let mut walk = chain.walk(&scope().asker);
        let mut texts = Vec::new();
        loop {
            match walk.next(&scope()).await {
                Ok(token) => texts.push(token.expose().to_owned()),
                Err(error) => return (texts, error),
            }
        }
    }

    #[tokio::test]
    async fn the_first_hit_wins_and_blank_and_failing_sources_are_passed_over() {
        let chain = CredentialChain::new([
            known("blank", "  "),
            Failing::server(),
            known("a", "ta"),
            known("b", "tb"),
        ]);
        let (texts, error) = walked(&chain).await;
        assert_eq!(texts, ["ta", "tb"]);
        assert_eq!(error, ForgeError::Unauthorized);
    }

    #[tokio::test]
    async fn without_any_the_sources_are_listed_and_never_a_value() {
        let elsewhere = ForgeHost::named("ghe.example.com").unwrap();
        let foreign = KnownToken::new("foreign", &elsewhere, Token::new("secret"));
        let chain = CredentialChain::new([
            known("blank", ""),
            Arc::new(foreign) as Arc<dyn CredentialSource>,
        ]);
        let (texts, error) = walked(&chain).await;
        assert!(texts.is_empty());
        let tried = vec!["blank".to_owned(), "foreign".to_owned()];
        assert_eq!(error, ForgeError::NoToken { tried });
    }

    #[tokio::test]
    async fn a_source_that_could_not_be_asked_is_the_error_if_nothing_else_served() {
        let chain = CredentialChain::new([Failing::server(), known("blank", "")]);
        assert_eq!(walked(&chain).await.1, ForgeError::Server { status: 500 });
    }

    /// Else a review would fail for a token that its town has not.
    #[tokio::test]
    async fn what_a_source_answers_is_no_error_of_the_pull_request() {
        for error in [
            ForgeError::InvalidResponse { why: "x".into() },
            ForgeError::NotFound {
                repository_readable: true,
            },
        ] {
            let chain = CredentialChain::new([
                Arc::new(Failing(error)) as Arc<dyn CredentialSource>,
                known("blank", ""),
            ]);
            let tried = vec!["failing".to_owned(), "blank".to_owned()];
            assert_eq!(walked(&chain).await.1, ForgeError::NoToken { tried });
        }
    }

    /// Says of every refused token that it is new.
    struct AlwaysNew;

    #[async_trait]
    impl CredentialSource for AlwaysNew {
        fn name(&self) -> &str {
            "always new"
        }

        async fn token(&self, _: &TokenScope) -> Result<Option<Token>, ForgeError> {
            Ok(Token::new("tn"))
        }

        async fn rejected(&self, _: &TokenScope, _: &Token) -> Rejection {
            Rejection::TrySame
        }
    }

    #[tokio::test]
    async fn a_token_that_stays_new_is_not_tried_for_ever() {
        let chain = CredentialChain::new([
            Arc::new(AlwaysNew) as Arc<dyn CredentialSource>,
            known("last", "tl"),
        ]);
        let (texts, _) = walked(&chain).await;
        assert_eq!(texts, ["tn", "tn", "tn", "tn", "tl"]);
    }

    #[tokio::test]
    async fn a_kept_token_is_renewed_once() {
        let chain = CredentialChain::new([
            Arc::new(Renewing::default()) as Arc<dyn CredentialSource>,
            known("last", "tl"),
        ]);
        assert_eq!(walked(&chain).await.0, ["t0", "t1", "tl"]);
    }
}
