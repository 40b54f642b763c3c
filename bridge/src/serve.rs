//! What a bridge serves beside its links: figures, and the signals that end it.

use crate::report::Figures;
use crate::world::World;
use anyhow::{Context, Result};
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

const FORMAT: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves the figures at `/metrics`.
///
/// # Errors
/// If the address cannot be had.
pub async fn figures(address: SocketAddr, figures: Arc<Figures>) -> Result<()> {
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot serve figures at {address}"))?;
    let text = move || async move { ([(CONTENT_TYPE, FORMAT)], figures.text()) };
    let router = Router::new().route("/metrics", get(text));
    eprintln!(
        "prodcon-bridge: figures at http://{}/metrics",
        listener.local_addr()?
    );
    tokio::spawn(async move { axum::serve(listener, router).await });
    Ok(())
}

/// Ends the links when SIGINT or SIGTERM comes; the second one kills. One that was ignored from the
/// start stays ignored: a shell without job control starts its background jobs that way.
///
/// # Errors
/// If signals cannot be caught.
pub fn signals(world: &World) -> Result<()> {
    let mut interrupt = heeded(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = heeded(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let world = world.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                () = comes(&mut interrupt) => {}
                () = comes(&mut terminate) => {}
            }
            if second {
                std::process::exit(1);
            }
            world.end();
        }
    });
    Ok(())
}

fn heeded(kind: SignalKind) -> std::io::Result<Option<Signal>> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    let ignored = mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1);
    if ignored {
        Ok(None)
    } else {
        signal(kind).map(Some)
    }
}

/// Is never done for a signal that is ignored.
async fn comes(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}
