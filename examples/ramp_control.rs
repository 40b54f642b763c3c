//! Producer and consumer: `ramp_producer` counts, `sum_consumer` adds up in batches, this program starts and stops them and prints what they say.
//!
//! `cargo run --example ramp_control` (after `cargo build --examples`)

use prodcon::worker::{Consumer, ConsumerOptions, Producer, ProducerOptions};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let beside = std::env::current_exe()?;
    let program = |name: &str| beside.with_file_name(name);

    let mut sum = Consumer::<u64>::create(
        "sum",
        &ConsumerOptions::new()
            .max_buffer_size(5)
            .work_timeout(Duration::from_secs(1)),
    )?;
    sum.on_result_ready(|result| println!("{}", result.text().unwrap_or("?")));
    let mut ramp = Producer::create(
        "ramp",
        &ProducerOptions::new()
            .work_timeout(Duration::from_millis(10))
            .subscribers([sum.name()]),
    )?;
    ramp.on_result_ready(|result| println!("{}", result.text().unwrap_or("?")));

    sum.start_new(program("sum_consumer"))?;
    ramp.start_new(program("ramp_producer"))?;
    std::thread::sleep(Duration::from_millis(500));
    ramp.stop()?.into_result()?;
    sum.set_stop_at_queue_end()?;
    sum.wait()?.into_result()?;
    Ok(())
}
