#![no_main]

#[path = "../bodies/protocol.rs"]
#[allow(dead_code)]
mod protocol;

libfuzzer_sys::fuzz_target!(|data: &[u8]| protocol::agent_lines(data));
