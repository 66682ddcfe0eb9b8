//! A small service that hosts towns over HTTP: a pattern to copy, not a product.
//!
//! `cargo run --example host_service -- CONFIG.json` reads who may do what from a file (see
//! [`config`]), opens its towns over one SQLite file, and serves them (see [`routes`]) until it is
//! told to end by SIGTERM or Ctrl-C. The files: [`auth`] says who a caller is and what it may
//! reach, [`host`] builds the runner, [`webhooks`] takes what GitHub says, [`failure`] is how
//! things are refused.

mod auth;
mod config;
mod failure;
mod host;
mod routes;
mod webhooks;

use std::io::Write;
use std::process::ExitCode;

use crate::config::Config;
use crate::host::Host;

#[tokio::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("host_service: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args_os().nth(1);
    let path = path.ok_or("expected the path of a configuration")?;
    let config = Config::read(path.as_ref())?;
    // Before anything is counted.
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder()?;
    gastown_runtime::describe_metrics();
    let listener = tokio::net::TcpListener::bind(&config.listen).await?;
    let address = listener.local_addr()?;
    let host = Host::open(&config, &format!("http://{address}"), metrics).await?;
    println!("listening on {address}");
    std::io::stdout().flush()?;
    let served = axum::serve(listener, routes::router(host.clone()))
        .with_graceful_shutdown(told_to_end())
        .await;
    // No request is under way any more; now the towns end, and with them their agents.
    host.shutdown().await;
    served?;
    Ok(())
}

/// Waits for SIGTERM or Ctrl-C. Where neither can be heard, the service runs until it is killed.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => {
            if interrupted.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
