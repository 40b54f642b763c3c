//! Putting and getting, for both kinds of handle.

use crate::buffer::{self, Input};
use crate::errors;
use crate::guard::{commit, opened};
use crate::handle::Endpoint;
use crate::object::{Copied, Frame};
use crate::queue::ReadyQueue;
use crate::spill::{REFERENCE, Reference, Spilled};
use crate::wait::{Until, away, check, enter};
use prodcon::{Delivery, GetError, PutError, PutSliceError, State};
use pyo3::exceptions::{PyException, PyMemoryError};
use pyo3::prelude::*;
use pyo3::types::PyList;
use std::time::Duration;

/// Why there is no object.
enum Failed {
    /// There is no item, or none can be got.
    ToGet(PyErr),
    /// An item was got, and it makes no object.
    ToRead(PyErr),
}

impl Failed {
    fn into_error(self) -> PyErr {
        match self {
            Self::ToGet(error) | Self::ToRead(error) => error,
        }
    }
}

impl ReadyQueue {
    /// Does something with the oldest item, waiting for it, and acknowledges it: also one that is no
    /// object, which would only come again, but not one for which there is no memory.
    fn with_item<R>(
        &self,
        py: Python<'_>,
        endpoint: &mut Endpoint,
        until: Until,
        act: impl FnOnce(&[u8]) -> PyResult<R>,
    ) -> PyResult<PyResult<R>> {
        let failed = |error| Err(errors::get(error, &self.handle.name));
        let with = |item: Delivery<'_, [u8]>| {
            let done = act(&item);
            match &done {
                Err(error) if error.is_instance_of::<PyMemoryError>(py) => drop(item),
                _ => item.ack(),
            }
            Ok(done)
        };
        match endpoint.try_take() {
            Ok(item) => return with(item),
            Err(GetError::Empty) if until.is_now() => return failed(GetError::Empty),
            Err(GetError::Empty) => {}
            Err(error) => return failed(error),
        }
        loop {
            let Some(slice) = until.slice() else {
                return failed(GetError::TimedOut);
            };
            match away(py, || endpoint.within(slice).take()) {
                Ok(item) => return with(item),
                Err(GetError::TimedOut) => check(py)?,
                Err(error) => return failed(error),
            }
        }
    }

    #[inline]
    pub fn get_until<'py>(&self, py: Python<'py>, until: Until) -> PyResult<Bound<'py, PyAny>> {
        let _inside = enter(py)?;
        match self.pending.next() {
            Some(next) => next.map(|item| item.into_bound(py)),
            None => self.get_next(py, until).map_err(Failed::into_error),
        }
    }

    #[inline]
    fn get_next<'py>(&self, py: Python<'py>, until: Until) -> Result<Bound<'py, PyAny>, Failed> {
        let handle = &*self.handle;
        let mut endpoint = handle.lend().map_err(Failed::ToGet)?;
        if !self.objects {
            return self
                .with_item(py, &mut endpoint, until, |item| {
                    Ok(buffer::bytes(py, item)?.into_any())
                })
                .map_err(Failed::ToGet)?
                .map_err(Failed::ToRead);
        }
        loop {
            // Acknowledged after the copy, before unpickling runs code of others.
            let copied = self
                .with_item(py, &mut endpoint, until, |item| {
                    Copied::from_block(py, item, handle)
                })
                .map_err(Failed::ToGet)?;
            let object = copied
                .and_then(|copied| copied.finish(py, handle))
                .map_err(Failed::ToRead)?;
            if let Some(object) = object {
                return Ok(object);
            }
        }
    }

    pub fn get_many_until<'py>(
        &self,
        py: Python<'py>,
        max: usize,
        until: Until,
    ) -> PyResult<Bound<'py, PyList>> {
        let _inside = enter(py)?;
        let mut items: Vec<Bound<'py, PyAny>> = vec![];
        while items.len() < max {
            let next = match self.pending.next() {
                Some(next) => next.map(|item| item.into_bound(py)).map_err(Failed::ToRead),
                None => self.get_next(py, if items.is_empty() { until } else { Until::Now }),
            };
            match next {
                Ok(item) => items.push(item),
                Err(failed) if items.is_empty() => return Err(failed.into_error()),
                Err(Failed::ToGet(_)) => break, // the next call tells it again
                Err(Failed::ToRead(error)) if error.is_instance_of::<PyException>(py) => {
                    self.pending.keep_error(error);
                    break;
                }
                Err(Failed::ToRead(error)) => {
                    self.pending
                        .keep_items(items.into_iter().map(Bound::unbind).collect());
                    return Err(error);
                }
            }
        }
        PyList::new(py, items)
    }

    #[inline]
    pub fn put_until(&self, py: Python<'_>, item: &Bound<'_, PyAny>, until: Until) -> PyResult<()> {
        let _inside = enter(py)?;
        if self.drops() == self.handle.lossy {
            self.put_item(py, item, until)
        } else {
            self.put_otherwise(py, item, until)
        }
    }

    /// Puts into a queue that was made lossy as if it was not, or the other way round.
    #[cold]
    fn put_otherwise(&self, py: Python<'_>, item: &Bound<'_, PyAny>, until: Until) -> PyResult<()> {
        if self.drops() {
            loop {
                match self.put_item(py, item, Until::Now) {
                    Err(error) if error.is_instance_of::<errors::Full>(py) => {}
                    other => return other,
                }
                // Room for it, as adv_prodcon makes it. That another consumer came first is as good.
                let mut endpoint = self.handle.lend()?;
                match endpoint.try_take().map(Delivery::ack) {
                    Ok(()) | Err(GetError::Empty) => {}
                    Err(error) => return Err(errors::get(error, &self.handle.name)),
                }
                drop(endpoint);
                check(py)?;
            }
        }
        while self.handle.with_control(prodcon::Control::is_full)? {
            // What ends the wait of a queue that was made so ends this one.
            let ended = self.handle.with_control(|control| {
                let started = control.state() == State::Started;
                (!started, control.is_removed())
            })?;
            match ended {
                (_, true) => return Err(self.handle.removed()),
                (true, _) => return Err(errors::put(PutError::Stopped, &self.handle.name)),
                _ => {}
            }
            let error = match until.slice() {
                Some(slice) => {
                    away(py, || {
                        std::thread::sleep(slice.min(Duration::from_millis(1)))
                    });
                    check(py)?;
                    if self.handle.is_closed() {
                        return Err(errors::cancelled(&self.handle.name));
                    }
                    continue;
                }
                None if until.is_now() => PutError::Full,
                None => PutError::TimedOut,
            };
            return Err(errors::put(error, &self.handle.name));
        }
        self.put_item(py, item, until)
    }

    /// Puts items of a plain type in order, as many as a block has in one step.
    pub fn put_blocks(
        &self,
        py: Python<'_>,
        items: &Bound<'_, PyAny>,
        until: Until,
    ) -> PyResult<usize> {
        let (size, batch) = (self.handle.item_size, self.handle.batch);
        let (mut put, mut items) = (0, items.try_iter()?);
        let mut bytes = vec![];
        loop {
            bytes.clear();
            let mut end = None;
            while bytes.len() < size * batch && end.is_none() {
                end = match items.next() {
                    None => Some(Ok(())),
                    Some(item) => item
                        .and_then(|item| self.append_item(&item, &mut bytes))
                        .err()
                        .map(Err),
                };
            }
            // What came before an item that is none is put nevertheless.
            let (done, refused) = self.put_block(py, &bytes, until);
            put += done;
            match refused.map_or(end, |error| Some(Err(error))) {
                None => {}
                Some(Ok(())) => return Ok(put),
                Some(Err(error)) => return Err(errors::after(py, error, put)),
            }
        }
    }

    fn append_item(&self, item: &Bound<'_, PyAny>, bytes: &mut Vec<u8>) -> PyResult<()> {
        let input = Input::of(item)?;
        let (part, size) = (input.part(), self.handle.item_size);
        if part.len() != size {
            return Err(errors::Invalid::new_err(format!(
                "an item of {} bytes for queue '{}', whose items have {size}",
                part.len(),
                self.handle.name
            )));
        }
        let end = bytes.len();
        bytes.resize(end + size, 0);
        part.copy_to(&mut bytes[end..]);
        Ok(())
    }

    /// Puts items that lie one after the other; how many, and what kept it from putting the others.
    fn put_block(&self, py: Python<'_>, bytes: &[u8], until: Until) -> (usize, Option<PyErr>) {
        let (handle, size) = (&*self.handle, self.handle.item_size);
        let (mut put, count) = (0, bytes.len() / size);
        if count == 0 {
            return (0, None);
        }
        let mut endpoint = match handle.lend() {
            Ok(endpoint) => endpoint,
            Err(error) => return (0, Some(error)),
        };
        let mut slice = Duration::ZERO; // first without waiting
        loop {
            let queue = &mut **endpoint;
            let answer = {
                let mut put_rest =
                    || queue.put_items(&bytes[put * size..], size, count - put, Some(slice));
                if slice.is_zero() {
                    put_rest()
                } else {
                    away(py, put_rest)
                }
            };
            let PutSliceError {
                put: more, error, ..
            } = match answer {
                Ok(()) => return (count, None),
                Err(refused) => refused,
            };
            put += more;
            if !matches!(error, PutError::Full | PutError::TimedOut) {
                return (put, Some(errors::put(error, &handle.name)));
            }
            if let Err(interrupted) = check(py) {
                return (put, Some(interrupted));
            }
            slice = match until.slice() {
                Some(slice) => slice,
                None => {
                    let error = if until.is_now() {
                        PutError::Full
                    } else {
                        PutError::TimedOut
                    };
                    return (put, Some(errors::put(error, &handle.name)));
                }
            };
        }
    }

    #[inline]
    fn put_item(&self, py: Python<'_>, item: &Bound<'_, PyAny>, until: Until) -> PyResult<()> {
        let handle = &*self.handle;
        if !self.objects {
            let input = Input::of(item)?;
            let part = input.part();
            return self.fill_and_put(py, part.len(), part.len(), until, |block| {
                part.copy_to(block);
                Ok(())
            });
        }
        let frame = Frame::of(item)?;
        let len = frame.len();
        if len > handle.item_size {
            return self.put_in_file(py, &frame, until);
        }
        self.fill_and_put(py, len.max(REFERENCE), len, until, |block| {
            frame.write(block);
            Ok(())
        })
    }

    #[cold]
    fn put_in_file(&self, py: Python<'_>, frame: &Frame<'_>, until: Until) -> PyResult<()> {
        if self.handle.dead_letters {
            return Err(errors::TooLarge::new_err(format!(
                "an object of {} bytes is too long for queue '{}', whose items have at most {}, and which has a dead-letter queue: create it with a larger item_size",
                frame.len(),
                self.handle.name,
                self.handle.item_size
            )));
        }
        // Before a large file is written for nothing.
        let refused = self.handle.with_control(|control| match control.state() {
            State::Started if !control.is_ready() => Some(PutError::NotReady),
            State::Started if until.is_now() && !self.handle.lossy && control.is_full() => {
                Some(PutError::Full)
            }
            State::Started => None,
            _ => Some(PutError::Stopped),
        })?;
        if let Some(error) = refused
            && !(matches!(error, PutError::NotReady) && opened(&self.handle))
        {
            return Err(errors::put(error, &self.handle.name));
        }
        let spilled = Spilled::new(&self.handle, frame.len())?;
        let parts = frame.parts();
        self.fill_and_put(py, REFERENCE, REFERENCE, until, |block| {
            spilled.reference().write(block);
            spilled.write(py, &parts)
        })?;
        spilled.keep()
    }

    /// Reserves, fills, shortens, puts.
    #[inline]
    fn fill_and_put(
        &self,
        py: Python<'_>,
        reserve: usize,
        len: usize,
        until: Until,
        fill: impl FnOnce(&mut [u8]) -> PyResult<()>,
    ) -> PyResult<()> {
        let mut endpoint = self.handle.lend()?;
        let mut reserved = endpoint
            .reserve(reserve)
            .map_err(|error| errors::put(error, &self.handle.name))?;
        if let Some(stale) = Reference::read(&reserved) {
            stale.remove(&self.handle);
        }
        fill(&mut reserved)?;
        reserved.truncate(len);
        commit(py, reserved, until, &self.handle).map_err(|(error, _)| error)
    }
}
