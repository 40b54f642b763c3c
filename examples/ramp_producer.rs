//! A producer: counts. Started by `ramp_control`, or by hand: `PRODCON_SUBSCRIBERS=sum ramp_producer --attach ramp`.

use prodcon::worker::{BoxError, Context, Produce};
use std::process::ExitCode;

struct Ramp(u64);

impl Produce for Ramp {
    type Item = u64;

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self(0))
    }

    fn work(&mut self, _: &mut Context) -> Result<Option<u64>, BoxError> {
        self.0 += 1;
        Ok(Some(self.0))
    }

    fn on_stop(self, worker: &mut Context) -> Result<(), BoxError> {
        Ok(worker.send_result(format!("{} stopped at {}", worker.name(), self.0))?)
    }
}

fn main() -> ExitCode {
    Ramp::main()
}
