//! `prodcon bench`: throughput and latency between processes; every item verified: exactly once, in order, intact.

use crate::child::{self, Crew};
use crate::exit::{End, Outcome};
use crate::{output, parse, signals};
use clap::Args;
use hdrhistogram::Histogram;
use prodcon::{Control, GetError, Options, PutError, ReadyQueue, State};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde_json::json;
use std::hint::black_box;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Arguments {
    /// Producing processes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=200))]
    producers: u64,
    /// Consuming processes
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=200))]
    consumers: u64,
    /// Bytes of an item, 8 at least
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(8..))]
    item_size: u32,
    /// Items the queue holds
    #[arg(long, default_value_t = 1024)]
    capacity: u32,
    /// How long
    #[arg(long, value_name = "S", value_parser = parse::run_time, default_value = "3")]
    seconds: Duration,
    /// A put on the full queue drops the oldest
    #[arg(long)]
    lossy: bool,
    /// Measure round trips (ping-pong) as well
    #[arg(long)]
    latency: bool,
    /// One JSON object on stdout
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
pub struct Worker {
    role: String,
    number: u64,
    base: String,
    seconds: f64,
}

/// What a worker tells at its end: role (0 produced, 1 got), producer's number, items, sum of sequence numbers, items that were wrong.
type Told = [u64; 5];

pub fn run(arguments: &Arguments) -> Outcome {
    signals::install()?;
    let base = format!("bench-{}", std::process::id());
    let mut crew = Crew {
        children: vec![],
        queues: ["", "-told", "-ping", "-pong"].map(|kind| format!("{base}{kind}")).into(),
    };
    let seats = u32::try_from(arguments.producers + arguments.consumers + 4).unwrap_or(u32::MAX);
    let control = Control::create(
        &base,
        &Options::new(arguments.capacity)
            .item_size(arguments.item_size as usize)
            .lossy(arguments.lossy)
            .seats(seats)
            .ready(false),
    )?;
    let mut told = ReadyQueue::<Told>::create(&crew.queues[1], &Options::new(100_000).seats(seats))?;
    let seconds = arguments.seconds.as_secs_f64();
    let worker = |role: &str, number: u64| child::start(&["bench-worker", role, &number.to_string(), &base, &seconds.to_string()].map(str::to_owned));
    let total = (arguments.producers + arguments.consumers) as usize;
    for number in 0..arguments.consumers {
        crew.children.push(worker("get", number)?);
    }
    for number in 0..arguments.producers {
        crew.children.push(worker("put", number)?);
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while control.stats()?.seats_live < total as u32 {
        signals::check()?;
        if Instant::now() > deadline {
            return Err(End::failed("the processes of the benchmark did not attach within 30 s"));
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    let began = Instant::now();
    control.set_ready()?;
    let (mut put, mut got) = (vec![[0u64; 2]; arguments.producers as usize], vec![[0u64; 2]; arguments.producers as usize]);
    let (mut wrong, mut ended, mut elapsed) = (0, 0, None);
    let deadline = began + arguments.seconds + Duration::from_secs(60);
    while ended < total {
        signals::check()?;
        if Instant::now() > deadline {
            return Err(End::failed("the processes of the benchmark did not end"));
        }
        let [role, producer, items, sum, bad] = match told.get_timeout(Duration::from_millis(50)) {
            Ok(told) => told,
            Err(GetError::TimedOut) => continue,
            Err(error) => return Err(End::failed(error)),
        };
        wrong += bad;
        if producer == u64::MAX {
            ended += 1; // a consumer has told everything
            elapsed = Some(began.elapsed());
            continue;
        }
        let table = if role == 0 { &mut put } else { &mut got };
        if let Some([count, sums]) = table.get_mut(producer as usize) {
            *count += items;
            *sums = sums.wrapping_add(sum);
        }
        if role == 0 {
            ended += 1;
            if ended == arguments.producers as usize {
                control.set_state(State::StopAtQueueEnd)?;
            }
        }
    }
    for child in &mut crew.children {
        let _ = child.wait();
    }
    let stats = control.stats()?;
    let delivered: u64 = got.iter().map(|[count, _]| count).sum();
    let all: u64 = put.iter().map(|[count, _]| count).sum();
    let verified = wrong == 0 && stats.adds_up() && stats.puts == all && stats.gets == delivered && (arguments.lossy || put == got) && delivered > 0;
    let rate = delivered as f64 / elapsed.unwrap_or_else(|| began.elapsed()).as_secs_f64();
    let mut result = json!({
        "producers": arguments.producers, "consumers": arguments.consumers, "item_size": arguments.item_size, "capacity": arguments.capacity, "lossy": arguments.lossy,
        "msgs_per_s": rate, "put": all, "delivered": delivered, "dropped": stats.dropped, "verified": verified,
    });
    if arguments.latency {
        let times = ping_pong(arguments, &base, &mut crew)?;
        for (name, quantile) in [("p50_ns", 0.5), ("p99_ns", 0.99), ("p999_ns", 0.999), ("max_ns", 1.0)] {
            result[name] = times.value_at_quantile(quantile).into();
        }
    }
    if arguments.json {
        output::print(&format!("{result}\n"))?;
    } else {
        let lossy = if arguments.lossy {
            format!(", {} dropped", stats.dropped)
        } else {
            String::new()
        };
        let verdict = if verified {
            "verified: exactly once, in order, intact"
        } else {
            "NOT VERIFIED"
        };
        output::print(&format!(
            "{} producers, {} consumers, {} bytes: {:.2} M items/s{lossy}; {verdict}\n",
            arguments.producers,
            arguments.consumers,
            arguments.item_size,
            rate / 1e6
        ))?;
        if arguments.latency {
            output::print(&format!(
                "round trip: p50 {} ns, p99 {} ns, p99.9 {} ns, max {} ns\n",
                result["p50_ns"], result["p99_ns"], result["p999_ns"], result["max_ns"]
            ))?;
        }
    }
    if verified {
        Ok(())
    } else {
        Err(End::failed(
            "the benchmark's items did not arrive exactly once, in order and intact: this is a bug, please report it",
        ))
    }
}

fn ping_pong(arguments: &Arguments, base: &str, crew: &mut Crew) -> Result<Histogram<u64>, End> {
    let options = Options::new(arguments.capacity).item_size(arguments.item_size as usize).seats(4);
    let mut ping = ReadyQueue::<[u8]>::create(&format!("{base}-ping"), &options)?;
    let mut pong = ReadyQueue::<[u8]>::create(&format!("{base}-pong"), &options)?;
    crew.children.push(child::start(&["bench-worker", "echo", "1", base, "0"].map(str::to_owned))?);
    let mut times = Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(End::failed)?;
    let item = vec![7; arguments.item_size as usize];
    pin(0);
    let (began, mut warm) = (Instant::now(), false);
    while began.elapsed() < arguments.seconds {
        signals::check()?;
        for _ in 0..1000 {
            let start = Instant::now();
            ping.put(&item).map_err(End::failed)?;
            black_box(&*pong.take_timeout(Duration::from_secs(10)).map_err(End::failed)?);
            if warm {
                times.saturating_record(start.elapsed().as_nanos() as u64);
            }
        }
        warm = true;
    }
    Control::attach(&format!("{base}-ping"))?.set_state(State::Stopped)?;
    Ok(times)
}

/// Runs on the core with this number, where there are so many.
fn pin(number: u64) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let cores: Vec<usize> = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect();
    let mut set = CpuSet::new();
    set.set(cores[number as usize % cores.len()]);
    let _ = sched_setaffinity(None, &set);
}

pub fn work(arguments: &Worker) -> Outcome {
    child::born();
    let base = &arguments.base;
    if arguments.role == "echo" {
        pin(1);
        let mut ping = ReadyQueue::<[u8]>::attach(&format!("{base}-ping"))?;
        let mut pong = ReadyQueue::<[u8]>::attach(&format!("{base}-pong"))?;
        let mut buffer = vec![];
        loop {
            match ping.take() {
                Ok(item) => {
                    buffer.clear();
                    buffer.extend_from_slice(&item);
                }
                Err(_) => return Ok(()),
            }
            pong.put(&buffer).map_err(End::failed)?;
        }
    }
    let mut told = ReadyQueue::<Told>::attach(&format!("{base}-told"))?;
    let mut queue = ReadyQueue::<[u8]>::attach(base)?;
    let mut tell = |what: Told| told.put(&what).map_err(End::failed);
    let size = queue.item_size();
    if arguments.role == "put" {
        pin(0);
        queue.wait_ready(None)?;
        let end = Instant::now() + Duration::from_secs_f64(arguments.seconds);
        let mut item = vec![0u8; size];
        let mut sequence = 0u64;
        loop {
            item[..8].copy_from_slice(&(arguments.number << 48 | sequence).to_ne_bytes());
            if size >= 16 {
                item[size - 8..].copy_from_slice(&sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_ne_bytes());
            }
            match queue.put(&item) {
                Ok(()) => sequence += 1,
                Err(PutError::Stopped) => break,
                Err(error) => return Err(End::failed(error)),
            }
            if sequence.is_multiple_of(1024) && Instant::now() >= end {
                break;
            }
        }
        return tell([0, arguments.number, sequence, sequence.wrapping_mul(sequence.wrapping_sub(1)) / 2, 0]);
    }
    pin(1);
    let mut seen = vec![(0u64, 0u64, None::<u64>); 256];
    let mut wrong = 0u64;
    loop {
        let item = match queue.take() {
            Ok(item) => item,
            Err(GetError::Stopped) => break,
            Err(error) => return Err(End::failed(error)),
        };
        let word = |at: usize| item[at..at + 8].try_into().map_or(0, u64::from_ne_bytes);
        let (producer, sequence) = ((word(0) >> 48) as usize, word(0) & 0xffff_ffff_ffff);
        let (count, sum, last) = &mut seen[producer.min(255)];
        wrong += u64::from(last.is_some_and(|last| last >= sequence) || (size >= 16 && word(size - 8) != sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        (*count, *sum, *last) = (*count + 1, sum.wrapping_add(sequence), Some(sequence));
        black_box(&item[..]);
    }
    for (producer, (count, sum, _)) in seen.iter().enumerate().filter(|(_, (count, ..))| *count > 0) {
        tell([1, producer as u64, *count, *sum, 0])?;
    }
    tell([1, u64::MAX, 0, 0, wrong])
}
