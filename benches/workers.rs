//! What workers cost: `cargo bench --bench workers`. Prints, in one run,
//! - items/s of a `Consumer` with a buffer of 64 beside those of a bare `get` loop, 8-byte items, each in a process of its own: draining a full queue, and beside a producer;
//! - the time from `set_stopped` to `on_stop` of a worker that sleeps, waits for items, or waits for space;
//! - the time from a SIGKILL to `on_exit`, and from a controlling process's death to its worker's `on_stop`.
//!
//! Every round checks that each item arrived once. Rounds alternate; medians are compared.

use prodcon::Batch;
use prodcon::bytemuck::bytes_of;
use prodcon::worker::{
    BoxError, Consume, Consumer, ConsumerOptions, Context, Produce, Producer, ProducerOptions,
};
use prodcon::{AttachOptions, GetError, QueueOptions, ReadyQueue, Role, State};
use std::io::Read;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant, SystemTime};

const ITEMS: u64 = 1 << 19;
const STREAM: u64 = 4 << 20;
const ROUNDS: usize = 5;
const STOPS: usize = 100;

/// Nanoseconds since 1970: a clock that all processes share.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// Items, their sum, nanoseconds from the first to the last.
type Account = [u64; 3];

#[derive(Default)]
struct Sum {
    count: u64,
    sum: u64,
    began: Option<Instant>,
    time: Duration,
}

impl Sum {
    fn account(&self) -> Account {
        [self.count, self.sum, self.time.as_nanos() as u64]
    }
}

impl Consume for Sum {
    type Item = u64;

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self::default())
    }

    fn work(&mut self, items: &Batch<u64>, _: &mut Context) -> Result<(), BoxError> {
        let began = *self.began.get_or_insert_with(Instant::now);
        let before = self.count;
        for item in items {
            self.count += 1;
            self.sum = self.sum.wrapping_add(*item);
        }
        if before / 64 != self.count / 64 {
            self.time = began.elapsed();
        }
        Ok(())
    }

    fn on_stop(self, worker: &mut Context) -> Result<(), BoxError> {
        worker.send_message(bytes_of(&now()))?;
        Ok(worker.send_result(bytes_of(&self.account()))?)
    }
}

/// A producer that only says when it stopped.
struct Idle;

impl Produce for Idle {
    type Item = u64;

    fn on_start(_: &mut Context) -> Result<Self, BoxError> {
        Ok(Self)
    }

    fn work(&mut self, _: &mut Context) -> Result<Option<u64>, BoxError> {
        Ok(Some(1))
    }

    fn on_stop(self, worker: &mut Context) -> Result<(), BoxError> {
        Ok(worker.send_message(bytes_of(&now()))?)
    }
}

/// The bare loop, in a process of its own: prints its account.
fn bare(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut queue =
        ReadyQueue::<u64>::attach_with(name, &AttachOptions::new().role(Role::Consumer))?;
    let mut sum = Sum::default();
    loop {
        match queue.get() {
            Ok(item) => {
                let began = *sum.began.get_or_insert_with(Instant::now);
                sum.count += 1;
                sum.sum = sum.sum.wrapping_add(item);
                if sum.count % 64 == 0 {
                    sum.time = began.elapsed(); // as often as the worker looks at the clock
                }
            }
            Err(GetError::Stopped) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let [count, total, time] = sum.account();
    println!("{count} {total} {time}");
    Ok(())
}

/// Items/s of one round; `worker`: through a `Consumer` with such a buffer, at-least-once or not, else in a bare loop; `stream`: beside a producer, else draining.
fn round(worker: Option<(usize, bool)>, stream: bool) -> Result<f64, Box<dyn std::error::Error>> {
    let items = if stream { STREAM } else { ITEMS };
    let capacity = if stream { 1024 } else { ITEMS as u32 };
    let name = format!("bench-{}", std::process::id());
    let fill = |queue: &mut ReadyQueue<u64>| (0..items).try_for_each(|item| queue.put(&item));
    let account: Account = if let Some((buffer, again)) = worker {
        let mut consumer = Consumer::<u64>::create(
            &name,
            &ConsumerOptions::new()
                .queue(QueueOptions::new(capacity).at_least_once(again))
                .max_buffer_size(buffer)
                .work_timeout(Duration::from_millis(1)),
        )?;
        let (send, results) = mpsc::channel();
        consumer.on_result_ready(move |result| drop(send.send(result.item::<Account>())));
        if stream {
            consumer.start_new(Sum::program()?)?;
            fill(consumer.work_queue())?;
        } else {
            // Filled while the worker waits to be let go on.
            consumer.start_external()?;
            fill(consumer.work_queue())?;
            // As somebody would start it by hand.
            let mut child = Command::new(std::env::current_exe()?)
                .args(["--attach", &name])
                .env("PRODCON_WORKER_TYPE", std::any::type_name::<Sum>())
                .env("PRODCON_MAX_BUFFER_SIZE", buffer.to_string())
                .spawn()?;
            consumer.set_stop_at_queue_end()?;
            child.wait()?;
        }
        if stream {
            consumer.set_stop_at_queue_end()?;
        }
        consumer.wait()?.into_result()?;
        results.recv()??
    } else {
        let mut queue = ReadyQueue::<u64>::create(&name, &QueueOptions::new(capacity))?;
        let _end = Unlink(&name);
        let start = || {
            Command::new(std::env::current_exe()?)
                .args(["bare", &name])
                .stdout(Stdio::piped())
                .spawn()
        };
        let child = if stream {
            let child = start()?;
            while queue.control().stats()?.seats_live < 2 {
                std::thread::yield_now();
            }
            fill(&mut queue)?;
            queue.control().set_state(State::StopAtQueueEnd)?;
            child
        } else {
            fill(&mut queue)?;
            queue.control().set_state(State::StopAtQueueEnd)?;
            start()?
        };
        let output = child.wait_with_output()?;
        let words: Vec<u64> = String::from_utf8(output.stdout)?
            .split_whitespace()
            .flat_map(str::parse)
            .collect();
        words.try_into().map_err(|_| "the bare loop said nothing")?
    };
    assert_eq!(
        account[..2],
        [items, items * (items - 1) / 2],
        "not every item arrived once"
    );
    Ok(items as f64 * 1e9 / account[2] as f64)
}

struct Unlink<'a>(&'a str);

impl Drop for Unlink<'_> {
    fn drop(&mut self) {
        let _ = prodcon::unlink(self.0);
    }
}

fn overhead() -> Result<(), Box<dyn std::error::Error>> {
    let ways = [
        ("bare get loop", None),
        ("worker, buffer of 64", Some((64, false))),
        ("worker, buffer of 1", Some((1, false))),
        ("worker, buffer of 64, at-least-once", Some((64, true))),
    ];
    for (stream, what) in [
        (false, "draining a full queue"),
        (true, "beside a producer"),
    ] {
        let mut rates = ways.map(|_| vec![]);
        for _ in 0..ROUNDS {
            for (rates, (_, way)) in rates.iter_mut().zip(ways) {
                rates.push(round(way, stream)? / 1e6);
            }
        }
        rates
            .iter_mut()
            .for_each(|rates| rates.sort_by(f64::total_cmp));
        println!(
            "{what}, 8-byte items, M items/s (median of {ROUNDS}, least to most), and beside the bare loop:"
        );
        for ((way, _), own) in ways.iter().zip(&rates) {
            let median = own[ROUNDS / 2];
            println!(
                "  {way:<36} {median:>6.1} ({:>5.1} to {:>5.1})  {:.2}",
                own[0],
                own[ROUNDS - 1],
                median / rates[0][ROUNDS / 2]
            );
        }
    }
    Ok(())
}

fn show(what: &str, mut times: Vec<u64>) {
    times.sort_unstable();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize] as f64 / 1e6;
    println!(
        "{what}: median {:.3} ms, p99 {:.3} ms, max {:.3} ms ({} times)",
        at(0.5),
        at(0.99),
        at(1.0),
        times.len()
    );
}

fn stops() -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("bench-{}", std::process::id());
    let hour = Duration::from_secs(3600);
    let (send, stopped) = mpsc::channel();
    for what in ["asleep for its work_timeout", "waiting for space"] {
        let mut full = Consumer::<u64>::create(
            "bench-full",
            &ConsumerOptions::new().queue(QueueOptions::new(1)),
        )?;
        full.start_external()?;
        let options = if what == "waiting for space" {
            ProducerOptions::new().subscribers(["bench-full"])
        } else {
            ProducerOptions::new().work_timeout(hour)
        };
        let mut producer = Producer::create(&name, &options)?;
        let send = send.clone();
        producer.on_message_ready(move |message| drop(send.send(message.item::<u64>())));
        let mut times = vec![];
        for _ in 0..STOPS {
            producer.start_new(Idle::program()?)?;
            std::thread::sleep(Duration::from_millis(5));
            let asked = now();
            producer.set_stopped()?;
            times.push(stopped.recv()??.saturating_sub(asked));
            producer.wait()?.into_result()?;
        }
        show(&format!("set_stopped to on_stop, a producer {what}"), times);
    }
    let mut consumer = Consumer::<u64>::create(&name, &ConsumerOptions::new())?;
    consumer.on_message_ready(move |message| drop(send.send(message.item::<u64>())));
    let mut times = vec![];
    for _ in 0..STOPS {
        consumer.start_new(Sum::program()?)?;
        std::thread::sleep(Duration::from_millis(5));
        let asked = now();
        consumer.set_stopped()?;
        times.push(stopped.recv()??.saturating_sub(asked));
        consumer.wait()?.into_result()?;
    }
    show(
        "set_stopped to on_stop, a consumer waiting for items",
        times,
    );
    Ok(())
}

fn deaths() -> Result<(), Box<dyn std::error::Error>> {
    let name = format!("bench-{}", std::process::id());
    let mut consumer = Consumer::<u64>::create(&name, &ConsumerOptions::new())?;
    let (send, heard) = mpsc::channel();
    consumer.on_exit(move |_| {
        let _ = send.send(now());
    });
    let mut times = vec![];
    for _ in 0..50 {
        consumer.start_new(Sum::program()?)?;
        let killed = now();
        Command::new("kill")
            .args(["-KILL", &consumer.pids()[0].to_string()])
            .status()?;
        times.push(heard.recv()?.saturating_sub(killed));
        assert!(!consumer.wait()?.success(), "it was killed");
    }
    show(
        "kill -KILL of a worker (with starting kill(1)) to on_exit",
        times,
    );
    drop(consumer);
    // A controlling process in the middle: it prints when its worker is there, and is killed. The worker's last message is in a file, because nobody reads its ring.
    let mut times = vec![];
    for _ in 0..20 {
        let mut controller = Command::new(std::env::current_exe()?)
            .args(["controller", &name])
            .stdout(Stdio::piped())
            .spawn()?;
        controller
            .stdout
            .take()
            .ok_or("no stdout")?
            .read_exact(&mut [0; 8])?;
        let killed = Instant::now();
        controller.kill()?;
        controller.wait()?;
        while prodcon::list()?
            .iter()
            .any(|entry| entry.name.starts_with(&name))
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        times.push(killed.elapsed().as_nanos() as u64);
    }
    show(
        "kill of a controlling process to its worker having left and removed the segments",
        times,
    );
    Ok(())
}

fn controller(name: &str) -> Result<(), Box<dyn std::error::Error>> {
    let mut consumer = Consumer::<u64>::create(name, &ConsumerOptions::new())?;
    consumer.start_new(Sum::program()?)?;
    println!("started");
    std::thread::sleep(Duration::from_secs(600));
    Ok(())
}

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    if let Some(status) = Sum::run_if_worker().or_else(Idle::run_if_worker) {
        return Ok(status);
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["bare", name] => bare(name)?,
        ["controller", name] => controller(name)?,
        _ => {
            overhead()?;
            stops()?;
            deaths()?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
