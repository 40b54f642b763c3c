//! A pipe and a Unix socket (SEQPACKET), both inherited from the process that starts the others, blocking.
//!
//! A pipe keeps writes of up to PIPE_BUF (4096) bytes whole, and readers that all ask for the same size then get whole items; larger items only work with one producer
//! and one consumer. Its buffer is enlarged towards 1024 items, up to the system's limit. SEQPACKET keeps items whole at any size; how many it holds is up to the kernel.
//! (pipe(7), unix(7).)

use crate::Outcome;
use crate::ends::{Keep, Rx, Setup, System, Tx};
use std::fs::File;
use std::hint::black_box;
use std::io::{Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;

/// A pipe.
pub struct Pipe;
/// A pair of SEQPACKET sockets.
pub struct Socket;

/// Makes the descriptors of one queue, which children inherit: the reading end, the writing end.
///
/// # Errors
/// As the system answers.
pub fn make(socket: bool, capacity: u32, size: usize) -> Outcome<[i32; 2]> {
    let mut ends = [0; 2];
    let made = if socket {
        // SAFETY: a valid pointer to two integers.
        unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_SEQPACKET, 0, ends.as_mut_ptr()) }
    } else {
        // SAFETY: a valid pointer to two integers.
        unsafe { libc::pipe2(ends.as_mut_ptr(), 0) }
    };
    if made != 0 {
        return Err(std::io::Error::last_os_error().into());
    }
    let wanted = capacity as usize * size;
    if socket {
        let bytes = (2 * wanted).min(i32::MAX as usize) as libc::c_int; // the kernel takes as much as it allows
        // SAFETY: a valid pointer to an integer and its size.
        unsafe {
            libc::setsockopt(
                ends[1],
                libc::SOL_SOCKET,
                libc::SO_SNDBUF,
                (&raw const bytes).cast(),
                4,
            )
        };
    } else {
        let mut bytes = wanted.clamp(1 << 16, 1 << 20) as libc::c_int;
        // SAFETY: no pointers.
        while bytes > 1 << 16 && unsafe { libc::fcntl(ends[1], libc::F_SETPIPE_SZ, bytes) } < 0 {
            bytes /= 2;
        }
    }
    Ok(ends)
}

/// Closes what [`make`] made.
pub fn close(ends: [i32; 2]) {
    for end in ends {
        // SAFETY: made by `make`, and closed once.
        unsafe { libc::close(end) };
    }
}

struct End<const N: usize>(ManuallyDrop<File>, Box<[u64; N]>);

impl<const N: usize> End<N> {
    fn new(descriptor: i32) -> Self {
        // SAFETY: inherited and open as long as this process lives; never closed here.
        Self(
            ManuallyDrop::new(unsafe { File::from_raw_fd(descriptor) }),
            Box::new([0; N]),
        )
    }
}

impl<const N: usize> Tx<N> for End<N> {
    fn put(&mut self, fill: impl FnOnce(&mut [u64; N])) -> Outcome<()> {
        fill(&mut self.1);
        Ok(self.0.write_all(bytemuck::bytes_of(black_box(&*self.1)))?)
    }
}

impl<const N: usize> Rx<N> for End<N> {
    fn get<R>(&mut self, look: impl FnOnce(&[u64; N]) -> R) -> Outcome<R> {
        self.0.read_exact(bytemuck::bytes_of_mut(&mut *self.1))?;
        Ok(look(black_box(&self.1)))
    }
}

impl System for Pipe {
    fn create<const N: usize>(_: &Setup) -> Outcome<Box<dyn Keep>> {
        Ok(Box::new(()))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        Ok(End::new(setup.descriptors[1]))
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        Ok(End::new(setup.descriptors[0]))
    }
}

impl System for Socket {
    fn create<const N: usize>(_: &Setup) -> Outcome<Box<dyn Keep>> {
        Ok(Box::new(()))
    }
    fn tx<const N: usize>(setup: &Setup) -> Outcome<impl Tx<N>> {
        Ok(End::new(setup.descriptors[1]))
    }
    fn rx<const N: usize>(setup: &Setup) -> Outcome<impl Rx<N>> {
        Ok(End::new(setup.descriptors[0]))
    }
}
