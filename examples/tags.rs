//! Tags through arguments: one consumer program, started twice with different arguments. One executable: it starts itself again as the worker.
//!
//! `cargo run --example tags`

use prodcon::Batch;
use prodcon::worker::{BoxError, Consume, Consumer, ConsumerOptions, Context};
use std::process::ExitCode;

struct Tagger {
    tag: String,
    times: u64,
}

impl Consume for Tagger {
    type Item = u64;

    fn on_start(worker: &mut Context) -> Result<Self, BoxError> {
        let times = worker
            .arg("times")
            .unwrap_or("1")
            .parse()
            .map_err(|error| format!("times: {error}"))?;
        let tag = worker
            .args()
            .first()
            .ok_or("the first argument is the tag")?
            .clone();
        Ok(Self { tag, times })
    }

    fn work(&mut self, items: &Batch<u64>, worker: &mut Context) -> Result<(), BoxError> {
        for item in items {
            worker.send_result(format!("{}: {}", self.tag, item * self.times))?;
        }
        Ok(())
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    if let Some(status) = Tagger::run_if_worker() {
        return Ok(status); // this process is the worker
    }
    let mut consumers = vec![];
    for (name, arguments) in [
        ("first", ["plain", "times=1"]),
        ("second", ["tenfold", "times=10"]),
    ] {
        let mut consumer = Consumer::<u64>::create(name, &ConsumerOptions::new())?;
        consumer.on_result_ready(|result| println!("{}", result.text().unwrap_or("?")));
        consumer.start_new(Tagger::program()?.args(arguments))?;
        consumers.push(consumer);
    }
    for item in 1..=3 {
        for consumer in &mut consumers {
            consumer.put_in_queue(&item)?;
        }
    }
    for consumer in &mut consumers {
        consumer.set_stop_at_queue_end()?;
        consumer.wait()?.into_result()?;
    }
    Ok(ExitCode::SUCCESS)
}
