//! Putting and getting, for both kinds of handle. Callers: queue.

use crate::buffer::Input;
use crate::errors;
use crate::guard::commit;
use crate::handle::Endpoint;
use crate::object::{Copied, Frame};
use crate::queue::ReadyQueue;
use crate::spill::{REFERENCE, Reference, Spilled};
use crate::wait::{Until, away, check, enter};
use prodcon::{GetError, PutError, State, Taken};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

impl ReadyQueue {
    /// Does something with the oldest item, waiting for it.
    fn with_item<R>(&self, py: Python<'_>, endpoint: &mut Endpoint, until: Until, act: impl FnOnce(Taken<'_, [u8]>) -> R) -> PyResult<R> {
        let failed = |error| Err(errors::get(error, &self.handle.name));
        match endpoint.try_take() {
            Ok(taken) => return Ok(act(taken)),
            Err(GetError::Empty) if until.is_now() => return failed(GetError::Empty),
            Err(GetError::Empty) => {}
            Err(error) => return failed(error),
        }
        loop {
            let Some(slice) = until.slice() else { return failed(GetError::TimedOut) };
            match away(py, || endpoint.take_timeout(slice)) {
                Ok(taken) => return Ok(act(taken)),
                Err(GetError::TimedOut) => check(py)?,
                Err(error) => return failed(error),
            }
        }
    }

    #[inline]
    pub fn get_until<'py>(&self, py: Python<'py>, until: Until) -> PyResult<Bound<'py, PyAny>> {
        let _inside = enter(py)?;
        let handle = &*self.handle;
        let mut endpoint = handle.lend()?;
        if !self.objects {
            return self.with_item(py, &mut endpoint, until, |taken| PyBytes::new(py, &taken).into_any());
        }
        loop {
            // Acknowledged when `taken` goes: after the copy, before unpickling runs code of others.
            let copied = self.with_item(py, &mut endpoint, until, |taken| Copied::from_block(py, &taken, handle))??;
            if let Some(object) = copied.finish(py, handle)? {
                return Ok(object);
            }
        }
    }

    #[inline]
    pub fn put_until(&self, py: Python<'_>, item: &Bound<'_, PyAny>, until: Until) -> PyResult<()> {
        let _inside = enter(py)?;
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
        // Before a large file is written in vain.
        let refused = self.handle.with_control(|control| match control.state() {
            State::Started if !control.is_ready() => Some(PutError::NotReady),
            State::Started if until.is_now() && !self.handle.lossy && control.is_full() => Some(PutError::Full),
            State::Started => None,
            _ => Some(PutError::Stopped),
        })?;
        if let Some(error) = refused {
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
    fn fill_and_put(&self, py: Python<'_>, reserve: usize, len: usize, until: Until, fill: impl FnOnce(&mut [u8]) -> PyResult<()>) -> PyResult<()> {
        let mut endpoint = self.handle.lend()?;
        let mut reserved = endpoint.reserve(reserve).map_err(|error| errors::put(error, &self.handle.name))?;
        if let Some(stale) = Reference::read(&reserved) {
            stale.remove(&self.handle);
        }
        fill(&mut reserved)?;
        reserved.truncate(len);
        commit(py, reserved, until, &self.handle.name).map_err(|(error, _)| error)
    }
}
