//! The keys of `top`, read from the terminal itself.
//!
//! Invariant: a terminal that has gone gives [`Key::Gone`], within a slice of waiting and at every
//! read. An event library that reads on at the end of its input would spin.

use crate::wait;
use rustix::event::PollFlags;
use rustix::io::Errno;
use std::io;

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Quit,
    Up,
    Down,
    /// The terminal has gone, and its user with it.
    Gone,
}

/// Waits for keys, a slice at most, and gives those that mean something.
///
/// # Errors
/// The terminal cannot be read.
pub fn read() -> io::Result<Vec<Key>> {
    let terminal = rustix::stdio::stdin();
    let mut bytes = vec![];
    loop {
        let events = wait::ready(&terminal, PollFlags::IN)?;
        if events.intersects(PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL) {
            return Ok(vec![Key::Gone]);
        }
        if events.is_empty() {
            return Ok(keys(&bytes));
        }
        let mut buffer = [0; 256];
        match rustix::io::read(terminal, &mut buffer) {
            Ok(0) | Err(Errno::IO) => return Ok(vec![Key::Gone]),
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno.into()),
        }
        // The rest of an arrow key may come later, and a lone escape means something else.
        if !matches!(bytes.as_slice(), [.., 0x1b] | [.., 0x1b, b'[' | b'O']) {
            return Ok(keys(&bytes));
        }
    }
}

/// What these bytes of a terminal in raw mode mean.
fn keys(bytes: &[u8]) -> Vec<Key> {
    let mut keys = vec![];
    let mut rest = bytes;
    loop {
        let (key, used) = match rest {
            [] => return keys,
            [0x1b, b'[' | b'O', b'A', ..] => (Some(Key::Up), 3),
            [0x1b, b'[' | b'O', b'B', ..] => (Some(Key::Down), 3),
            // Another sequence: parameters, and a last byte from @ to ~.
            [0x1b, b'[' | b'O', others @ ..] => {
                let end = others.iter().position(|byte| (b'@'..=b'~').contains(byte));
                (None, end.map_or(rest.len(), |at| at + 3))
            }
            [b'k', ..] => (Some(Key::Up), 1),
            [b'j', ..] => (Some(Key::Down), 1),
            // Escape; Control-C and Control-D are no signals in raw mode.
            [b'q' | 0x1b | 0x03 | 0x04, ..] => (Some(Key::Quit), 1),
            _ => (None, 1),
        };
        keys.extend(key);
        rest = &rest[used..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_sequences_are_told_apart() {
        assert_eq!(
            keys(b"jk\x1b[A\x1bOBxq"),
            [Key::Down, Key::Up, Key::Up, Key::Down, Key::Quit]
        );
        assert_eq!(
            keys(b"\x1b[5~\x1b[1;5C"),
            [],
            "page up and control-right mean nothing"
        );
        assert_eq!(
            (keys(b"\x1b"), keys(b"\x03")),
            (vec![Key::Quit], vec![Key::Quit])
        );
        assert_eq!(keys(b"\x1b["), []);
    }
}
