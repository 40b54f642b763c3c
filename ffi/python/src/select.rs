//! Waits for several queues at once.

use crate::errors::{self, Invalid};
use crate::handle::Lent;
use crate::interest::Interest;
use crate::queue::ReadyQueue;
use crate::wait::{Until, away, check, enter};
use prodcon::Interest as Wanted;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::time::Duration;

/// A queue stands for its items.
fn interest<'py>(value: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, ReadyQueue>, bool)> {
    if let Ok(queue) = value.cast::<ReadyQueue>() {
        return Ok((queue.clone(), false));
    }
    let Ok(interest) = value.cast::<Interest>() else {
        let kind = value.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "select() waits for queues, queue.readable() and queue.writable(), not for {kind}"
        )));
    };
    let interest = interest.get();
    let queue = interest.queue.bind(value.py()).cast::<ReadyQueue>()?;
    Ok((queue.clone(), interest.writes))
}

/// Waits for the first of several interests, for at most `timeout` seconds, or without a limit if
/// that is None. Returns its index, or None when the time is over.
///
/// An interest is `queue.readable()` or `queue.writable()`; a queue stands for its `readable()`. Another
/// consumer may be faster, so use `get_nowait()` or `put_nowait()`, and select again after Empty or Full.
/// If several are ready it gives a different one each time. At most 127.
///
/// Raises Cancelled if one of the queues is closed meanwhile, Removed if its name is removed.
#[pyfunction]
#[pyo3(signature = (interests, timeout=None))]
pub fn select(
    py: Python<'_>,
    interests: &Bound<'_, PyAny>,
    timeout: Option<f64>,
) -> PyResult<Option<usize>> {
    let until = Until::new(true, timeout)?;
    let mut wanted = vec![];
    for value in interests.try_iter()? {
        wanted.push(interest(&value?)?);
    }
    let _inside = enter(py)?;
    if wanted.len() > 127 {
        return Err(Invalid::new_err(format!(
            "{} interests: wait for at most 127, or in several threads",
            wanted.len()
        )));
    }
    if wanted.is_empty() && timeout.is_none() {
        return Err(Invalid::new_err(
            "a select of nothing never ends: give it an interest or a timeout",
        ));
    }
    // What a get_many has left comes first: items, or an exception.
    let left =
        |(queue, writes): &(Bound<'_, ReadyQueue>, bool)| !writes && queue.get().pending.any();
    if let Some(index) = wanted.iter().position(left) {
        return Ok(Some(index));
    }
    let mut lent: Vec<(Lent<'_>, bool)> = vec![];
    for (index, (queue, writes)) in wanted.iter().enumerate() {
        let queue = queue.get();
        lent.push((queue.handle.lend()?, *writes));
        if *writes && queue.drops() {
            return Ok(Some(index)); // a put makes space
        }
    }
    let mut slice = Duration::ZERO; // first without waiting
    loop {
        let endpoints = &mut lent;
        let look = move || {
            let all: Vec<Wanted<'_>> = endpoints
                .iter()
                .map(|(endpoint, writes)| {
                    if *writes {
                        endpoint.writable()
                    } else {
                        endpoint.readable()
                    }
                })
                .collect();
            prodcon::select(&all, Some(slice))
        };
        let answer = if slice.is_zero() {
            look()
        } else {
            away(py, look)
        };
        match answer.map_err(errors::error)? {
            Some(index) => return Ok(Some(index)),
            None => check(py)?,
        }
        let Some(next) = until.slice() else {
            return Ok(None);
        };
        slice = next;
    }
}
