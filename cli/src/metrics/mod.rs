//! `prodcon metrics`: the figures of queues for Prometheus, served over HTTP, written to a file for
//! the node exporter, or printed once.
//!
//! Invariant: it takes no seat, maps every queue for reading only, and has one queue open at a
//! time. A queue that vanishes or is damaged is reported as such and ends nothing.

mod look;
mod server;
mod textfile;

use crate::exit::{End, Outcome};
use crate::names::Watched;
use crate::{output, parse, signals, wait};
use clap::Args;
use look::Looker;
use prodcon::{Control, ErrorKind};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

#[derive(Args)]
#[command(after_help = "\
Without --listen and --textfile it prints the metrics once. With either it runs until SIGINT or SIGTERM, and then ends with 0.")]
pub struct Arguments {
    /// Names of queues, or patterns with * and ?; without any, all queues
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Serve http://ADDR/metrics: HOST:PORT, or a PORT of this machine alone
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<Address>,
    /// Write the metrics to PATH again and again, for the node exporter's textfile collector
    #[arg(long, value_name = "PATH", conflicts_with = "listen")]
    textfile: Option<PathBuf>,
    /// Time between two writes of the file
    #[arg(long, value_name = "S", requires = "textfile", value_parser = interval, default_value = "15")]
    interval: Duration,
    /// Write the file once, and end
    #[arg(long, requires = "textfile")]
    once: bool,
}

/// Where to listen: as it was given, and what that means.
#[derive(Clone, Debug)]
struct Address {
    text: String,
    places: Vec<SocketAddr>,
}

fn address(text: &str) -> Result<Address, String> {
    let whole = match text.parse::<u16>() {
        Ok(port) => format!("127.0.0.1:{port}"),
        Err(_) => text.to_owned(),
    };
    let places = whole
        .to_socket_addrs()
        .map_err(|error| format!("expected HOST:PORT or PORT, such as 127.0.0.1:9464: {error}"))?;
    Ok(Address {
        text: whole,
        places: places.collect(),
    })
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = parse::seconds(text)?;
    if (Duration::from_millis(100)..=Duration::from_secs(24 * 3600)).contains(&time) {
        Ok(time)
    } else {
        Err("expected 0.1 to 86400 seconds".into())
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    let watched = Watched::new(&arguments.names);
    for name in watched.named() {
        match Control::attach_read_only(name) {
            // A name that no queue can have never comes; any other queue may.
            Err(error) if error.kind() == ErrorKind::InvalidName => return Err(error.into()),
            _ => {}
        }
    }
    let mut looker = Looker::new(watched);
    if let Some(address) = &arguments.listen {
        signals::install()?;
        return server::serve(&address.text, &address.places, looker);
    }
    if let Some(path) = &arguments.textfile {
        signals::install()?;
        return write(arguments, path, &mut looker);
    }
    output::print(&looker.text()?)
}

/// Writes the file, again and again. Only the first failure ends it: later ones may pass, and the
/// file's age tells.
fn write(arguments: &Arguments, path: &Path, looker: &mut Looker) -> Outcome {
    textfile::write(path, &looker.text()?)?;
    if arguments.once {
        return Ok(());
    }
    let (mut due, mut said) = (Instant::now(), String::new());
    loop {
        due = (due + arguments.interval).max(Instant::now());
        while Instant::now() < due {
            if signals::caught().is_some() {
                return Ok(());
            }
            let left = due.saturating_duration_since(Instant::now());
            std::thread::sleep(left.min(wait::MAX_SLEEP));
        }
        let outcome = looker
            .text()
            .map_err(End::from)
            .and_then(|text| textfile::write(path, &text));
        let now = outcome.map_or_else(|end| end.message().to_owned(), |()| String::new());
        if now != said && !now.is_empty() {
            output::note(&now);
        }
        said = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_this_machines() {
        let places = |text| address(text).map(|address| address.places);
        assert_eq!(places("9464"), Ok(vec!["127.0.0.1:9464".parse().unwrap()]));
        assert_eq!(places("[::1]:1"), Ok(vec!["[::1]:1".parse().unwrap()]));
        for bad in ["", "x", ":9464", "127.0.0.1", "127.0.0.1:99999", "65536"] {
            assert!(places(bad).is_err(), "{bad}");
        }
    }
}
