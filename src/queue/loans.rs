//! What an endpoint shares with the items in hand that have left it.
//!
//! Invariant: a seat comes back locked, or the code that ends the loan gives it up.

use super::control::Control;
use crate::ring::seat::Seat;
use crate::sync::event::wake_one;
use crate::sys::futex::Kernel;
use std::sync::atomic::{AtomicU32, Ordering, fence};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What an endpoint shares with the deliveries that have left it.
#[derive(Debug)]
pub(super) struct Loans {
    /// Of the endpoint's own segment and seats.
    pub(super) control: Control,
    /// The endpoint sleeps on it when all its seats are out. Only this process knows it.
    pub(super) returned: AtomicU32,
    desk: Mutex<Desk>,
}

#[derive(Debug)]
pub(super) struct Desk {
    /// Locked, with nothing in hand, and not yet back in the endpoint's own hands.
    pub(super) seats: Vec<Seat>,
    /// Loans that have not ended.
    pub(super) out: u32,
    /// The endpoint is gone.
    pub(super) closed: bool,
}

impl Loans {
    /// Of an endpoint whose `control` this is, and which lends up to `hands` seats.
    pub(super) fn new(control: Control, hands: u32) -> Self {
        Self {
            control,
            returned: AtomicU32::new(0),
            desk: Mutex::new(Desk {
                // An acknowledgement allocates nothing.
                seats: Vec::with_capacity(hands as usize),
                out: 0,
                closed: false,
            }),
        }
    }

    /// Nothing in it is left half changed by a panic.
    pub(super) fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a loan. The endpoint gets the seat, if there is one and it has use for it.
    pub(super) fn end(&self, seat: Seat, kept: bool) {
        let mut desk = self.desk();
        desk.out -= 1;
        let given_up = if kept && !desk.closed {
            desk.seats.push(seat);
            None
        } else {
            Some(seat)
        };
        drop(desk);
        if let Some(seat) = given_up {
            self.control.release(seat);
        }
        // SeqCst: pairs with the fence in `wait_for_seat`. Either the endpoint sees the desk as it
        // is now, or this look at the word sees that it registered.
        fence(Ordering::SeqCst);
        wake_one(&self.returned, &Kernel);
    }
}
