//! Whether a webhook was signed by whom we share a secret with.

use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use sha2::Sha256;

use super::WebhookFault;
use crate::error::Error;
use crate::rate_limit::header;

/// GitHub sends no longer payloads.
pub(super) const BODY_BYTES_MAX: usize = 25 * 1024 * 1024;

/// Verifies the signature over the body exactly as it arrived, in constant time. The older SHA-1
/// header is not looked at.
///
/// # Errors
/// [`Error::VerifyWebhook`] unless the signature is right. An unsigned webhook is never right.
pub fn verify(secret: &[u8], headers: &HeaderMap, body: &[u8]) -> Result<(), Error> {
    check(secret, headers, body).map_err(|why| Error::VerifyWebhook { why })
}

fn check(secret: &[u8], headers: &HeaderMap, body: &[u8]) -> Result<(), WebhookFault> {
    if secret.is_empty() {
        return Err(WebhookFault::NoSecret);
    }
    if body.len() > BODY_BYTES_MAX {
        return Err(WebhookFault::TooLong);
    }
    let signature = signature(headers)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| WebhookFault::NoSecret)?;
    mac.update(body);
    mac.verify_slice(&signature)
        .map_err(|_| WebhookFault::SignatureWrong)
}

/// The signature that a webhook claims to have; a service looks for it before it takes a body in.
pub(super) fn signature(headers: &HeaderMap) -> Result<[u8; 32], WebhookFault> {
    let mut given = headers.get_all("x-hub-signature-256").iter();
    let first = given.next().ok_or(WebhookFault::NotSigned)?;
    // Two headers could be read differently by two readers.
    if given.next().is_some() {
        return Err(WebhookFault::SignatureMalformed);
    }
    let text = first.to_str().ok();
    text.and_then(|it| it.strip_prefix("sha256="))
        .and_then(bytes_of_hex)
        .ok_or(WebhookFault::SignatureMalformed)
}

/// The event's name, if the request says one.
pub(super) fn event(headers: &HeaderMap) -> Option<&str> {
    header(headers, "x-github-event").filter(|it| !it.is_empty())
}

fn bytes_of_hex(digits: &str) -> Option<[u8; 32]> {
    if digits.len() != 64 {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
        let nibble = |index: usize| {
            let digit = char::from(*pair.get(index)?).to_digit(16)?;
            u8::try_from(digit).ok()
        };
        *byte = nibble(0)? << 4 | nibble(1)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// The vector of GitHub's documentation.
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    fn checked(secret: &[u8], signature: &str, body: &[u8]) -> Result<(), WebhookFault> {
        let mut headers = HeaderMap::new();
        headers.insert(
            "x-hub-signature-256",
            HeaderValue::from_str(signature).unwrap(),
        );
        check(secret, &headers, body)
    }

    #[test]
    fn the_documented_vector_is_right() {
        assert_eq!(checked(SECRET, SIGNATURE, BODY), Ok(()));
    }

    #[test]
    fn another_secret_body_or_signature_is_wrong() {
        use WebhookFault as F;
        let wrong = Err(F::SignatureWrong);
        assert_eq!(checked(b"other", SIGNATURE, BODY), wrong);
        assert_eq!(checked(SECRET, SIGNATURE, b"Hello, World! "), wrong);
        assert_eq!(checked(SECRET, &SIGNATURE.replace("17", "18"), BODY), wrong);
        let malformed = Err(F::SignatureMalformed);
        for signature in [
            "",
            "sha256=",
            "sha1=757107ea0eb2509fc211221cce984b8a37570b6d",
            &SIGNATURE[..70],
            &format!("{SIGNATURE}00"),
            &SIGNATURE.replace('e', "g"),
        ] {
            assert_eq!(checked(SECRET, signature, BODY), malformed, "{signature}");
        }
        assert_eq!(checked(b"", SIGNATURE, BODY), Err(F::NoSecret));
    }

    #[test]
    fn an_unsigned_webhook_and_two_signatures_are_refused() {
        let mut headers = HeaderMap::new();
        let old = HeaderValue::from_static("sha1=757107ea0eb2509fc211221cce984b8a37570b6d");
        headers.insert("x-hub-signature", old);
        assert_eq!(check(SECRET, &headers, BODY), Err(WebhookFault::NotSigned));
        headers.append("x-hub-signature-256", HeaderValue::from_static(SIGNATURE));
        headers.append("x-hub-signature-256", HeaderValue::from_static(SIGNATURE));
        assert_eq!(
            check(SECRET, &headers, BODY),
            Err(WebhookFault::SignatureMalformed)
        );
    }

    #[test]
    fn the_length_has_a_limit() {
        let long = vec![b' '; BODY_BYTES_MAX + 1];
        assert_eq!(
            checked(SECRET, SIGNATURE, &long),
            Err(WebhookFault::TooLong)
        );
        let fits = vec![b' '; BODY_BYTES_MAX];
        assert_eq!(
            checked(SECRET, SIGNATURE, &fits),
            Err(WebhookFault::SignatureWrong)
        );
    }
}
