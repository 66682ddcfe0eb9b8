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

use std::future::IntoFuture;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

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
    let listener = TcpListener::bind(&config.listen).await?;
    let address = listener.local_addr()?;
    let host = Host::open(&config, &format!("http://{address}"), metrics).await?;
    println!("listening on {address}");
    std::io::stdout().flush()?;
    let served = serve(listener, &host, Duration::from_secs(config.drain_seconds)).await;
    // Now the towns end, and with them their agents.
    host.shutdown().await;
    served?;
    Ok(())
}

/// Serves until it is told to end, and then as long as requests are under way, but not for longer
/// than `drain`: a client that never finishes does not keep the towns from ending in order.
async fn serve(listener: TcpListener, host: &Host, drain: Duration) -> std::io::Result<()> {
    let (ending, ended) = oneshot::channel();
    let told = async {
        told_to_end().await;
        // It is heard unless everything has ended.
        let _ = ending.send(());
    };
    let cut_off = async {
        if ended.await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(drain).await;
    };
    let served = axum::serve(listener, routes::router(host.clone()));
    tokio::select! {
        served = served.with_graceful_shutdown(told).into_future() => served,
        () = cut_off => {
            eprintln!("host_service: requests that do not end are cut off");
            Ok(())
        }
    }
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
