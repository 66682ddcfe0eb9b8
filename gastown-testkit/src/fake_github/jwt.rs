//! Whether an App's JSON Web Token would be accepted: its times and its issuer. Its signature is not
//! looked at; the fake has no public key of the App.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// The longest life of one, in seconds.
const LIFE_MAX: i64 = 600;

/// Whether this path is for Apps as such, with a JSON Web Token and no other.
pub(super) fn is_for(path: &str) -> bool {
    path.starts_with("/app/") || path == "/app" || path.ends_with("/installation")
}

/// Nothing, or why GitHub would refuse it.
pub(super) fn claims(token: &str, now: DateTime<Utc>) -> Result<(), &'static str> {
    const UNREADABLE: &str = "A JSON web token could not be decoded";
    let parts: Vec<&str> = token.split('.').collect();
    let [_, claims, signature] = parts.as_slice() else {
        return Err(UNREADABLE);
    };
    let claims = base64_url(claims).and_then(|it| serde_json::from_slice::<Value>(&it).ok());
    let Some(claims) = claims.filter(|_| !signature.is_empty()) else {
        return Err(UNREADABLE);
    };
    let number = |key: &str| claims.get(key).and_then(Value::as_i64);
    let now = now.timestamp();
    if number("iat").is_none_or(|it| it > now) {
        return Err(
            "'Issued at' claim ('iat') must be an Integer representing the time that the \
                    assertion was issued",
        );
    }
    match number("exp").map(|it| it.saturating_sub(now)) {
        Some(left) if left > LIFE_MAX => {
            Err("'Expiration time' claim ('exp') is too far in the future")
        }
        Some(left) if left > 0 => Ok(()),
        Some(_) | None => Err(
            "'Expiration time' claim ('exp') must be a numeric value representing the future \
                 time at which the assertion expires",
        ),
    }?;
    let issuer = claims.get("iss");
    let is_named = |it: &Value| it.is_i64() || it.as_str().is_some_and(|it| !it.is_empty());
    issuer
        .is_some_and(is_named)
        .then_some(())
        .ok_or("'Issuer' claim ('iss') must be an Integer")
}

fn base64_url(text: &str) -> Option<Vec<u8>> {
    let (mut bits, mut held, mut bytes) = (0_u32, 0_u32, Vec::new());
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter.wrapping_sub(b'A'),
            b'a'..=b'z' => letter.wrapping_sub(b'a').wrapping_add(26),
            b'0'..=b'9' => letter.wrapping_sub(b'0').wrapping_add(52),
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held = held.wrapping_add(6);
        if held >= 8 {
            held = held.wrapping_sub(8);
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    Some(bytes)
}
