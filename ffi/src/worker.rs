//! The exported functions for programs that are workers. Each checks its pointers and leaves the rest to [`Work`].

use crate::endpoint::{Endpoint, Queue, Wait};
use crate::failure::{Failure, input, output, run, string};
use crate::handle::{close, open, with};
use crate::status::*;
use crate::work::{Work, Worker, not_sent, stopped};
use rust::GetError;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::time::{Duration, Instant};

/// Setting: a controlling process watches this worker, and the worker ends with it.
pub const PRODCON_WORKER_SUPERVISED: u32 = 1;
/// Setting of producers: a subscribed queue that is full is left out (else the worker waits for
/// space).
pub const PRODCON_WORKER_SKIP_FULL: u32 = 2;
/// Setting of producers: what is published goes to the controlling process too, as a result.
pub const PRODCON_WORKER_ITEMS_TO_RESULTS: u32 = 4;

/// How a worker is to work. Its controlling process says so, or else the environment.
#[derive(Debug, Clone, Copy, Default)]
#[repr(C)]
pub struct Settings {
    /// sizeof this struct, set by the caller before the call and left alone. Only that many bytes
    /// are written, and the rest of a larger struct is filled with 0.
    pub size: u32,
    /// PRODCON_WORKER_SUPERVISED, PRODCON_WORKER_SKIP_FULL, PRODCON_WORKER_ITEMS_TO_RESULTS,
    /// or'ed.
    pub flags: u32,
    /// Producer: the time from call to call of its work; with 0 it works as often as possible.
    /// `prodcon_worker_next` keeps to it. Consumer: how long a partly filled buffer may wait.
    pub work_timeout_ns: u64,
    /// Consumer: the most items that it should work on at once.
    pub max_buffer_size: u64,
    /// Producer: the number of queues that get what it publishes. `prodcon_worker_subscriber` gives
    /// their names.
    pub subscribers: u64,
}

const _: () = assert!(
    size_of::<Settings>() == 32,
    "no padding, and the size that programs were compiled with"
);

/// Runs a call of a worker.
///
/// # Safety
/// As for [`with`].
unsafe fn of(
    worker: *const Worker,
    call: &'static str,
    work: impl FnOnce(&mut Work) -> Result<(), Failure>,
) -> Status {
    let work = |content: &mut Work| {
        content.of_this_process()?;
        work(content)
    };
    // SAFETY: this function's contract.
    unsafe { with(worker, call, false, work) }
}

/// Runs a call of a worker that gives a text, or NULL.
///
/// # Safety
/// As for [`with`].
unsafe fn text_of(
    worker: *const Worker,
    call: &'static str,
    work: impl FnOnce(&Work) -> Option<&CStr>,
) -> *const c_char {
    let mut text = std::ptr::null();
    let work = |content: &mut Work| {
        text = work(content).map_or(std::ptr::null(), CStr::as_ptr);
        Ok(())
    };
    // SAFETY: this function's contract.
    let _ = unsafe { with(worker, call, false, work) };
    text
}

/// The strings of an array of `count`.
///
/// # Safety
/// `texts` has `count` pointers, each NULL or to a NUL-terminated string.
unsafe fn strings(texts: *const *const c_char, count: usize) -> Result<Vec<String>, Failure> {
    let read = |index| {
        // SAFETY: index < count.
        let place = unsafe { texts.add(index) };
        // SAFETY: as above.
        let text = unsafe { place.read_unaligned() };
        // SAFETY: by this function's contract.
        unsafe { string(text, "argument of the worker") }.map(str::to_owned)
    };
    (0..count).map(read).collect()
}

fn attach(name: &str, arguments: Vec<String>) -> Result<*mut Worker, Failure> {
    Ok(open(Work::attach(name, arguments)?))
}

/// Attaches as the worker that the command line names, `PROGRAM --attach NAME [ARGUMENTS]`. A
/// controlling process starts a worker that way, and so does a user by hand. Pass what `main` got.
/// A consumer attaches to its work queue as well:
/// `prodcon_queue_attach(prodcon_worker_name(worker), ...)`.
///
/// - Returns: `PRODCON_INVALID` if the command line has another form, or if the settings in the
///   environment are bad; `PRODCON_NOT_FOUND` if there is no such worker, or no such subscribed
///   queue; `PRODCON_STOPPED` if the worker is stopped; `PRODCON_NO_SEAT`, `PRODCON_INCOMPATIBLE`,
///   `PRODCON_CORRUPT`, `PRODCON_OS`. The controlling process, if there is one, is told. The
///   program should then exit with a status other than 0.
/// - Ownership: `*out` is yours, to be ended with `prodcon_worker_end`. `argv` may change
///   afterwards.
/// - Threads: any. Call it in the process that is the worker.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_from_arguments(
    argc: c_int,
    argv: *mut *mut c_char,
    out: *mut *mut Worker,
) -> Status {
    run(|| {
        let out = output(out, "out")?;
        if argv.is_null() {
            return Err(Failure::invalid("'argv' is NULL: pass what main got"));
        }
        // SAFETY: argv has argc strings by the contract of the C function.
        let texts =
            unsafe { strings(argv.cast_const().cast(), usize::try_from(argc).unwrap_or(0)) }?;
        match texts.as_slice() {
            [_, attach_to, name, arguments @ ..] if attach_to == "--attach" => {
                let worker = attach(name, arguments.to_vec())?;
                // SAFETY: the caller's variable.
                unsafe { out.write(worker) };
                Ok(())
            }
            other => Err(Failure::invalid(format!(
                "usage: {} --attach NAME [ARGUMENTS] (a prodcon worker: it works for the name's controlling process, or by itself)",
                other.first().map_or("PROGRAM", String::as_str)
            ))),
        }
    })
}

/// Attaches as the worker `name`, with `count` arguments of its own.
///
/// - Returns: as `prodcon_worker_from_arguments`.
/// - Ownership: as there. `arguments` may be NULL if `count` is 0.
/// - Threads: any. Call it in the process that is the worker.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_attach(
    name: *const c_char,
    count: c_int,
    arguments: *const *const c_char,
    out: *mut *mut Worker,
) -> Status {
    run(|| {
        let out = output(out, "out")?;
        // SAFETY: a C string or NULL by the contract of the C function.
        let name = unsafe { string(name, "name of the worker") }?;
        let count = usize::try_from(count)
            .map_err(|_| Failure::invalid(format!("{count} arguments: pass 0 or more")))?;
        if arguments.is_null() && count > 0 {
            return Err(Failure::invalid(format!(
                "'arguments' is NULL, but there are {count}"
            )));
        }
        // SAFETY: so many strings by the contract of the C function.
        let worker = attach(name, unsafe { strings(arguments, count) }?)?;
        // SAFETY: the caller's variable.
        unsafe { out.write(worker) };
        Ok(())
    })
}

/// Ends the worker: its seats are given back, and the handle is closed. `failure` is NULL if it has
/// done its work. Otherwise it says why not, and the controlling process is told. Then the program
/// should exit, after a failure with a status other than 0.
///
/// - Waits: for a second at most, if the results are full.
/// - Returns: nothing. NULL and a closed handle are fine.
/// - Threads: while another thread is inside a call on the handle, nothing happens, and
///   `prodcon_last_error` says so. In a forked child it leaves the worker alone.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_end(worker: *mut Worker, failure: *const c_char) {
    if worker.is_null() {
        return;
    }
    let outcome = if failure.is_null() {
        Ok(())
    } else {
        // SAFETY: not NULL, a C string by the contract of the C function.
        let text = unsafe { CStr::from_ptr(failure) };
        Err(text.to_string_lossy().into_owned().into())
    };
    let last = |work: Work| {
        if !work.is_forked() {
            work.context.finish_quietly(outcome);
        }
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    let _ = unsafe { close(worker, "end", last) };
}

/// Gives the worker's name, which is also that of a consumer's work queue.
///
/// - Returns: the text; NULL if the handle is NULL, closed or in use.
/// - Ownership: the worker's; valid until its end.
/// - Threads: one at a time; works in a forked child too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_name(worker: *mut Worker) -> *const c_char {
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { text_of(worker, "name", |work| Some(work.c_name())) }
}

/// Gives argument `index` of those that follow the name on the command line, counted from 0.
///
/// - Returns: the text; NULL if `index` is too large.
/// - Ownership: the worker's; valid until its end.
/// - Threads: one at a time; works in a forked child too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_argument(
    worker: *mut Worker,
    index: usize,
) -> *const c_char {
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe {
        text_of(worker, "argument", |work| {
            work.arguments().get(index).map(|text| text.as_c_str())
        })
    }
}

/// Gives the VALUE of an argument `KEY=VALUE`.
///
/// - Returns: the text; NULL if there is none.
/// - Ownership: the worker's; valid until its end.
/// - Threads: one at a time; works in a forked child too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_named(
    worker: *mut Worker,
    key: *const c_char,
) -> *const c_char {
    // SAFETY: a C string or NULL by the contract of the C function.
    match unsafe { string(key, "key") } {
        // SAFETY: what attach wrote, by the contract of the C function.
        Ok(key) => unsafe { text_of(worker, "named", |work| work.named(key)) },
        Err(failure) => {
            let _ = run(|| Err(failure));
            std::ptr::null()
        }
    }
}

/// Gives name `index` of the subscribed queues, counted from 0.
///
/// - Returns: the text; NULL if `index` is too large.
/// - Ownership: the worker's; valid until its end.
/// - Threads: one at a time; works in a forked child too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_subscriber(
    worker: *mut Worker,
    index: usize,
) -> *const c_char {
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { text_of(worker, "subscriber", |work| work.subscriber(index)) }
}

/// Says how the worker is to work. Set `settings->size` first.
///
/// - Returns: `PRODCON_INVALID` if `settings->size` is less than 8 or more than 65536.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_get_settings(
    worker: *mut Worker,
    settings: *mut Settings,
) -> Status {
    let work = |work: &mut Work| {
        let told = work.context.settings();
        let flag = |set, flag| if set { flag } else { 0 };
        let mut figures = Settings {
            size: 0,
            flags: flag(work.context.is_supervised(), PRODCON_WORKER_SUPERVISED)
                | flag(
                    told.on_full == rust::worker::OnFull::Skip,
                    PRODCON_WORKER_SKIP_FULL,
                )
                | flag(told.items_to_results, PRODCON_WORKER_ITEMS_TO_RESULTS),
            work_timeout_ns: u64::try_from(told.work_timeout.as_nanos()).unwrap_or(u64::MAX),
            max_buffer_size: told.max_buffer_size as u64,
            subscribers: told.subscribers.len() as u64,
        };
        // SAFETY: the caller's struct, with its size in the first field; `figures` is plain data without padding.
        unsafe { crate::failure::sized_output(settings, &mut figures, "settings") }
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "get_settings", work) }
}

/// Gives the worker's state: `PRODCON_STOPPED_STATE`, `PRODCON_STARTED` or
/// `PRODCON_STOP_AT_QUEUE_END`. In the last one a consumer works on until its queue answers
/// `PRODCON_STOPPED`; a producer ends.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_get_state(worker: *mut Worker, state: *mut i32) -> Status {
    let work = |work: &mut Work| {
        let state = output(state, "state")?;
        // SAFETY: the caller's variable.
        unsafe { state.write(work.context.state() as i32) };
        Ok(())
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "get_state", work) }
}

/// Says whether the worker has to end: it was stopped, its controlling process is gone, or its
/// queue was removed. Cheap enough for every round of a loop.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_is_stopped(
    worker: *mut Worker,
    stopped: *mut bool,
) -> Status {
    let work = |work: &mut Work| {
        let stopped = output(stopped, "stopped")?;
        // SAFETY: the caller's variable.
        unsafe { stopped.write(work.context.is_stopped()) };
        Ok(())
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "is_stopped", work) }
}

/// Stops the worker in all its processes. It may be called for a worker that is stopped already.
///
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_stop(worker: *mut Worker) -> Status {
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "stop", |work| Ok(work.context.stop()?)) }
}

/// Sleeps, unless the worker has to end.
///
/// - Waits: for `timeout_ns`. If it is negative, until the worker has to end.
/// - Returns: `PRODCON_OK` if the time has passed, `PRODCON_STOPPED` if the worker has to end.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_sleep(worker: *mut Worker, timeout_ns: i64) -> Status {
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe {
        of(worker, "sleep", |work| {
            work.sleep(Wait::from_ns(timeout_ns).time())
        })
    }
}

/// Waits until a producer's next call is due by the setting `work_timeout_ns`. The time counts from
/// when the last call was due, so that nothing drifts. A producer that is more than a second late
/// leaves calls out.
///
/// - Returns: `PRODCON_OK` if it has to work now, `PRODCON_STOPPED` if the worker has to end.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_next(worker: *mut Worker) -> Status {
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "next", Work::next) }
}

/// Puts an item into every subscribed queue that exists and is ready. `*reached` is how many took
/// it.
///
/// - Waits: while a queue is full and the worker need not end. If the settings say so, it leaves
///   full queues out instead.
/// - Returns: unless it is `PRODCON_OK`, some queues may have taken the item. `PRODCON_TOO_LARGE`;
///   `PRODCON_INVALID` if it does not have the size of a queue's type; `PRODCON_STOPPED` while it
///   waited to send the item as a result too; `PRODCON_CORRUPT`, `PRODCON_EXHAUSTED`, `PRODCON_OS`.
/// - Ownership: `data` stays yours. It may be NULL if `len` is 0; so may `reached`.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_publish(
    worker: *mut Worker,
    data: *const c_void,
    len: usize,
    reached: *mut usize,
) -> Status {
    let work = |work: &mut Work| {
        // SAFETY: readable for len bytes by the contract of the C function.
        let number = work.publish(unsafe { bytes(data, len) }?)?;
        if !reached.is_null() {
            // SAFETY: the caller's variable.
            unsafe { output(reached, "reached")?.write(number) };
        }
        Ok(())
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "publish", work) }
}

/// Takes an item of `queue`, usually the worker's work queue, as `prodcon_queue_take` does, and
/// ends its wait when the worker has to end. Settle the item on the queue.
///
/// - Waits: as `prodcon_queue_take`, but not longer than the worker may work.
/// - Returns: as `prodcon_queue_take`; `PRODCON_STOPPED` also if the worker has to end.
/// - Ownership: as `prodcon_queue_take`.
/// - Threads: one at a time on either handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_take(
    worker: *mut Worker,
    queue: *mut Queue,
    data: *mut *const c_void,
    len: *mut usize,
    timeout_ns: i64,
) -> Status {
    let work = |work: &mut Work| {
        let (data, len) = (output(data, "data")?, output(len, "len")?);
        let end = match Wait::from_ns(timeout_ns) {
            Wait::AtMost(timeout) => Instant::now().checked_add(timeout),
            _ => None,
        };
        let mut taken = None;
        while taken.is_none() {
            work.not_stopped()?;
            let left = end.map_or(LOOK, |end| {
                end.saturating_duration_since(Instant::now()).min(LOOK)
            });
            let wait = if timeout_ns == 0 {
                0
            } else {
                left.as_nanos() as i64
            };
            let attempt = |endpoint: &mut Endpoint| {
                taken = Some(endpoint.take(wait)?);
                Ok(())
            };
            // SAFETY: what create or attach wrote, by the contract of the C function.
            match unsafe { with(queue, "take", true, attempt) } {
                PRODCON_OK => {}
                PRODCON_TIMED_OUT if left == LOOK => {}
                PRODCON_EMPTY if timeout_ns > 0 => {
                    return Err(Failure::answer(
                        PRODCON_TIMED_OUT,
                        "got no item in that time",
                    ));
                }
                status => return Err(Failure::reported(status)),
            }
        }
        if let Some((item, length)) = taken {
            // SAFETY: the caller's variable.
            unsafe { data.write(item.cast()) };
            // SAFETY: the caller's variable.
            unsafe { len.write(length) };
        }
        Ok(())
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "take", work) }
}

fn not_received(error: GetError) -> Failure {
    match error {
        GetError::Empty => Failure::answer(PRODCON_EMPTY, "has no message"),
        GetError::TimedOut => Failure::answer(PRODCON_TIMED_OUT, "got no message in that time"),
        GetError::Stopped => stopped(),
        other => other.into(),
    }
}

/// The longest time that a call waits without looking whether the worker has to end.
const LOOK: Duration = Duration::from_millis(100);

/// # Safety
/// `data` is NULL or readable for `len` bytes for `'a`.
unsafe fn bytes<'a>(data: *const c_void, len: usize) -> Result<&'a [u8], Failure> {
    let data = input(data, len, "data")?;
    if isize::try_from(len).is_err() {
        return Err(Failure::with(
            PRODCON_TOO_LARGE,
            format!("{len} bytes are more than memory can hold"),
        ));
    }
    // SAFETY: readable by this function's contract, and not longer than memory can be.
    Ok(unsafe { std::slice::from_raw_parts(data, len) })
}

/// Sends a result to the controlling process. Nothing that was sent before the worker's end is
/// lost. If no controlling process is alive to read them, the oldest result is dropped.
///
/// - Waits: while the results are full and a controlling process is alive.
/// - Returns: unless it is `PRODCON_OK`, nothing was sent. `PRODCON_TOO_LARGE`; `PRODCON_STOPPED`
///   if the worker was stopped while it waited; `PRODCON_NO_SEAT`, `PRODCON_CORRUPT`,
///   `PRODCON_OS`.
/// - Ownership: `data` stays yours. It may be NULL if `len` is 0.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_send_result(
    worker: *mut Worker,
    data: *const c_void,
    len: usize,
) -> Status {
    let work = |work: &mut Work| {
        work.context
            // SAFETY: readable for len bytes by the contract of the C function.
            .send_result(unsafe { bytes(data, len) }?)
            .map_err(not_sent)
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "send_result", work) }
}

/// Sends a message to the controlling process.
///
/// - Waits, returns, ownership: as `prodcon_worker_send_result`.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_send_message(
    worker: *mut Worker,
    data: *const c_void,
    len: usize,
) -> Status {
    let work = |work: &mut Work| {
        work.context
            // SAFETY: readable for len bytes by the contract of the C function.
            .send_message(unsafe { bytes(data, len) }?)
            .map_err(not_sent)
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "send_message", work) }
}

/// Receives the next message from the controlling process, into a buffer. `*len` is its length.
///
/// - Waits: while there is no message and the worker need not end.
/// - Returns: `PRODCON_EMPTY` or `PRODCON_TIMED_OUT`; `PRODCON_STOPPED` if the worker has to end;
///   `PRODCON_TOO_LARGE` if the message is longer than `size`; `PRODCON_NO_SEAT`,
///   `PRODCON_CORRUPT`, `PRODCON_OS`. After `PRODCON_TOO_LARGE` `*len` is the message's length, and
///   the next receive with a large enough buffer gives it.
/// - Ownership: `buffer` is yours. It may be NULL if `size` is 0.
/// - Threads: one at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn prodcon_worker_receive(
    worker: *mut Worker,
    buffer: *mut c_void,
    size: usize,
    len: *mut usize,
    timeout_ns: i64,
) -> Status {
    let work = |work: &mut Work| {
        let to = input(buffer, size, "buffer")?.cast_mut();
        let len = output(len, "len")?;
        let message = match work.too_long.take() {
            Some(message) => message,
            None => match Wait::from_ns(timeout_ns) {
                Wait::Not => work.context.try_recv(),
                Wait::Forever => work.context.recv(),
                Wait::AtMost(timeout) => work.context.recv_timeout(timeout),
            }
            .map_err(not_received)?,
        };
        let length = message.bytes().len();
        // SAFETY: the caller's variable.
        unsafe { len.write(length) };
        if length > size {
            let text = format!(
                "worker '{}': the next message has {length} bytes, the buffer {size}: receive it with a larger buffer",
                work.name()
            );
            work.too_long = Some(message);
            return Err(Failure::with(PRODCON_TOO_LARGE, text));
        }
        // SAFETY: length <= size bytes are writable there by the contract of the C function.
        unsafe { std::ptr::copy_nonoverlapping(message.bytes().as_ptr(), to, length) };
        Ok(())
    };
    // SAFETY: what attach wrote, by the contract of the C function.
    unsafe { of(worker, "receive", work) }
}
