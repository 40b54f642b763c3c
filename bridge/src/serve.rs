//! What a bridge serves beside its links: figures, and the signals that end it.

use crate::report::Figures;
use crate::world::World;
use anyhow::{Context, Result};
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

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

/// Ends the links when SIGINT or SIGTERM comes; the second one kills.
///
/// # Errors
/// If signals cannot be caught.
pub fn signals(world: &World) -> Result<()> {
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let world = world.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if second {
                std::process::exit(1);
            }
            world.end();
        }
    });
    Ok(())
}
