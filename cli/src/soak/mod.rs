//! `prodcon soak`: kills and stops producers and consumers at random, for as long as you like, and
//! checks every item and every account.
//!
//! There is one queue for each mode. They are worked on in turn, in rounds. Consumers report each
//! item before they acknowledge it. Each second all processes stand still, and the reports are
//! compared with the accounts. At the end of a round no process is left, and every figure has to be
//! exact. `worker` is what the processes do, `plain` what they do in batches, and `behaviour` what
//! both share. `processes` starts and stops them, `ledger` judges, `round` kills and pauses
//! (`round/unreplaced` without replacement), and `screen` shows.

mod behaviour;
mod ledger;
mod mode;
mod plain;
mod processes;
mod round;
mod screen;
mod worker;

pub use worker::{Worker, work};

use crate::exit::{End, Outcome};
use crate::{child, output, parse, signals};
use behaviour::Dice;
use clap::Args;
use mode::Mode;
use plain::Plain;
use prodcon::{Control, QueueOptions};
use round::{Ending, Round, Subject};
use screen::{Screen, Tally};
use std::time::{Duration, Instant};
use worker::{Bug, SHORTEST};

#[derive(Args)]
pub struct Arguments {
    /// How long to run
    #[arg(long, value_name = "N", value_parser = parse::minutes, default_value = "1")]
    minutes: Duration,
    /// Only a queue that delivers the items of killed consumers again (default: all modes in turn)
    #[arg(long)]
    at_least_once: bool,
    /// Only a lossy queue; with --at-least-once, one that is both
    #[arg(long)]
    lossy: bool,
    /// Only a queue with up to M items in one exchange, and several such blocks in a consumer's hand
    #[arg(long, value_name = "M", value_parser = |text: &str| parse::count_in(text, 1..=512))]
    batch: Option<u32>,
    /// Producing processes
    #[arg(long, default_value_t = 4, value_parser = |text: &str| parse::count_in(text, 1..=64))]
    producers: u32,
    /// Consuming processes
    #[arg(long, default_value_t = 4, value_parser = |text: &str| parse::count_in(text, 1..=64))]
    consumers: u32,
    /// Items the queue holds
    #[arg(long, default_value_t = 16, value_parser = |text: &str| parse::count_in(text, 1..=65_536))]
    capacity: u32,
    /// Bytes of the longest item
    #[arg(long, default_value_t = 64, value_parser = |text: &str| parse::bytes_in(text, SHORTEST as u32..=1 << 20))]
    item_size: u32,
    /// Seed of the dice, to repeat a run (what the system makes of it still differs)
    #[arg(long)]
    seed: Option<u64>,
    /// Replace no killed consumer (the last one is left alone), and measure how soon others get
    /// what it had in hand
    #[arg(long)]
    no_replace: bool,
    /// Longest time in which no consumer gets an item, or that a stream needs to end, before that
    /// is an error
    #[arg(long, value_name = "S", value_parser = parse::patience, default_value = "30")]
    patience: Duration,
    #[arg(long, hide = true, conflicts_with = "batch")]
    plant: Option<Bug>,
}

/// Queues that are gone when this is.
struct Subjects(Vec<Subject>);

impl Drop for Subjects {
    fn drop(&mut self) {
        for subject in &self.0 {
            let _ = prodcon::unlink(subject.control.name());
        }
    }
}

impl Subjects {
    fn create(arguments: &Arguments) -> Result<Self, End> {
        let mut subjects = Self(vec![]);
        // Some spare ones: the seats of the killed come back when somebody recovers them.
        for mode in Mode::chosen(arguments.at_least_once, arguments.lossy, arguments.batch) {
            let seats = arguments.producers + 2 * arguments.consumers * mode.seats() + 4;
            let options = QueueOptions::new(arguments.capacity)
                .item_size(arguments.item_size as usize)
                .seats(seats)
                .lossy(mode.lossy)
                .at_least_once(mode.at_least_once);
            let name = format!("soak-{}-{}", std::process::id(), mode.tag());
            subjects.0.push(Subject {
                mode,
                control: create(&name, &options, mode.batch)?,
                tally: Tally::default(),
                problems: vec![],
            });
        }
        Ok(subjects)
    }

    fn tallies(&self) -> Vec<(Mode, Tally)> {
        self.0
            .iter()
            .map(|subject| (subject.mode, subject.tally))
            .collect()
    }
}

fn create(name: &str, options: &QueueOptions, batch: u32) -> prodcon::Result<Control> {
    if batch > 1 {
        Control::create::<Plain>(name, &options.clone().batch(batch))
    } else {
        Control::create::<[u8]>(name, options)
    }
}

/// Longest round: what the ledger of a round needs is bounded by it.
const ROUND: Duration = Duration::from_secs(10);

pub fn run(arguments: &Arguments) -> Outcome {
    if arguments.no_replace && arguments.consumers < 2 {
        return Err(End::usage(
            "--no-replace needs 2 consumers or more: the last one is left alone",
        ));
    }
    signals::install()?;
    let seed = arguments.seed.unwrap_or_else(child::now);
    let mut subjects = Subjects::create(arguments)?;
    let modes = subjects.0.len();
    let names: Vec<String> = subjects
        .0
        .iter()
        .map(|subject| subject.mode.to_string())
        .collect();
    output::print(&format!(
        "{} producers and {} consumers, {}; {} items of up to {} bytes; {}; seed {seed}\n",
        arguments.producers,
        arguments.consumers,
        if arguments.no_replace {
            "which are killed one after the other and not replaced"
        } else {
            "killed and stopped at random"
        },
        arguments.capacity,
        arguments.item_size,
        names.join("; ")
    ))?;
    let screen = Screen::new(modes, arguments.minutes);
    let outcome = rounds(arguments, &mut subjects, &screen, seed);
    let tallies = subjects.tallies();
    screen.end(&tallies)?;
    if arguments.no_replace {
        output::print(&times(&tallies))?;
    }
    let wrong: u64 = tallies.iter().map(|(_, tally)| tally.wrong).sum();
    for problem in subjects.0.iter().flat_map(|subject| &subject.problems) {
        output::print(&format!("WRONG: {problem}\n"))?;
    }
    if wrong > 0 {
        return Err(End::failed(format!(
            "{wrong} things were wrong (seed {seed}): this is a bug, please report it"
        )));
    }
    let kills: u64 = tallies.iter().map(|(_, tally)| tally.kills).sum();
    let pauses: u64 = tallies.iter().map(|(_, tally)| tally.pauses).sum();
    let checks: u64 = tallies.iter().map(|(_, tally)| tally.checks).sum();
    output::print(&format!(
        "{kills} kills, {pauses} pauses, {checks} checks: nothing was wrong\n"
    ))?;
    outcome
}

/// How soon others had what the killed had in hand, a line for each mode.
fn times(tallies: &[(Mode, Tally)]) -> String {
    let line = |(mode, tally): &(Mode, Tally)| {
        let event = if mode.at_least_once {
            "delivered again"
        } else {
            "counted as lost"
        };
        format!(
            "{mode}: {} consumers were killed with items in hand and not replaced; at the longest the items were {event} after {:.1} ms\n",
            tally.timed,
            tally.longest.as_secs_f64() * 1e3
        )
    };
    tallies.iter().map(line).collect()
}

fn rounds(arguments: &Arguments, subjects: &mut Subjects, screen: &Screen, seed: u64) -> Outcome {
    let mut dice = Dice::new(seed);
    let modes = subjects.0.len() as u32;
    // As many rounds for each mode.
    let each = arguments
        .minutes
        .as_nanos()
        .div_ceil(u128::from(modes) * ROUND.as_nanos());
    let count = u32::try_from(each * u128::from(modes)).unwrap_or(u32::MAX);
    let began = Instant::now();
    let mut next = 1;
    // Without replacement a round ends when one consumer is left: there are more of them.
    let more = |number: u32| {
        if arguments.no_replace {
            number < modes || began.elapsed() < arguments.minutes
        } else {
            number < count
        }
    };
    let mut number = 0;
    while more(number) {
        let which = (number % modes) as usize;
        // Seconds of others are shown beside those of this one.
        let mut shown = subjects.tallies();
        let end = began
            + arguments
                .minutes
                .mul_f64((f64::from(number + 1) / f64::from(count)).min(1.0));
        let end = end.max(Instant::now() + Duration::from_millis(500));
        let mut round = Round::begin(arguments, &mut subjects.0[which], &mut dice, &mut next)?;
        let show = |subject: &Subject| {
            shown[which].1 = subject.tally;
            screen.show(began.elapsed(), &shown, which)
        };
        let ran = if arguments.no_replace {
            round.run_unreplaced(end, show)
        } else {
            round.run(end, show)
        };
        if let Err(end) = ran {
            round.interrupt()?;
            return Err(end);
        }
        let ending = if arguments.no_replace || (number / modes).is_multiple_of(2) {
            Ending::Stream
        } else {
            Ending::Massacre
        };
        round.end(ending)?;
        number += 1;
        if subjects.0[which].tally.wrong > 0
            && more(number)
            && !going_on_makes_sense(&subjects.0[which])
        {
            return Ok(());
        }
    }
    Ok(())
}

/// A queue that was left in the middle of something would only repeat what is known.
fn going_on_makes_sense(subject: &Subject) -> bool {
    subject.control.state() == prodcon::State::Started
}
