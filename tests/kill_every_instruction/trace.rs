//! A forked child under ptrace: started, stepped, stopped and killed.
//!
//! Owns all that is ptrace, and the little that differs between processors (`arch`). The child is forked from a process with one thread, so it may do what it likes. Everything
//! about it happens in the thread that forked it, because ptrace demands that.

use crate::alike;
use std::io;

/// What the program counter, the breakpoint and a system call look like.
#[cfg(target_arch = "x86_64")]
mod arch {
    pub(crate) const BREAKPOINT: &[u8] = &[0xcc];
    /// How far behind a breakpoint the program counter stands when it was hit.
    pub(crate) const BEHIND: u64 = 1;
    pub(crate) fn pc(registers: &mut libc::user_regs_struct) -> &mut u64 {
        &mut registers.rip
    }
    /// `syscall`, and `int 0x80`.
    pub(crate) fn is_system_call(code: [u8; 8]) -> bool {
        matches!(code, [0x0f, 0x05, ..] | [0xcd, 0x80, ..])
    }
}

#[cfg(target_arch = "aarch64")]
mod arch {
    /// `brk #0`
    pub(crate) const BREAKPOINT: &[u8] = &0xd420_0000u32.to_le_bytes();
    pub(crate) const BEHIND: u64 = 0;
    pub(crate) fn pc(registers: &mut libc::user_regs_struct) -> &mut u64 {
        &mut registers.pc
    }
    /// `svc #0`
    pub(crate) fn is_system_call(code: [u8; 8]) -> bool {
        code[..4] == 0xd400_0001u32.to_le_bytes()
    }
}

const NT_PRSTATUS: usize = 1;
/// The signal that a child sends itself at a mark.
const MARK: libc::c_int = libc::SIGUSR1;

/// Where a child stands after it was let run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// A single step ended, or a breakpoint was hit.
    Trap,
    /// A trap that is not the breakpoint's.
    Astray,
    /// At a mark.
    Mark,
    /// It ended by itself.
    Exited(i32),
    /// Something that no child should meet: a signal other than ours.
    Signal(i32),
}

/// Called by the child where an operation begins and where it ends: stops it, and its tracer looks.
pub(crate) fn mark() {
    // SAFETY: stops this process, whose tracer swallows the signal and lets it go on; touches no memory.
    unsafe { libc::kill(std::process::id() as libc::pid_t, MARK) };
}

/// A child that is traced; killed and reaped by Drop.
#[derive(Debug)]
pub(crate) struct Child {
    pid: libc::pid_t,
    gone: bool,
}

impl Child {
    /// Forks a child that runs `body` and exits with what it returns. It is not traced.
    pub(crate) fn fork(body: impl FnOnce() -> i32) -> Self {
        // SAFETY: this process has one thread, so the child may do everything the parent could.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork: {}", io::Error::last_os_error());
        if pid == 0 {
            // SAFETY: asks for a signal; touches no memory.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            alike::run(body);
        }
        Self { pid, gone: false }
    }

    /// Forks a traced child and lets it run to its first mark.
    pub(crate) fn at_mark(body: impl FnOnce() -> i32) -> Self {
        let mut child = Self::fork(|| {
            // SAFETY: asks to be traced by the parent; touches no memory.
            if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0 {
                return 102;
            }
            body()
        });
        let stop = child.wait();
        assert_eq!(stop, Stop::Mark, "the child did not come to its first mark");
        child.ptrace(libc::PTRACE_SETOPTIONS, 0, libc::PTRACE_O_EXITKILL as usize);
        child
    }

    fn ptrace(&self, request: libc::c_uint, address: usize, data: usize) {
        self.try_ptrace(request, address, data)
            .unwrap_or_else(|error| panic!("ptrace request {request}: {error}"));
    }

    fn try_ptrace(&self, request: libc::c_uint, address: usize, data: usize) -> io::Result<()> {
        // SAFETY: callers pass null, numbers, or the address of an iovec over a whole registers structure, which outlives the call.
        match unsafe { libc::ptrace(request, self.pid, address, data) } {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    fn wait(&mut self) -> Stop {
        let mut status = 0;
        loop {
            // SAFETY: pid is our child, status is writable.
            let pid = unsafe { libc::waitpid(self.pid, &mut status, libc::__WALL) };
            if pid == self.pid {
                break;
            }
            let error = io::Error::last_os_error();
            assert_eq!(error.kind(), io::ErrorKind::Interrupted, "waitpid: {error}");
        }
        if libc::WIFSTOPPED(status) {
            return match libc::WSTOPSIG(status) {
                libc::SIGTRAP => Stop::Trap,
                MARK => Stop::Mark,
                signal => Stop::Signal(signal),
            };
        }
        self.gone = true;
        if libc::WIFEXITED(status) {
            Stop::Exited(libc::WEXITSTATUS(status))
        } else {
            Stop::Signal(libc::WTERMSIG(status))
        }
    }

    /// One instruction. (Where it stops at a mark, the signal is swallowed.)
    pub(crate) fn step(&mut self) -> Stop {
        self.resume(libc::PTRACE_SINGLESTEP)
    }

    /// To the next mark or the end.
    pub(crate) fn run(&mut self) -> Stop {
        self.resume(libc::PTRACE_CONT)
    }

    fn resume(&mut self, request: libc::c_uint) -> Stop {
        loop {
            self.ptrace(request, 0, 0);
            let stop = self.wait();
            // Somebody stops processes, with Ctrl-Z for example. The child meets that before its next instruction, and it is swallowed.
            if !matches!(
                stop,
                Stop::Signal(libc::SIGSTOP | libc::SIGTSTP | libc::SIGCONT)
            ) {
                return stop;
            }
        }
    }

    /// At full speed to the next time the instruction at `address` is to be executed.
    pub(crate) fn run_to(&mut self, address: u64) -> Stop {
        let code = self.code(address);
        let mut planted = code;
        planted[..arch::BREAKPOINT.len()].copy_from_slice(arch::BREAKPOINT);
        self.poke(address, planted);
        let stop = self.run();
        if stop == Stop::Trap {
            self.poke(address, code);
            if self.pc() != address + arch::BEHIND {
                return Stop::Astray;
            }
            self.with_registers(|registers| *arch::pc(registers) = address);
        }
        stop
    }

    /// The address of the next instruction.
    pub(crate) fn pc(&self) -> u64 {
        *arch::pc(&mut self.registers())
    }

    /// The next instruction is a system call.
    pub(crate) fn before_system_call(&self) -> bool {
        arch::is_system_call(self.code(self.pc()))
    }

    /// Kills it where it stands and waits for its end. Its locks may live a moment longer.
    pub(crate) fn kill(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if !std::mem::replace(&mut self.gone, true) {
            // SAFETY: our child, which was not reaped yet.
            unsafe { libc::kill(self.pid, libc::SIGKILL) };
            // SAFETY: as above; null: the status does not matter.
            unsafe { libc::waitpid(self.pid, std::ptr::null_mut(), libc::__WALL) };
        }
    }

    fn registers(&self) -> libc::user_regs_struct {
        // SAFETY: plain numbers, for which zero is a value.
        let mut registers: libc::user_regs_struct = unsafe { std::mem::zeroed() };
        self.regset(libc::PTRACE_GETREGSET, &mut registers);
        registers
    }

    fn with_registers(&self, change: impl FnOnce(&mut libc::user_regs_struct)) {
        let mut registers = self.registers();
        change(&mut registers);
        self.regset(libc::PTRACE_SETREGSET, &mut registers);
    }

    fn regset(&self, request: libc::c_uint, registers: &mut libc::user_regs_struct) {
        let mut io = libc::iovec {
            iov_base: std::ptr::from_mut(registers).cast(),
            iov_len: size_of::<libc::user_regs_struct>(),
        };
        self.ptrace(request, NT_PRSTATUS, std::ptr::from_mut(&mut io) as usize);
    }

    /// Eight bytes of the child's code.
    fn code(&self, address: u64) -> [u8; 8] {
        let mut word = 0u64;
        // The system call itself, not the library's function, whose answer cannot be told from an error.
        // SAFETY: reads the child's memory, the kernel checks the address, and writes the word, which outlives the call.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_ptrace,
                libc::PTRACE_PEEKTEXT,
                self.pid,
                address,
                &raw mut word,
            )
        };
        assert_eq!(answer, 0, "ptrace peek: {}", io::Error::last_os_error());
        word.to_ne_bytes()
    }

    fn poke(&self, address: u64, code: [u8; 8]) {
        self.ptrace(
            libc::PTRACE_POKETEXT,
            address as usize,
            u64::from_ne_bytes(code) as usize,
        );
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// Why ptrace cannot be used here, if it cannot.
pub(crate) fn forbidden() -> Option<String> {
    #[cfg(target_arch = "aarch64")]
    if !std::arch::is_aarch64_feature_detected!("lse") {
        return Some("this processor's compare-and-swap is a loop of exclusive loads and stores, which never ends when it is single-stepped".into());
    }
    let mut child = Child::fork(|| {
        // SAFETY: asks to be traced by the parent; touches no memory.
        if unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } != 0 {
            return io::Error::last_os_error().raw_os_error().unwrap_or(1);
        }
        mark();
        0
    });
    let stop = child.wait();
    if let Stop::Exited(errno) = stop {
        return Some(format!(
            "ptrace is forbidden here: {}",
            io::Error::from_raw_os_error(errno)
        ));
    }
    if stop != Stop::Mark {
        return Some(format!(
            "a traced child ended with {stop:?} instead of stopping"
        ));
    }
    child
        .try_ptrace(libc::PTRACE_SINGLESTEP, 0, 0)
        .err()
        .map(|error| format!("this machine cannot single-step: {error}"))
}
