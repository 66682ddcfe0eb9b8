//! A token that never shows itself.

use std::fmt;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

/// Tells tokens apart without telling what they are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; 16]);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .take(4)
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A credential of any kind, opaque: its shape changes over the years and means nothing here.
///
/// ```
/// use gastown_github::credentials::Token;
/// let token = Token::new("ghp_0123456789abcdef").unwrap();
/// assert!(!format!("{token:?}").contains("0123"));
/// ```
#[derive(Clone)]
pub struct Token {
    text: SecretString,
    fingerprint: Fingerprint,
    owner: Option<String>,
}

impl Token {
    /// Takes a token into custody; none if it is blank or could not be sent in a header.
    pub fn new(text: impl AsRef<str>) -> Option<Self> {
        let text = text.as_ref().trim();
        if text.is_empty() || !text.bytes().all(|it| it.is_ascii_graphic()) {
            return None;
        }
        let digest = Sha256::digest(text.as_bytes());
        let mut short = [0; 16];
        short
            .iter_mut()
            .zip(digest.iter())
            .for_each(|(to, from)| *to = *from);
        Some(Self {
            text: SecretString::from(text),
            fingerprint: Fingerprint(short),
            owner: None,
        })
    }

    /// Says whose token it is. GitHub limits owners, not tokens: two tokens of one user share a
    /// budget, and so do all tokens of one installation over time.
    #[must_use]
    pub fn owned_by(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// Tells this token apart from others.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The key of its rate limits: the owner if known, else the token itself.
    #[must_use]
    pub fn limit_owner(&self) -> String {
        self.owner
            .clone()
            .unwrap_or_else(|| format!("token {:?}", self.fingerprint))
    }

    /// The `Authorization` header that carries it, marked so that HTTP stacks neither log nor
    /// index it.
    #[must_use]
    pub fn header(&self) -> Option<HeaderValue> {
        let text = format!("Bearer {}", self.text.expose_secret());
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    #[cfg(test)]
    pub(crate) fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Token({:?})", self.fingerprint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_does_not_show_itself() {
        let token = Token::new(" hunter2hunter2 ").unwrap().owned_by("user 1");
        let header = token.header().unwrap();
        assert_eq!(header.to_str().unwrap(), "Bearer hunter2hunter2");
        assert!(!format!("{token:?} {header:?}").contains("hunter2"));
        assert_eq!(token.limit_owner(), "user 1");
    }

    #[test]
    fn what_cannot_be_a_token_is_none() {
        for text in ["", " \n", "two words", "line\nbreak", "ü"] {
            assert!(Token::new(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn fingerprints_tell_tokens_apart() {
        let print = |text| Token::new(text).unwrap().fingerprint();
        assert_eq!(print("a"), print(" a"));
        assert_ne!(print("a"), print("b"));
    }
}
