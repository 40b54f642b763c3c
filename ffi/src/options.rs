//! How C says what a queue is to be, and how a handle attaches to one.

use crate::failure::{Failure, Sized32, sized_input, string};
use crate::token::Token;
use rust::bindings::NamedType;
use rust::{QueueOptions, Role};
use std::ffi::c_char;
use std::time::Duration;

/// Flag: a put on the full queue drops the oldest item and never waits.
pub const PRODCON_LOSSY: u32 = 1;
/// Flag: items that a killed consumer had in hand go to another consumer. Otherwise they are
/// counted as lost. An item that always fails comes back again and again, unless you name a
/// `dead_letter` queue.
pub const PRODCON_AT_LEAST_ONCE: u32 = 2;
/// Flag, of the creation only: the queue begins not ready. Puts answer `PRODCON_NOT_READY` until
/// `prodcon_queue_set_ready`.
pub const PRODCON_CREATE_NOT_READY: u32 = 4;
/// Flag, of the creation only: no slot has a copy of its item. Without this flag slots have copies
/// if items are of a plain type of at most 8 bytes, there are no batches, and the processor can do
/// it. Then a get that copies is faster, and one that works in place is slower.
pub const PRODCON_NO_COPY_IN_SLOT: u32 = 8;

/// Role: the handle puts and gets.
pub const PRODCON_BOTH: u32 = 0;
/// Role: the handle puts.
pub const PRODCON_PRODUCER: u32 = 1;
/// Role: the handle gets.
pub const PRODCON_CONSUMER: u32 = 2;

/// How a handle attaches to a queue. These options concern this handle alone. 0 stands for the
/// default of each field; set `size` and what differs: `prodcon_attach_options how = {.size =
/// sizeof how, .role = PRODCON_CONSUMER};`
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct AttachOptions {
    /// sizeof this struct, as the caller was compiled. The fields that a smaller struct lacks count
    /// as 0. In a larger struct the rest must be 0.
    pub size: u32,
    /// PRODCON_BOTH, PRODCON_PRODUCER or PRODCON_CONSUMER: shown by `prodcon doctor`.
    pub role: u32,
    /// Seats that are set aside for items in hand, beside the handle's own. With 1 a handle can
    /// always give back or put, also where the queue has no free seat left.
    pub max_unacked: u32,
    /// The fewest of these seats with which the attach succeeds, if more are not free. 0 stands for
    /// `max_unacked`.
    pub min_unacked: u32,
    /// How long a call spins before it sleeps, in nanoseconds. 0 stands for 20 microseconds. With a
    /// negative number it does not spin.
    pub spin_limit_ns: i64,
    /// The directory of the queue's file. NULL stands for what the environment variable PRODCON_DIR
    /// says, or else /dev/shm.
    pub directory: *const c_char,
    /// The token that ends the waits of the handle: once it is cancelled, they answer
    /// PRODCON_CANCELLED. With NULL nothing ends them. It may be freed while the handle is
    /// attached.
    pub cancel: *const Token,
    /// How long the attach waits until the queue is created, in nanoseconds. Then it answers
    /// PRODCON_TIMED_OUT. With 0 it does not wait, and with a negative number it waits without a
    /// limit. If the directory does not exist, it answers PRODCON_NOT_FOUND at once.
    pub wait_for_queue_ns: i64,
}

/// How a queue is created. All its handles share these options. 0 stands for the default of each
/// field; set `size` and what differs: `prodcon_options options = {.size = sizeof options,
/// .capacity = 1024, .item_size = 64};`
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Options {
    /// sizeof this struct, as the caller was compiled. The fields that a smaller struct lacks count
    /// as 0. In a larger struct the rest must be 0.
    pub size: u32,
    /// Items that the queue holds (with `batch`: blocks), at least 1.
    pub capacity: u32,
    /// The longest item in bytes, at least 1. In a queue of a plain type it is the type's size.
    pub item_size: u32,
    /// Handles that can be attached at once, 1 to 1023. 0 stands for 64.
    pub seats: u32,
    /// PRODCON_LOSSY, PRODCON_AT_LEAST_ONCE, PRODCON_CREATE_NOT_READY, PRODCON_NO_COPY_IN_SLOT,
    /// or'ed.
    pub flags: u32,
    /// Permission bits of the queue's file, such as 0660, at most 0777. 0 stands for 0600.
    pub mode: u32,
    /// Items that a block holds, 1 to 65535. 0 stands for 1. More than 1 needs a `type_name`.
    pub batch: u32,
    /// How often an item is delivered before it goes to the `dead_letter` queue, 1 to 255.
    pub max_deliveries: u32,
    /// The queue for items that were delivered `max_deliveries` times without an acknowledgement.
    /// It has to exist. With NULL there is none. Only with PRODCON_AT_LEAST_ONCE and without
    /// batches.
    pub dead_letter: *const c_char,
    /// The name of the plain type that all items have, such as "u64" or "weather.sample" (what a
    /// Rust type says as its name). NULL: items are bytes, each with a length of its own.
    pub type_name: *const c_char,
    /// The directory for the queue's file. NULL stands for the directory of `attach`, or else what
    /// the environment variable PRODCON_DIR says, or else /dev/shm.
    pub directory: *const c_char,
    /// How the creating handle attaches. NULL stands for the defaults.
    pub attach: *const AttachOptions,
    /// The alignment of items in bytes, a power of two up to 4096. 0 stands for 8, or in a queue of
    /// a plain type for the largest power of two up to 8 that divides its size.
    pub align: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Options>() == 72 && size_of::<AttachOptions>() == 48);

// SAFETY: integers and pointers, for which any bytes are a value; a u32 comes first.
unsafe impl Sized32 for AttachOptions {
    const NAME: &'static str = "attach_options";
    const WORDS_FROM: usize = 16;
    const ZERO: Self = Self {
        size: 0,
        role: 0,
        max_unacked: 0,
        min_unacked: 0,
        spin_limit_ns: 0,
        directory: std::ptr::null(),
        cancel: std::ptr::null(),
        wait_for_queue_ns: 0,
    };
}

// SAFETY: as above.
unsafe impl Sized32 for Options {
    const NAME: &'static str = "options";
    const WORDS_FROM: usize = 32;
    const ZERO: Self = Self {
        size: 0,
        capacity: 0,
        item_size: 0,
        seats: 0,
        flags: 0,
        mode: 0,
        batch: 0,
        max_deliveries: 0,
        dead_letter: std::ptr::null(),
        type_name: std::ptr::null(),
        directory: std::ptr::null(),
        attach: std::ptr::null(),
        align: 0,
        reserved: 0,
    };
}

/// A string that may be missing.
///
/// # Safety
/// As for [`string`].
unsafe fn optional<'a>(text: *const c_char, what: &str) -> Result<Option<&'a str>, Failure> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: this function's contract.
    unsafe { string(text, what) }.map(Some)
}

impl AttachOptions {
    /// # Safety
    /// `from` is NULL, or points to a struct that is as long as its first field says, whose
    /// strings are NULL or NUL-terminated, and whose token is NULL or one that was not freed.
    pub unsafe fn read(from: *const Self) -> Result<rust::AttachOptions, Failure> {
        // SAFETY: by this function's contract.
        let options = unsafe { sized_input(from) }?;
        let role = match options.role {
            PRODCON_BOTH => Role::Both,
            PRODCON_PRODUCER => Role::Producer,
            PRODCON_CONSUMER => Role::Consumer,
            other => {
                let names = "PRODCON_BOTH, PRODCON_PRODUCER or PRODCON_CONSUMER";
                return Err(Failure::invalid(format!(
                    "attach_options.role is {other}: use {names}"
                )));
            }
        };
        let mut attach = rust::AttachOptions::new()
            .role(role)
            .max_unacked(options.max_unacked);
        if options.min_unacked > options.max_unacked {
            let (min, max) = (options.min_unacked, options.max_unacked);
            let text = format!(
                "attach_options.min_unacked is {min}, more than max_unacked ({max}): lower it"
            );
            return Err(Failure::invalid(text));
        }
        if options.min_unacked > 0 {
            attach = attach.min_unacked(options.min_unacked);
        }
        match options.spin_limit_ns {
            0 => {}
            limit => {
                attach = attach.spin_limit(Duration::from_nanos(u64::try_from(limit).unwrap_or(0)))
            }
        }
        // SAFETY: NULL or a token by this function's contract.
        if let Some(token) = unsafe { Token::read(options.cancel) } {
            attach = attach.cancel(token);
        }
        match options.wait_for_queue_ns {
            0 => {}
            limit => {
                let limit = u64::try_from(limit).map_or(Duration::MAX, Duration::from_nanos);
                attach = attach.wait_for_queue(limit);
            }
        }
        // SAFETY: a C string or NULL by this function's contract.
        match unsafe { optional(options.directory, "directory") }? {
            Some(directory) => Ok(attach.directory(directory)),
            None => Ok(attach),
        }
    }
}

impl Options {
    /// Returns the queue's options and its type, or `None` for a queue of bytes.
    ///
    /// # Safety
    /// `from` is NULL, or points to a struct that is as long as its first field says, whose
    /// strings are NULL or NUL-terminated, and whose `attach` is as [`AttachOptions::read`] wants
    /// it.
    pub unsafe fn read(from: *const Self) -> Result<(QueueOptions, Option<NamedType>), Failure> {
        // SAFETY: by this function's contract.
        let how = unsafe { sized_input(from) }?;
        let invalid = |text: String| Err(Failure::invalid(text));
        let known = PRODCON_LOSSY
            | PRODCON_AT_LEAST_ONCE
            | PRODCON_CREATE_NOT_READY
            | PRODCON_NO_COPY_IN_SLOT;
        let unknown = how.flags & !known;
        if unknown != 0 {
            let names = "PRODCON_LOSSY, PRODCON_AT_LEAST_ONCE, PRODCON_CREATE_NOT_READY, PRODCON_NO_COPY_IN_SLOT";
            return invalid(format!(
                "options.flags has unknown bits {unknown:#x}: use {names}"
            ));
        }
        if how.item_size == 0 {
            return invalid("options.item_size is 0: set it to the longest item in bytes".into());
        }
        if how.reserved != 0 {
            return invalid(
                "options.reserved is not 0: set it to 0, or use a newer library".into(),
            );
        }
        let mut options = QueueOptions::new(how.capacity)
            .item_size(how.item_size as usize)
            .lossy(how.flags & PRODCON_LOSSY != 0)
            .at_least_once(how.flags & PRODCON_AT_LEAST_ONCE != 0)
            .ready(how.flags & PRODCON_CREATE_NOT_READY == 0)
            .copy_in_slot(how.flags & PRODCON_NO_COPY_IN_SLOT == 0);
        if how.seats != 0 {
            options = options.seats(how.seats);
        }
        if how.mode != 0 {
            options = options.mode(how.mode);
        }
        if how.batch != 0 {
            options = options.batch(how.batch);
        }
        match (
            // SAFETY: a C string or NULL by this function's contract.
            unsafe { optional(how.dead_letter, "dead-letter queue") }?,
            u8::try_from(how.max_deliveries),
        ) {
            (Some(queue), Ok(times @ 1..)) => options = options.dead_letter(queue, times),
            (None, Ok(0)) => {}
            (None, _) => {
                return invalid(
                    "options.max_deliveries without a dead_letter queue: name one, or set it to 0"
                        .into(),
                );
            }
            (Some(_), _) => {
                return invalid(format!(
                    "options.max_deliveries is {}: choose 1 to 255",
                    how.max_deliveries
                ));
            }
        }
        // SAFETY: as above.
        let named = match unsafe { optional(how.type_name, "name of the type") }? {
            Some(name) => Some(how.named(name)?),
            None => None,
        };
        if how.align != 0 {
            options = options.align(how.align);
        }
        let mut attach = if how.attach.is_null() {
            rust::AttachOptions::new()
        } else {
            // SAFETY: not NULL; by this function's contract.
            unsafe { AttachOptions::read(how.attach) }?
        };
        // SAFETY: a C string or NULL by this function's contract.
        if let Some(directory) = unsafe { optional(how.directory, "directory") }? {
            attach = attach.directory(directory);
        }
        Ok((options.attach(attach), named))
    }

    fn named(&self, name: &str) -> Result<NamedType, Failure> {
        // What a C struct of that size can have, as far as anybody cares.
        let usual = 1 << self.item_size.trailing_zeros().min(3);
        let align = if self.align == 0 { usual } else { self.align };
        if !align.is_power_of_two() || self.item_size & (align - 1) != 0 {
            let size = self.item_size;
            let text = format!(
                "options.align is {align}, and the type has {size} bytes: choose a power of two that divides its size"
            );
            return Err(Failure::invalid(text));
        }
        Ok(NamedType {
            name: name.into(),
            size: self.item_size as usize,
            align: align as usize,
        })
    }
}
