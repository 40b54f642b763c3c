//! How queues are made: sizes that suit, and names of one's own.
//!
//! A queue without a name given is called `py-PID-NONCE`, and is owned (see `owned`). Processes that
//! were killed all at once leave such queues; the next one that makes one removes those.

use crate::errors::{self, Exists, Invalid};
use crate::fork::generation;
use crate::handle::Handle;
use crate::{exit, owned, spill, wait};
use prodcon::bindings::NamedType;
use prodcon::{AttachOptions, QueueOptions};
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// Items of a queue that is to have no bound: it has one, and a put waits there.
const MANY: u32 = 8192;
/// What all blocks of a queue take together, unless that is too little for what was asked for. (Each
/// seat has a block, too.)
const BUDGET: usize = 8 << 20;
/// Seats, unless a number is given: as many as there can be where blocks are small, else as many as
/// the budget allows, but not fewer than these.
const SEATS: usize = 64;
const MOST_SEATS: usize = 1023;
const SMALL: usize = 1 << 10;
/// Most blocks that a queue can have.
const MOST_BLOCKS: usize = 1 << 20;
const PREFIX: &str = "py-";

/// What the constructors are given.
pub struct Create {
    pub capacity: u32,
    pub item_size: Option<usize>,
    pub seats: Option<u32>,
    pub lossy: bool,
    pub at_least_once: bool,
    pub ready: bool,
    pub mode: u32,
    /// The dead-letter queue, and after how many deliveries items go there.
    pub dead_letter: Option<(String, u8)>,
    /// Name of the plain type that all items are of.
    pub item_type: Option<String>,
    pub align: Option<u32>,
    pub batch: u32,
    pub copy_in_slot: bool,
    pub max_unacked: Option<u32>,
    pub directory: Option<PathBuf>,
}

/// adv_prodcon's `maxsize`: 0 or less means without bound.
pub fn capacity(maxsize: i64) -> PyResult<u32> {
    if maxsize <= 0 {
        return Ok(MANY);
    }
    u32::try_from(maxsize)
        .map_err(|_| Invalid::new_err(format!("a capacity of {maxsize} is too large")))
}

/// Blocks have to hold at least the name of a file.
pub fn fit_for_objects(name: &str, item_size: usize) -> PyResult<()> {
    if item_size >= spill::REFERENCE {
        return Ok(());
    }
    Err(Invalid::new_err(format!(
        "queue '{name}' has items of at most {item_size} bytes: objects need {}; use it with objects=False, or create it with a larger item_size",
        spill::REFERENCE
    )))
}

/// # Errors
/// Always: an object has no place in items of a plain type.
pub fn typed_for_objects(name: &str) -> PyErr {
    Invalid::new_err(format!(
        "queue '{name}' has items of a plain type, which cannot hold objects: use it with objects=False"
    ))
}

/// The text of a name; whether it is a good one is the library's to say.
pub fn name(name: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = name.cast::<PyString>()?;
    // A lone surrogate, for instance from os.fsdecode of bytes that are no UTF-8.
    text.extract().map_err(|_| {
        let shown = text.repr().map_or_else(|_| String::from("the name"), |repr| repr.to_string());
        Invalid::new_err(format!(
            "{shown} cannot be the name of a queue: use 1 to 200 of A-Z a-z 0-9 . _ -, not beginning with . or -"
        ))
    })
}

/// # Errors
/// With 0 nothing could be taken.
pub fn max_unacked(items: Option<u32>) -> PyResult<()> {
    if items == Some(0) {
        return Err(Invalid::new_err("max_unacked=0: give 1 or more, or None"));
    }
    Ok(())
}

/// See `SEATS`.
fn default_seats(capacity: usize, item_size: usize) -> u32 {
    let block = item_size.saturating_add(64);
    let seats = if item_size <= SMALL {
        MOST_SEATS
    } else {
        (BUDGET / block).saturating_sub(capacity)
    };
    let seats = seats.min(MOST_BLOCKS.saturating_sub(capacity));
    seats.clamp(SEATS, MOST_SEATS) as u32
}

/// This process has no children that might attach to a queue that it gave them.
fn childless(py: Python<'_>) -> PyResult<bool> {
    py.import("prodcon._exit")?
        .getattr("childless")?
        .call0()?
        .is_truthy()
}

impl Create {
    pub fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(prodcon::directory)
    }

    /// What was asked for explicitly. A queue that exists has to agree with it.
    fn asked_for(&self) -> QueueOptions {
        let mut options = QueueOptions::new(self.capacity)
            .lossy(self.lossy)
            .at_least_once(self.at_least_once)
            .batch(self.batch)
            .copy_in_slot(self.copy_in_slot)
            .ready(self.ready)
            .mode(self.mode)
            .attach(AttachOptions::new().directory(self.directory()));
        if let Some(size) = self.item_size {
            options = options.item_size(size);
        }
        if let Some(seats) = self.seats {
            options = options.seats(seats);
        }
        if let Some(align) = self.align {
            options = options.align(align);
        }
        if let Some((queue, deliveries)) = &self.dead_letter {
            options = options.dead_letter(queue, *deliveries);
        }
        options
    }

    /// The same with sizes that suit where none were given.
    fn options(&self, objects: bool) -> PyResult<QueueOptions> {
        let capacity = self.capacity as usize;
        let item_size = match self.item_size {
            Some(size) => size,
            None if objects => {
                let seats = self.seats.map_or(SEATS, |seats| seats as usize);
                (BUDGET / (capacity + seats)).clamp(SMALL, 64 << 10) - 64
            }
            None => {
                return Err(Invalid::new_err(
                    "a queue of bytes needs an item_size: the bytes of its longest item",
                ));
            }
        };
        let block = item_size.saturating_mul(self.batch as usize);
        let seats = self.seats.unwrap_or_else(|| default_seats(capacity, block));
        let align = self.align.unwrap_or(if item_size >= 64 { 64 } else { 8 });
        Ok(self
            .asked_for()
            .item_size(item_size)
            .seats(seats)
            .align(align))
    }

    /// The type of the items, if they are to have one.
    fn named_type(&self) -> PyResult<Option<NamedType>> {
        let Some(name) = &self.item_type else {
            return Ok(None);
        };
        let Some(size) = self.item_size else {
            return Err(Invalid::new_err(format!(
                "items of type '{name}' need an item_size: the bytes of one"
            )));
        };
        // As compilers have it, for numbers and structs of words.
        let align = self
            .align
            .map_or_else(|| 1 << size.trailing_zeros().min(3), |align| align as usize);
        Ok(Some(NamedType {
            name: name.clone(),
            size,
            align,
        }))
    }

    /// A queue of that name; an `owned` one goes with its users.
    pub fn named(&self, name: &str, objects: bool, owned: bool) -> PyResult<Handle> {
        // Before there is a queue that could be left behind.
        if objects && let Some(size) = self.item_size {
            fit_for_objects(name, size)?;
        }
        if objects && self.item_type.is_some() {
            return Err(typed_for_objects(name));
        }
        let (dir, options) = (self.directory(), self.options(objects)?);
        let mut handle = match self.named_type()? {
            Some(item) => Handle::create_named(name, &dir, &options, item),
            None => Handle::create(name, &dir, &options, owned),
        }?;
        handle.max_unacked = self.max_unacked;
        Ok(handle)
    }

    /// The queue of that name if there is one and it is what was asked for, else a new one.
    pub fn found_or_named(&self, py: Python<'_>, name: &str, objects: bool) -> PyResult<Handle> {
        loop {
            match Handle::attach_if(
                name,
                &self.directory(),
                &self.asked_for(),
                self.named_type()?,
            ) {
                Err(error) if error.is_instance_of::<errors::NotFound>(py) => {}
                found => {
                    let mut handle = found?;
                    handle.max_unacked = self.max_unacked;
                    return Ok(handle);
                }
            }
            match self.named(name, objects, false) {
                Err(error) if error.is_instance_of::<Exists>(py) => {} // made meanwhile
                other => return other,
            }
        }
    }

    /// A queue of objects with a name of its own.
    pub fn anonymous(&self) -> PyResult<Handle> {
        let dir = self.directory();
        sweep_once(&dir);
        owned::sweep_kept(|| Python::attach(|py| childless(py).unwrap_or(false)));
        loop {
            let nonce = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_nanos() as u64);
            let name = format!("{PREFIX}{}-{nonce:x}", std::process::id());
            match self.named(&name, true, true) {
                // Taken (another PID namespace), or swept away by somebody between its creation and its first seat.
                Err(error)
                    if Python::attach(|py| {
                        error.is_instance_of::<Exists>(py)
                            || error.is_instance_of::<errors::NotFound>(py)
                    }) && dir.is_dir() => {}
                other => return other,
            }
        }
    }
}

/// Removes what killed processes left: queues with a name of our making that nobody is attached to, and files of long items without a queue.
fn sweep_once(dir: &std::path::Path) {
    static SWEPT: Mutex<Option<(u64, PathBuf)>> = Mutex::new(None);
    let now = Some((generation(), dir.to_path_buf()));
    let mut swept = SWEPT.lock().unwrap_or_else(PoisonError::into_inner);
    if *swept == now {
        return;
    }
    *swept = now;
    owned::sweep(dir, PREFIX);
}

/// The interpreter ends: lets all threads out of their operations, and leaves all owned queues.
#[pyfunction]
pub fn _at_exit(py: Python<'_>) {
    wait::end(py); // first, for who waits is told when the queue goes
    exit::leave_all();
}
