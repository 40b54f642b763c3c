//! A camera that fills the queue's own memory, and a program that looks at the frames where they are.
//! Nothing is copied on the way. One executable: it starts itself again as the worker.
//!
//! `cargo run --example frames`

use prodcon::worker::{BoxError, Context, Filled, ProduceInPlace, Producer, ProducerOptions};
use prodcon::{QueueOptions, ReadyQueue};
use std::process::ExitCode;

/// Rows of a grey picture, 2 MiB in all.
type Frame = [[u8; 2048]; 1024];

struct Camera {
    frames: u8,
}

impl ProduceInPlace for Camera {
    type Item = Frame;

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self { frames: 0 })
    }

    fn fill(&mut self, frame: &mut Frame, worker: &mut Context) -> Result<Filled, BoxError> {
        if self.frames == 3 {
            worker.stop()?;
            return Ok(Filled::Nothing);
        }
        self.frames += 1;
        for row in frame {
            row.fill(self.frames); // a real one would read from its device here
        }
        Ok(Filled::Item)
    }
}

fn main() -> Result<ExitCode, BoxError> {
    if let Some(status) = Camera::run_if_worker() {
        return Ok(status); // this process is the worker
    }
    let mut frames = ReadyQueue::<Frame>::create("frames", &QueueOptions::new(2).seats(4))?;
    let seen = look(&mut frames);
    prodcon::unlink("frames")?;
    seen
}

fn look(frames: &mut ReadyQueue<Frame>) -> Result<ExitCode, BoxError> {
    let options = ProducerOptions::new().subscribers([frames.name()]);
    let mut camera = Producer::create("camera", &options)?;
    camera.start_new(Camera::program()?)?;
    for number in 1..=3 {
        let frame = frames.take()?;
        println!("frame {number}: {} is in its middle", frame[512][1024]);
        frame.ack();
    }
    camera.wait()?.into_result()?;
    Ok(ExitCode::SUCCESS)
}
