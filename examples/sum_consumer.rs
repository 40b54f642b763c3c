//! A consumer: adds up. Started by `ramp_control`, or by hand: `prodcon create sum --capacity 64 --item-size 8`, then `sum_consumer --attach sum`.

use prodcon::Batch;
use prodcon::worker::{BoxError, Consume, Context};
use std::process::ExitCode;

struct Sum(u64);

impl Consume for Sum {
    type Item = u64;

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self(0))
    }

    fn work(&mut self, items: &Batch<u64>, worker: &mut Context) -> Result<(), BoxError> {
        self.0 += items.iter().sum::<u64>();
        Ok(worker.send_result(format!("{} items: the sum is {} now", items.len(), self.0))?)
    }
}

fn main() -> ExitCode {
    Sum::main()
}
