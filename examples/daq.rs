//! Data acquisition: `daq_sampler` reads the processor time of this machine (or the lines of a file) at a fixed rate, `daq_plot` draws what it can keep up with, `daq_file`
//! writes everything down.
//!
//! `cargo build --examples && cargo run --example daq -- /tmp/samples.txt [SECONDS [INPUT]]`

use prodcon::QueueOptions;
use prodcon::worker::{Consumer, ConsumerOptions, Producer, ProducerOptions, Program};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let output = arguments
        .first()
        .ok_or("usage: daq OUTPUT [SECONDS [INPUT]]")?;
    let time = Duration::try_from_secs_f64(arguments.get(1).map_or(Ok(3.0), |text| text.parse())?)?;
    let beside = std::env::current_exe()?;
    let program = |name: &str| Program::new(beside.with_file_name(name));

    // The plot may miss samples, the file may not.
    let shared = ConsumerOptions::new().work_timeout(Duration::from_millis(200));
    let mut plot = Consumer::<[f64; 2]>::create(
        "daq-plot",
        &shared
            .clone()
            .queue(QueueOptions::new(32).lossy(true))
            .max_buffer_size(8),
    )?;
    let mut file = Consumer::<[f64; 2]>::create(
        "daq-file",
        &shared.queue(QueueOptions::new(4096)).max_buffer_size(64),
    )?;
    plot.on_result_ready(|line| println!("{}", line.text().unwrap_or("?")));
    file.on_result_ready(|report| println!("{}", report.text().unwrap_or("?")));
    plot.start_new(program("daq_plot"))?;
    file.start_new(program("daq_file").arg(output))?;

    let rate = ProducerOptions::new()
        .work_timeout(Duration::from_millis(10))
        .subscribers([plot.name(), file.name()]);
    let mut sampler = Producer::create("daq-sampler", &rate)?;
    sampler.on_exit(|exit| {
        println!(
            "the sampler ended: {}",
            exit.error.as_deref().unwrap_or("stopped")
        )
    });
    sampler.start_new(program("daq_sampler").args(arguments.get(2)))?;
    sampler.wait_timeout(time)?; // it ends by itself where its input does
    sampler.stop()?.into_result()?;

    for consumer in [&mut plot, &mut file] {
        consumer.set_stop_at_queue_end()?;
        consumer.wait()?.into_result()?;
        println!(
            "{}: {} of {} samples, {} dropped",
            consumer.name(),
            consumer.stats()?.gets,
            consumer.stats()?.puts,
            consumer.stats()?.dropped
        );
    }
    Ok(())
}
