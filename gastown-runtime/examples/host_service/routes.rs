//! What is served.
//!
//! | request | who | what |
//! | --- | --- | --- |
//! | `GET /health` | anybody | whether the service runs |
//! | `GET /metrics` | the metrics' token | Prometheus' text format |
//! | `GET /towns/{town}/status` | people of the town | the town, its agents, what waits for a person |
//! | `GET /towns/{town}/dry-run` | people of the town | what would happen now |
//! | `POST /towns/{town}/sling` | people of the town or rig | a new issue |
//! | `POST /towns/{town}/commands/{command}` | people, agents | any command or tool (spec 2.1), without its caller |
//! | `GET /towns/{town}/beads/{bead}` | people of the town or the bead's rig | the debug view |
//! | `GET /towns/{town}/beads/{bead}/explain` | the same | why it does not move |
//! | `POST /towns/{town}/webhooks/github` | GitHub, by signature | what to look at |

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::HeaderMap;
use axum::routing::{get, post};
use axum::{Json, Router};
use gastown_core::{AgentStatus, BeadId, Caller, Command, TownId, wire};
use gastown_runtime::{BeadView, DryRun, TownStatusView};
use serde_json::{Value, json};

use crate::auth::Identity;
use crate::failure::Failure;
use crate::host::{Host, HostedTown};
use crate::webhooks;

/// The longest body of a command, in bytes.
const BODY_BYTES_MAX: usize = 1024 * 1024;

pub(crate) fn router(host: Host) -> Router {
    Router::new()
        .route("/health", get(|| async { "ok" }))
        .route("/metrics", get(metrics))
        .route("/towns/{town}/status", get(status))
        .route("/towns/{town}/dry-run", get(dry_run))
        .route("/towns/{town}/sling", post(sling))
        .route("/towns/{town}/commands/{command}", post(command))
        .route("/towns/{town}/beads/{bead}", get(bead))
        .route("/towns/{town}/beads/{bead}/explain", get(explain))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(webhooks::router())
        .with_state(host)
}

async fn metrics(State(host): State<Host>, headers: HeaderMap) -> Result<String, Failure> {
    match host.identify(&headers)? {
        Identity::Metrics => Ok(host.metrics()),
        Identity::Person { .. } | Identity::Agent(_) => Err(Failure::Forbidden),
    }
}

async fn status(
    State(host): State<Host>,
    Path(town): Path<String>,
    headers: HeaderMap,
) -> Result<Json<TownStatusView>, Failure> {
    let (town, identity) = enter(&host, &town, &headers)?;
    identity.sees_all_of(town.handle.town_id())?;
    Ok(Json(town.handle.town_status().await))
}

async fn dry_run(
    State(host): State<Host>,
    Path(town): Path<String>,
    headers: HeaderMap,
) -> Result<Json<DryRun>, Failure> {
    let (town, identity) = enter(&host, &town, &headers)?;
    identity.sees_all_of(town.handle.town_id())?;
    Ok(Json(town.handle.dry_run().await?))
}

async fn sling(
    State(host): State<Host>,
    Path(town): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let (town, identity) = enter(&host, &town, &headers)?;
    execute(town, &identity, "gt_sling", &body).await
}

async fn command(
    State(host): State<Host>,
    Path((town, command)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Json<Value>, Failure> {
    let (town, identity) = enter(&host, &town, &headers)?;
    execute(town, &identity, &command, &body).await
}

async fn bead(
    State(host): State<Host>,
    Path((town, bead)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<BeadView>, Failure> {
    let (town, identity) = enter(&host, &town, &headers)?;
    Ok(Json(visible_bead(town, &identity, &bead).await?))
}

async fn explain(
    State(host): State<Host>,
    Path((town, bead)): Path<(String, String)>,
    headers: HeaderMap,
) -> Result<Json<Value>, Failure> {
    let (town, identity) = enter(&host, &town, &headers)?;
    let view = visible_bead(town, &identity, &bead).await?;
    Ok(Json(json!({"explanation": view.explanation})))
}

/// Who calls, in a town of its own: the first thing that every request goes through.
fn enter<'a>(
    host: &'a Host,
    town: &str,
    headers: &HeaderMap,
) -> Result<(&'a HostedTown, Identity), Failure> {
    let identity = host.identify(headers)?;
    let town_id = TownId::new(town).map_err(|_| Failure::NotFound)?;
    identity.caller_in(&town_id)?;
    Ok((host.town(&town_id)?, identity))
}

/// Executes a command as its caller: what the body says of a caller is refused as an unknown field.
async fn execute(
    town: &HostedTown,
    identity: &Identity,
    name: &str,
    body: &[u8],
) -> Result<Json<Value>, Failure> {
    let caller = identity.caller_in(town.handle.town_id())?;
    if let Identity::Agent(session) = identity {
        // Nor does a session that was replaced speak for anybody, or one that was given up.
        let (agent_id, number) = (session.agent_id.clone(), session.session);
        let is_current = town.handle.inspect(move |town| {
            let agent = town.agent(&agent_id);
            agent.is_some_and(|agent| agent.session == number && agent.status != AgentStatus::Dead)
        });
        if !is_current.await? {
            return Err(Failure::Unauthorized);
        }
    }
    let input = serde_json::from_slice(body).map_err(|error| Failure::Refused {
        field: ".".into(),
        message: error.to_string(),
    })?;
    let command = read_command(name, input, caller)?;
    let receipt = town.handle.execute(command).await?;
    // It has text keys and plain values, so writing it can't fail.
    Ok(Json(serde_json::to_value(&receipt).unwrap_or_default()))
}

/// Reads a tool (`gt_sling`) or any other command (`add_rig`) as that of its caller.
fn read_command(name: &str, input: Value, caller: Caller) -> Result<Command, Failure> {
    if name.starts_with("gt_") {
        return Ok(wire::command_from_tool(name, input, caller)?);
    }
    let refused = |field: &str, message: &str| Failure::Refused {
        field: field.into(),
        message: message.into(),
    };
    let Value::Object(mut object) = input else {
        return Err(refused(".", "expected a JSON object"));
    };
    for own in ["caller", "type"] {
        if object.contains_key(own) {
            return Err(refused(own, "is the service's to say"));
        }
    }
    object.insert("type".into(), name.into());
    // It has text keys and plain values, so writing it can't fail.
    let caller = serde_json::to_value(caller).unwrap_or_default();
    object.insert("caller".into(), caller);
    Ok(wire::command_from_value(Value::Object(object))?)
}

/// A bead, if the caller may see it: people of one rig see the beads of that rig.
async fn visible_bead(
    town: &HostedTown,
    identity: &Identity,
    bead: &str,
) -> Result<BeadView, Failure> {
    let bead_id = BeadId::new(bead).map_err(|_| Failure::NotFound)?;
    let view = town.handle.bead_view(&bead_id).await?;
    let view = view.ok_or(Failure::NotFound)?;
    let of_rig = view.record.get("rig_id").and_then(Value::as_str);
    let Caller::User { rig_id, .. } = identity.caller_in(town.handle.town_id())? else {
        return Err(Failure::Forbidden);
    };
    match rig_id {
        None => Ok(view),
        Some(own) if of_rig == Some(own.as_str()) => Ok(view),
        // Whether there is such a bead is none of this caller's business.
        Some(_) => Err(Failure::NotFound),
    }
}
