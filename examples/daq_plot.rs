//! A consumer for `daq`: a line of text for each batch, with a bar as long as the mean of its readings (0 to 100).

use prodcon::Batch;
use prodcon::worker::{BoxError, Consume, Context};
use std::process::ExitCode;

struct Plot;

impl Consume for Plot {
    type Item = [f64; 2];

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self)
    }

    fn work(&mut self, samples: &Batch<[f64; 2]>, worker: &mut Context) -> Result<(), BoxError> {
        let mean = samples.iter().map(|[_, reading]| reading).sum::<f64>() / samples.len() as f64;
        let time = samples.get(0).map_or(0.0, |[time, _]| *time);
        let bar = "#".repeat(mean.clamp(0.0, 100.0) as usize / 2);
        Ok(worker.send_result(format!("{time:7.3} s {mean:6.1} |{bar:<50}|"))?)
    }
}

fn main() -> ExitCode {
    Plot::main()
}
