//! A consumer for `daq`: every sample a line in a file.

use prodcon::Batch;
use prodcon::worker::{BoxError, Consume, Context};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::process::ExitCode;

struct Recorder {
    file: BufWriter<File>,
    lines: u64,
}

impl Consume for Recorder {
    type Item = [f64; 2];

    fn on_start(worker: &mut Context) -> Result<Self, BoxError> {
        let path = worker
            .args()
            .first()
            .ok_or("the first argument is the file to be written")?;
        let file = BufWriter::new(File::create(path)?);
        Ok(Self { file, lines: 0 })
    }

    fn work(&mut self, samples: &Batch<[f64; 2]>, _: &mut Context) -> Result<(), BoxError> {
        for [time, reading] in samples {
            writeln!(self.file, "{time:.6} {reading:.3}")?;
            self.lines += 1;
        }
        Ok(self.file.flush()?) // before the samples count as worked on
    }

    fn on_stop(self, worker: &mut Context) -> Result<(), BoxError> {
        Ok(worker.send_result(format!("{} lines written", self.lines))?)
    }
}

fn main() -> ExitCode {
    Recorder::main()
}
