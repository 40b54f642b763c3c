//! Messages both ways: a producer whose step is changed while it runs, and that confirms each change.
//!
//! `cargo run --example messages`

use prodcon::bytemuck::bytes_of;
use prodcon::worker::{BoxError, Context, Produce, Producer, ProducerOptions};
use std::process::ExitCode;
use std::sync::mpsc;
use std::time::Duration;

struct Steps {
    value: i64,
    step: i64,
}

impl Produce for Steps {
    type Item = i64;

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self { value: 0, step: 1 })
    }

    fn work(&mut self, worker: &mut Context) -> Result<Option<i64>, BoxError> {
        if let Ok(message) = worker.try_recv() {
            self.step = message.item()?;
            worker.send_message(format!("from {} on the step is {}", self.value, self.step))?;
        }
        self.value += self.step;
        Ok(Some(self.value))
    }
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    if let Some(status) = Steps::run_if_worker() {
        return Ok(status); // this process is the worker
    }
    let options = ProducerOptions::new()
        .work_timeout(Duration::from_millis(20))
        .items_to_results(true);
    let mut steps = Producer::create("steps", &options)?;
    let (confirm, confirmed) = mpsc::channel();
    steps.on_message_ready(move |message| {
        println!("worker: {}", message.text().unwrap_or("?"));
        let _ = confirm.send(());
    });
    steps.on_result_ready(|result| println!("{:?}", result.item::<i64>()));
    steps.start_new(Steps::program()?)?;
    for step in [10i64, -1] {
        std::thread::sleep(Duration::from_millis(100));
        steps.send_message(bytes_of(&step))?;
        confirmed.recv()?;
    }
    steps.stop()?.into_result()?;
    Ok(ExitCode::SUCCESS)
}
