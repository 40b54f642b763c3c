//! `prodcon top`: what goes on in queues, again and again. A table on a terminal, plain text elsewhere. It takes no seat and disturbs nobody.

mod keys;
mod plain;
mod sample;
mod screen;

use crate::exit::{End, Outcome};
use crate::{output, parse, signals};
use clap::Args;
use keys::Key;
use rustix::io::Errno;
use sample::Sampler;
use screen::View;
use signal_hook::consts::SIGHUP;
use std::io::{IsTerminal, stdin, stdout};
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Arguments {
    /// Names of the queues, or patterns with * and ?; without any, all queues
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Time between two looks
    #[arg(long, value_name = "S", value_parser = interval, default_value = "1")]
    interval: Duration,
    /// Look twice, print one table, and end
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let time = parse::seconds(text)?;
    if (Duration::from_millis(50)..=Duration::from_secs(3600)).contains(&time) {
        Ok(time)
    } else {
        Err("expected 0.05 to 3600 seconds".into())
    }
}

pub fn run(arguments: &Arguments) -> Outcome {
    signals::install()?;
    let mut sampler = Sampler::new(&arguments.names)?;
    if arguments.once || !stdout().is_terminal() || !stdin().is_terminal() {
        return print(arguments, &mut sampler);
    }
    let mut terminal = ratatui::try_init()
        .map_err(|error| End::failed(format!("cannot use the terminal: {error}")))?;
    let outcome = show(arguments, &mut sampler, &mut terminal);
    ratatui::restore();
    outcome
}

/// A table each time; the first look only begins the count.
fn print(arguments: &Arguments, sampler: &mut Sampler) -> Outcome {
    sampler.look()?;
    let mut due = Instant::now();
    loop {
        due += arguments.interval;
        while Instant::now() < due {
            signals::check()?;
            std::thread::sleep(
                due.saturating_duration_since(Instant::now())
                    .min(Duration::from_millis(50)),
            );
        }
        output::print(&plain::table(&sampler.look()?))?;
        if arguments.once {
            return Ok(());
        }
        output::print("\n")?;
    }
}

fn show(
    arguments: &Arguments,
    sampler: &mut Sampler,
    terminal: &mut ratatui::DefaultTerminal,
) -> Outcome {
    let failed = |error: std::io::Error| match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::IO) => gone(),
        _ => End::failed(format!("cannot use the terminal: {error}")),
    };
    let mut view = View::default();
    let (mut rows, mut due) = (sampler.look()?, Instant::now() + arguments.interval);
    loop {
        terminal
            .draw(|frame| view.draw(frame, &rows))
            .map_err(failed)?;
        for key in keys::read().map_err(failed)? {
            match key {
                Key::Quit => return Ok(()),
                Key::Down => view.step(1, rows.len()),
                Key::Up => view.step(-1, rows.len()),
                Key::Gone => return Err(gone()),
            }
        }
        signals::check()?;
        if Instant::now() >= due {
            rows = sampler.look()?;
            due = Instant::now() + arguments.interval;
        }
    }
}

/// As if the signal that comes with a terminal's end had not been ignored.
fn gone() -> End {
    End::signal(SIGHUP)
}
