//! A short stable digest for names and comparisons; not for secrets.

use alloc::format;
use alloc::string::String;

/// FNV-1a, 64 bits.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// Sixteen hexadecimal digits.
pub(crate) fn hex16(text: &str) -> String {
    format!("{:016x}", fnv1a(text.as_bytes()))
}

/// Eight hexadecimal digits.
pub(crate) fn hex8(text: &str) -> String {
    hex16(text).chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_never_change() {
        assert_eq!(super::hex16(""), "cbf29ce484222325");
        assert_eq!(super::hex16("a"), "af63dc4c8601ec8c");
        assert_eq!(super::hex8("foobar"), "85944171");
    }
}
