//! Who a caller is, and what it may reach. A bearer token belongs to one person in one town,
//! perhaps for one rig, or to one session of one agent. Only digests of tokens are kept.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use gastown_core::{AgentId, Caller, RigId, Secret, SessionId, StartRequest, TownId};
use gastown_runtime::{Credentials, CredentialsError};
use sha2::{Digest, Sha256};

use crate::config::Config;
use crate::failure::Failure;

/// Who a token belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A person of a town, perhaps of one rig only.
    Person {
        town_id: TownId,
        name: String,
        rig_id: Option<RigId>,
    },
    /// A session of an agent.
    Agent(SessionId),
    /// Whoever reads the metrics.
    Metrics,
}

impl Identity {
    /// The caller of commands in a town; of another town than its own, nobody is one.
    pub(crate) fn caller_in(&self, town: &TownId) -> Result<Caller, Failure> {
        match self {
            Self::Person {
                town_id,
                name,
                rig_id,
            } if town_id == town => Ok(Caller::User {
                id: name.clone(),
                rig_id: rig_id.clone(),
            }),
            Self::Agent(session) if session.town_id == *town => {
                Ok(Caller::agent(session.agent_id.clone()))
            }
            // Whether there is such a town is none of this caller's business.
            Self::Person { .. } | Self::Agent(_) | Self::Metrics => Err(Failure::NotFound),
        }
    }

    /// Whether it may see all of a town: agents see what they are told, and people of one rig see
    /// that rig.
    pub(crate) fn sees_all_of(&self, town: &TownId) -> Result<(), Failure> {
        self.caller_in(town)?;
        match self {
            Self::Person { rig_id: None, .. } => Ok(()),
            Self::Person { .. } | Self::Agent(_) | Self::Metrics => Err(Failure::Forbidden),
        }
    }
}

type TokenDigest = [u8; 32];

/// All tokens that are good.
#[derive(Default)]
pub(crate) struct Tokens {
    fixed: BTreeMap<TokenDigest, Identity>,
    /// The latest session of each agent.
    sessions: Mutex<BTreeMap<(TownId, AgentId), (u64, TokenDigest)>>,
}

impl Tokens {
    pub(crate) fn of(config: &Config) -> Result<Self, String> {
        let mut tokens = Self::default();
        let people = config.towns.iter().flat_map(|town| {
            town.people.iter().map(|person| {
                let identity = Identity::Person {
                    town_id: town.id.clone(),
                    name: person.name.clone(),
                    rig_id: person.rig_id.clone(),
                };
                (&person.token, identity)
            })
        });
        for (token, identity) in people.chain([(&config.metrics_token, Identity::Metrics)]) {
            if tokens.fixed.insert(digest(token), identity).is_some() {
                return Err("a token was given to two people".into());
            }
        }
        Ok(tokens)
    }

    /// Who sends a request. Digests are compared, so how long it takes tells nothing of a token.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Identity, Failure> {
        let header = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        let digest = digest(token.ok_or(Failure::Unauthorized)?);
        if let Some(identity) = self.fixed.get(&digest) {
            return Ok(identity.clone());
        }
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut sessions = sessions.iter();
        let found = sessions.find(|(_, (_, of_session))| *of_session == digest);
        let ((town_id, agent_id), (session, _)) = found.ok_or(Failure::Unauthorized)?;
        Ok(Identity::Agent(SessionId {
            town_id: town_id.clone(),
            agent_id: agent_id.clone(),
            session: *session,
        }))
    }

    /// A new token for a session; that of the agent's session before is void from now on.
    fn issue(&self, session: &SessionId) -> std::io::Result<String> {
        let mut random = [0; 32];
        std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
        let mut token = String::from("session-");
        for byte in random {
            // Writing to a text can't fail.
            let _ = write!(token, "{byte:02x}");
        }
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let agent = (session.town_id.clone(), session.agent_id.clone());
        sessions.insert(agent, (session.session, digest(&token)));
        Ok(token)
    }
}

fn digest(token: &str) -> TokenDigest {
    Sha256::digest(token.as_bytes()).into()
}

/// Gives each session its own token, and the address where it is good.
pub(crate) struct SessionTokens {
    pub(crate) tokens: std::sync::Arc<Tokens>,
    pub(crate) address: String,
}

#[async_trait]
impl Credentials for SessionTokens {
    async fn of_session(
        &self,
        request: &StartRequest,
    ) -> Result<BTreeMap<String, Secret>, CredentialsError> {
        let token = self.tokens.issue(&request.session);
        let token = token.map_err(|error| CredentialsError {
            reason: error.to_string(),
        })?;
        let town = format!("{}/towns/{}", self.address, request.session.town_id);
        Ok([
            ("HOST_TOKEN".to_owned(), Secret::new(token)),
            ("HOST_TOWN_URL".to_owned(), Secret::new(town)),
        ]
        .into())
    }

    async fn of_repository(&self, _: &TownId, _: &str) -> Result<Option<Secret>, CredentialsError> {
        Ok(None)
    }
}
