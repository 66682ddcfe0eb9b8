//! What the service is told: where it listens, its towns, and who may do what.
//!
//! ```json
//! {
//!     "listen": "127.0.0.1:8080",
//!     "dir": "/var/lib/gastown",
//!     "agent": ["my-agent", "--quiet"],
//!     "metrics_token": "at-least-16-characters",
//!     "drain_seconds": 10,
//!     "towns": [{
//!         "id": "acme",
//!         "webhook_secret": "what GitHub was told",
//!         "people": [
//!             {"name": "ann", "token": "may act on the whole town"},
//!             {"name": "bob", "token": "may act on one rig only", "rig_id": "api"}
//!         ]
//!     }]
//! }
//! ```

use std::path::{Path, PathBuf};

use gastown_core::{RigId, TownId};
use serde::Deserialize;

/// The configuration file, as JSON. It holds secrets: keep it readable for the service alone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where to listen, for example `127.0.0.1:8080`.
    pub(crate) listen: String,
    /// Where the database, worktrees and logs are.
    pub(crate) dir: PathBuf,
    /// The program that is an agent, with its arguments.
    pub(crate) agent: Vec<String>,
    /// Opens `/metrics`.
    pub(crate) metrics_token: String,
    /// How long requests may take to end once the service was told to.
    #[serde(default = "drain_seconds")]
    pub(crate) drain_seconds: u64,
    pub(crate) towns: Vec<TownConfig>,
}

fn drain_seconds() -> u64 {
    10
}

/// One town.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TownConfig {
    pub(crate) id: TownId,
    /// Signs GitHub's webhooks; none: they are refused.
    #[serde(default)]
    pub(crate) webhook_secret: Option<String>,
    #[serde(default)]
    pub(crate) people: Vec<Person>,
}

/// Somebody with a token.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Person {
    pub(crate) name: String,
    pub(crate) token: String,
    /// The only rig that this person may act on; none: the whole town.
    #[serde(default)]
    pub(crate) rig_id: Option<RigId>,
}

/// A token that is shorter can be guessed.
const TOKEN_CHARACTERS_MIN: usize = 16;

impl Config {
    /// Reads a file and checks what its types can't.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| format!("{shown}: {error}"))?;
        let config: Self =
            serde_json::from_str(&text).map_err(|error| format!("{shown}: {error}"))?;
        let people = config.towns.iter().flat_map(|town| &town.people);
        let tokens = people.map(|person| (person.name.as_str(), &person.token));
        for (name, token) in tokens.chain([("metrics_token", &config.metrics_token)]) {
            if token.chars().count() < TOKEN_CHARACTERS_MIN {
                return Err(format!(
                    "{shown}: {name}: expected a token of at least {TOKEN_CHARACTERS_MIN} characters"
                ));
            }
        }
        Ok(config)
    }
}
