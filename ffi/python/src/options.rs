//! How queues are made: sizes that suit, names of one's own, and that nothing is left behind.
//!
//! A queue without a name given is called `py-PID-NONCE` and goes with the object that made it, at the latest when the interpreter ends. A process that was killed
//! leaves its queues; the next one that makes such a queue removes those that nobody is attached to (its maker holds a seat for as long as it lives).
//! Callers: queue, lib.

use crate::errors::{self, Exists, Invalid};
use crate::fork::generation;
use crate::handle::Handle;
use crate::{spill, wait};
use prodcon::{Control, Delivery, Options};
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{SystemTime, UNIX_EPOCH};

/// Items of a queue that is to have no bound: it has one, and a put waits there.
const MANY: u32 = 8192;
/// What all blocks of a queue of objects take together, unless an item size is given.
const BUDGET: usize = 8 << 20;
const SEATS: u32 = 32;
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
    pub max_deliveries: u8,
    pub dead_letter: String,
    pub directory: Option<PathBuf>,
}

/// adv_prodcon's `maxsize`: 0 or less means without bound.
pub fn capacity(maxsize: i64) -> PyResult<u32> {
    if maxsize <= 0 {
        return Ok(MANY);
    }
    u32::try_from(maxsize).map_err(|_| Invalid::new_err(format!("a capacity of {maxsize} is too large")))
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

impl Create {
    pub fn directory(&self) -> PathBuf {
        self.directory.clone().unwrap_or_else(prodcon::directory)
    }

    fn options(&self, objects: bool) -> PyResult<Options> {
        let seats = self.seats.unwrap_or(SEATS);
        let item_size = match self.item_size {
            Some(size) => size,
            None if objects => (BUDGET / (self.capacity as usize + seats as usize)).clamp(1 << 10, 64 << 10) - 64,
            None => return Err(Invalid::new_err("a queue of bytes needs an item_size: the bytes of its longest item")),
        };
        Ok(Options::new(self.capacity)
            .item_size(item_size)
            .seats(seats)
            .align(if item_size >= 64 { 64 } else { 8 })
            .lossy(self.lossy)
            .delivery(if self.at_least_once { Delivery::AtLeastOnce } else { Delivery::AtMostOnce })
            .ready(self.ready)
            .mode(self.mode)
            .max_deliveries(self.max_deliveries)
            .dead_letter(&*self.dead_letter)
            .directory(self.directory()))
    }

    /// A queue of that name; with `owner`, the name goes with the handle.
    pub fn named(&self, name: &str, objects: bool, owner: bool) -> PyResult<Handle> {
        if objects && let Some(size) = self.item_size {
            fit_for_objects(name, size)?;
        }
        Handle::create(name, &self.directory(), &self.options(objects)?, owner)
    }

    /// A queue of objects with a name of its own.
    pub fn anonymous(&self) -> PyResult<Handle> {
        let dir = self.directory();
        sweep_once(&dir);
        loop {
            let nonce = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
            let name = format!("{PREFIX}{}-{nonce:x}", std::process::id());
            match self.named(&name, true, true) {
                // Taken (another PID namespace), or swept away by somebody between its creation and its first seat.
                Err(error) if Python::attach(|py| error.is_instance_of::<Exists>(py) || error.is_instance_of::<errors::NotFound>(py)) && dir.is_dir() => {}
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
    for entry in prodcon::list_in(dir).unwrap_or_default() {
        if !entry.name.starts_with(PREFIX) {
            continue;
        }
        let unused = Control::attach_in(dir, &entry.name).is_ok_and(|control| control.stats().is_ok_and(|stats| stats.seats_live == 0));
        if unused {
            let _ = spill::unlink_queue(dir, &entry.name);
        }
    }
    spill::sweep(dir);
}

/// Queues whose names go with this process.
static OWNED: Mutex<Vec<Weak<Handle>>> = Mutex::new(Vec::new());

/// Notes a handle whose name goes with this process.
pub fn remember(handle: &Arc<Handle>) {
    if handle.is_owner() {
        let mut owned = OWNED.lock().unwrap_or_else(PoisonError::into_inner);
        owned.retain(|handle| handle.strong_count() > 0);
        owned.push(Arc::downgrade(handle));
    }
}

/// The interpreter ends: lets all threads out of their operations, and removes the names that go with it.
#[pyfunction]
pub fn _at_exit(py: Python<'_>) {
    wait::end(py); // first, for who waits is told when the queue goes
    let owned = std::mem::take(&mut *OWNED.lock().unwrap_or_else(PoisonError::into_inner));
    for handle in owned.iter().filter_map(Weak::upgrade) {
        handle.close();
    }
}
