#![no_main]

#[path = "../bodies/github.rs"]
#[allow(dead_code)]
mod github;

libfuzzer_sys::fuzz_target!(|data: &[u8]| github::forge_url(data));
