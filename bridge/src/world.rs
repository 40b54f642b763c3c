//! What all links of a process share, and how a link waits for its server.

use crate::options::Access;
use crate::report::{Figures, Reporter};
use crate::server::{Server, Trouble, pause};
use anyhow::Result;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// How often a wait looks whether the bridge has to end.
pub const LOOK: Duration = Duration::from_millis(100);

/// What all links of a process share.
#[derive(Debug, Clone)]
pub struct World {
    /// Runs the connections.
    pub runtime: Handle,
    /// The figures of all links.
    pub figures: Arc<Figures>,
    stop: Arc<AtomicBool>,
}

/// How a session with a server, or a link, came to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The stream has ended, and the far end knows.
    Stream,
    /// The bridge was told to end.
    Stopped,
    /// Only a new session helps.
    Again,
}

impl World {
    /// Makes it.
    pub fn new(runtime: Handle) -> Self {
        Self {
            runtime,
            figures: Arc::new(Figures::new()),
            stop: Arc::default(),
        }
    }

    /// Tells all links to end.
    pub fn end(&self) {
        self.stop.store(true, Ordering::Relaxed); // Relaxed: a flag on its own
    }

    /// Returns whether all links have to end.
    pub fn ends(&self) -> bool {
        self.stop.load(Ordering::Relaxed) // Relaxed: a flag on its own
    }

    /// Runs a future to its end on this thread.
    pub fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }

    /// Sleeps, unless the bridge has to end.
    pub fn sleep(&self, time: Duration) {
        let until = Instant::now() + time;
        while !self.ends() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    /// Holds sessions with a server until one comes to an end that is not `Again`. The first
    /// connection fails at once if its trouble lasts. Later ones are tried without a limit.
    ///
    /// # Errors
    /// The session's, and what stands in the way of the first connection.
    pub fn sessions(
        &self,
        addresses: &str,
        access: &Access,
        reporter: &Arc<Reporter>,
        mut session: impl FnMut(&Server) -> Result<End>,
    ) -> Result<End> {
        let (mut connected, mut tries) = (false, 0);
        while !self.ends() {
            match self.run(Server::connect(addresses, access, reporter)) {
                Ok(server) => {
                    let began = Instant::now();
                    connected = true;
                    match session(&server)? {
                        End::Again if began.elapsed() > Duration::from_secs(10) => tries = 0,
                        End::Again => {}
                        end => return Ok(end),
                    }
                }
                Err(Trouble::Lasting(error)) if !connected => return Err(error),
                Err(Trouble::Passing(text)) => {
                    reporter.trouble(
                        "server",
                        format_args!("{text}; the bridge goes on trying, and nothing is lost"),
                    );
                }
                Err(Trouble::Lasting(error)) => {
                    reporter.trouble(
                        "server",
                        format_args!("{error:#}; the bridge goes on trying, and nothing is lost"),
                    );
                }
            }
            reporter.connected.set(0);
            self.sleep(pause(tries));
            tries += 1;
        }
        Ok(End::Stopped)
    }
}
