//! How git gets at a repository that wants a credential.

use std::collections::BTreeMap;

use gastown_core::{Masker, Secret};

/// The variable that carries the token to git's credential helper.
const TOKEN_VARIABLE: &str = "GASTOWN_GIT_TOKEN";
/// Answers git's question for a credential from the environment, so that the token stands neither
/// in a command line nor in a file.
const HELPER: &str = "!f() { test \"$1\" = get && printf 'username=x-access-token\\npassword=%s\\n' \"$GASTOWN_GIT_TOKEN\"; }; f";

/// The credential for one repository, if it needs one.
#[derive(Debug, Clone, Default)]
pub(crate) struct GitAccess {
    /// The scheme and host for which the token is good; git asks the helper for no other.
    origin: Option<String>,
    token: Option<Secret>,
}

impl GitAccess {
    /// Git finds its own way.
    pub(crate) fn none() -> Self {
        Self::default()
    }

    /// `token` for the host of `git_url`, which has to be `https://`: a token goes over no other.
    pub(crate) fn new(git_url: &str, token: Option<Secret>) -> Self {
        let origin = git_url.strip_prefix("https://").and_then(|rest| {
            let authority = rest.split('/').next()?;
            let host = authority.rsplit('@').next()?;
            (!host.is_empty()).then(|| format!("https://{host}"))
        });
        match origin {
            Some(origin) => Self {
                origin: Some(origin),
                token,
            },
            None => Self::none(),
        }
    }

    /// The variables by which git gets the credential.
    pub(crate) fn environment(&self) -> BTreeMap<String, String> {
        let (Some(origin), Some(token)) =
            (&self.origin, self.token.as_ref().and_then(Secret::expose))
        else {
            return BTreeMap::new();
        };
        let key = format!("credential.{origin}.helper");
        let pairs = [
            ("GIT_CONFIG_COUNT", "2"),
            // The first, empty value turns off the helpers that the machine has configured.
            ("GIT_CONFIG_KEY_0", key.as_str()),
            ("GIT_CONFIG_VALUE_0", ""),
            ("GIT_CONFIG_KEY_1", key.as_str()),
            ("GIT_CONFIG_VALUE_1", HELPER),
            (TOKEN_VARIABLE, token),
        ];
        pairs
            .map(|(name, value)| (name.into(), value.into()))
            .into()
    }

    /// Masks the token.
    pub(crate) fn masker(&self) -> Masker {
        Masker::new(&self.token)
    }

    /// The token itself, to be masked elsewhere.
    pub(crate) fn token(&self) -> Option<&Secret> {
        self.token.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Asks git itself, so that the helper's quoting is tested too.
    fn credential(url: &str, access: &GitAccess) -> String {
        let script = format!("printf 'url={url}\\n\\n' | git credential fill");
        let output = Command::new("sh")
            .args(["-c", &script])
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .envs(access.environment())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    #[test]
    fn git_gets_the_token_for_its_host_only() {
        let token = Some(Secret::new("tok'en\"1"));
        let access = GitAccess::new("https://user@git.example:8443/a/b.git", token.clone());
        let answer = credential("https://git.example:8443/other", &access);
        assert!(answer.contains("password=tok'en\"1\n"), "{answer}");
        let other = credential("https://evil.example/a", &access);
        assert!(!other.contains("tok'en"), "{other}");
        for url in ["http://git.example/a", "git@git.example:a", "/srv/a.git"] {
            assert!(
                GitAccess::new(url, token.clone()).environment().is_empty(),
                "{url}"
            );
        }
    }
}
