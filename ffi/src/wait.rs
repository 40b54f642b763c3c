//! The exported function that waits for several queues.

use crate::endpoint::{Endpoint, Queue, Wait};
use crate::failure::{Failure, output};
use crate::handle::with_several;
use crate::status::*;
use crate::token::Token;

/// Interest: the queue has an item, so a get with a timeout of 0 is worth a try.
pub const PRODCON_READABLE: u32 = 1;
/// Interest: the queue has space, so a put with a timeout of 0 is worth a try.
pub const PRODCON_WRITABLE: u32 = 2;

/// Something to wait for with `prodcon_select`: an item or space of a queue, or a token's cancel.
/// `prodcon_interest jobs = {.queue = queue, .what = PRODCON_READABLE}, stop = {.token = token};`
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub struct Interest {
    /// The queue; NULL where it is a token.
    pub queue: *mut Queue,
    /// The token; NULL where it is a queue.
    pub token: *const Token,
    /// PRODCON_READABLE or PRODCON_WRITABLE; of a token 0.
    pub what: u32,
    /// 0.
    pub reserved: u32,
}

const _: () = assert!(size_of::<Interest>() == 24);

/// Waits until one of `count` interests is ready, at most 127: `*which` is its index. Another
/// consumer may be faster, so call get or put with a timeout of 0, and wait again after
/// `PRODCON_EMPTY` or `PRODCON_FULL`. If several are ready it says a different one each time.
///
/// - Waits: until an interest is ready. With a timeout of 0 it only looks.
/// - Returns: `PRODCON_TIMED_OUT`; `PRODCON_CANCELLED` if the token of one of the handles was
///   cancelled and nothing is ready; `PRODCON_NOT_FOUND` if a queue's name was removed;
///   `PRODCON_INVALID` for more than 127 interests, or for none and a negative timeout.
/// - Threads: one at a time for each of the handles. A handle may be there several times.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_select(
    interests: *const Interest,
    count: usize,
    timeout_ns: i64,
    which: *mut usize,
) -> Status {
    // SAFETY: by the contract of the C function.
    let read = unsafe { read(interests, count) };
    let (queues, read) = match read {
        Ok(read) => (Ok(queues_of(&read)), read),
        Err(failure) => (Err(failure), vec![]),
    };
    let work = |endpoints: &[&Endpoint]| {
        let which = output(which, "which")?;
        let mut endpoints = endpoints.iter();
        let of = |interest: &Interest| {
            // SAFETY: NULL or a token, by the contract of the C function.
            if let Some(token) = unsafe { Token::read(interest.token) } {
                return Some(token.cancelled());
            }
            let queue = &endpoints.next()?.queue;
            Some(if interest.what == PRODCON_READABLE {
                queue.readable()
            } else {
                queue.writable()
            })
        };
        let all: Vec<rust::Interest<'_>> = read.iter().filter_map(of).collect();
        match rust::select(&all, Wait::from_ns(timeout_ns).time())? {
            Some(index) => {
                // SAFETY: the caller's variable.
                unsafe { which.write(index) };
                Ok(())
            }
            None => Err(Failure::with(
                PRODCON_TIMED_OUT,
                "timed out: none of the queues was ready",
            )),
        }
    };
    // SAFETY: NULL was taken out; the others are what create or attach wrote, by the contract of the
    // C function.
    unsafe { with_several(queues, "select", work) }
}

/// # Safety
/// `interests` is NULL, or has `count` interests whose handles and tokens are as C wants them.
unsafe fn read(interests: *const Interest, count: usize) -> Result<Vec<Interest>, Failure> {
    if count > 127 {
        return Err(Failure::invalid(format!(
            "{count} interests: wait for at most 127, or in several threads"
        )));
    }
    if interests.is_null() && count > 0 {
        return Err(Failure::invalid("interests is NULL: pass an array"));
    }
    let one = |index| {
        // SAFETY: index < count, the length of the array by this function's contract.
        let interest = unsafe { interests.add(index) };
        // SAFETY: as above; it need not be aligned.
        check(index, unsafe { interest.read_unaligned() })
    };
    (0..count).map(one).collect()
}

fn queues_of(interests: &[Interest]) -> Vec<*const Queue> {
    let queues = interests.iter().map(|interest| interest.queue.cast_const());
    queues.filter(|queue| !queue.is_null()).collect()
}

fn check(index: usize, interest: Interest) -> Result<Interest, Failure> {
    let refused = |what: &str| Err(Failure::invalid(format!("interest {index} {what}")));
    match (interest.queue.is_null(), interest.token.is_null()) {
        (true, true) => refused("has neither a queue nor a token: set one of them"),
        (false, false) => refused("has both a queue and a token: make two of it"),
        (true, false) if interest.what != 0 => refused("is a token's: its `what` has to be 0"),
        (false, true) if !matches!(interest.what, PRODCON_READABLE | PRODCON_WRITABLE) => {
            refused("says not what it waits for: use PRODCON_READABLE or PRODCON_WRITABLE")
        }
        _ if interest.reserved != 0 => refused("has `reserved` that is not 0: set it to 0"),
        _ => Ok(interest),
    }
}
