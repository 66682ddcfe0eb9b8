//! The agents' protocol: one JSON object per line, over standard input and output (spec 6.3).
//!
//! The host writes [`ToAgent`] to the agent's standard input and reads [`FromAgent`] from its
//! standard output; standard error is free text that ends up in the session's log. Agents in Rust
//! use [`client`]. The page `docs/agent-protocol.md` describes it for everybody else.
//!
//! Both directions are strict: an unknown type or field is an error that says where it is and
//! what was expected. A bad line never ends the host; see [`ProtocolViolation`].

pub mod client;
mod line;
mod message;

pub use self::line::{LineBuffer, LineError, LineRead};
pub use self::message::{
    FromAgent, Heartbeat, Log, Message, Start, Stop, ToAgent, ToolCall, ToolRefusal, ToolResult,
};

use gastown_core::SessionId;

/// The longest line in either direction in bytes, its line feed not counted.
pub const LINE_BYTES_MAX: usize = 1024 * 1024;
/// How many bad lines in a row a session may write before it is failed.
pub const BAD_LINES_IN_A_ROW_MAX: u32 = 20;
/// How many tools a heartbeat may name.
pub const ACTIVE_TOOLS_MAX: usize = 64;
/// How long a name of a tool or of an event type may be in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// An agent wrote a line that is none of the protocol's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "agent {} of town {}, session {}, line {line}: {problem}",
    session.agent_id, session.town_id, session.session
)]
pub struct ProtocolViolation {
    /// Whose line it is.
    pub session: SessionId,
    /// Which line of its standard output, from 1.
    pub line: u64,
    /// What is wrong with it, and what was expected.
    pub problem: LineError,
    /// How many bad lines have come in a row, with this one.
    pub in_a_row: u32,
}
