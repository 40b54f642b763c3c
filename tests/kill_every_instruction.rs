//! Kills a child after EACH instruction of an operation and looks at what is left: the claim of the crate taken at its word, in the compiled code.
//!
//! Operations: put (typed, bytes, many, refused), overwrite, a put that discards a cleared item, reserve and commit; get and take with acknowledgement (at most once and at
//! least once, bytes, many, nothing there, behind a cleared item), a put into the block just acknowledged; nack, and one that is kept; adoption, also by attaching; clear,
//! set_not_ready, set_ready; attach; close with and without an item in hand; puts, overwrites, clears, gets and adoptions of blocks of several items; several items in hand, acknowledged,
//! partly acknowledged, given back, adopted; a delivery and a batch dropped without acknowledgement; a delivery that outlives its endpoint; a dead letter; the end of a stream, and puts while others hear of it. Then recovery (by a third process) of each state that a kill in one of these leaves, and an attach over such a seat: two or three
//! deaths in succession.
//!
//! At each instruction, with a fresh queue:
//! - `Kill`. The queue must be in one of the stages that the scene lists: which items are left, each with its delivery count, and what is counted as acknowledged, dropped, cleared, lost,
//!   redelivered. Never in an earlier one than after the instruction before; and each stage must be met.
//! - One of three, in turn. `WorkThenKill`: a bystander puts and gets while the child stands still. `KillThenWork`: it does when the child is dead and nobody has looked after it yet.
//!   `WorkThenGo`: it does, somebody else takes the next free seat and works too, then the child goes on: paused, not killed. Nothing may then have come twice, out of order or torn,
//!   nothing may be missing that is not counted, and who was let go on leaves nothing that the bystander is not told of.
//! - Always: `doctor` is content, with and without a live endpoint; nothing is undecided, the accounts add up; all seats can be attached at once; `capacity` items go in and out through all
//!   of them, twice. A bystander that were stopped would be seen too: nothing takes longer than a minute.
//!
//! `stop_in_*`: a child is stopped in recovery, `doctor`, attach and close (at each system call of create, unlink and supervise), as SIGSTOP or a debugger does it. Meanwhile others
//! attach, with one spare seat, put, get, close, recover and check; how long the slowest took is printed. Then it goes on.
//!
//! How: `fixture` makes a queue and examines it, `sweep` chooses the kill points and goes to them, `trace` is ptrace, `alike` makes every child take the same way, `scenes`, `many` and `plays`
//! are the operations. ptrace and fork want a process with one thread, so this program starts itself again for each scene; the children are forked from that.
//! Kill points are all instructions of this program's text (the crate, and what it uses of `std`), but a loop's ninth and later rounds every 16th time; of the C library every 16th; and all before and behind a
//! system call. The code is optimised (`[profile.test.package]` in Cargo.toml) with debug assertions on. A scene fails with the number of instructions, the deed and what it found.
//!
//! ```text
//! cargo test --test kill_every_instruction -- [PART OF A NAME]     about 140 s of processor time for all, half of it on two processors
//! PRODCON_EVERY_INSTRUCTION=1 ...     the long form: every instruction anywhere, all four deeds at each
//! cargo test --release ...            the code as it is shipped, without debug assertions
//! PRODCON_STRIDE=10 ...               at every tenth point alone; stages that are not met are no error then
//! PRODCON_STRIDE=1 ...                in recovery, attach and doctor after a death, too, where it is every third by default
//! ```
//!
//! Planted bugs, each seen failing (in brackets one of the scenes that failed): record at rest before the counter (overwrite); acknowledgement after the record (get); verdict inverted (put); the
//! seat unlocked before the record is at rest, by close (close_with_an_item, only let go on) and by recovery (recovery_of_put, only let go on); payload written before the acknowledgement
//! (get_then_put); no announcement before the exchange (put); recovery that counts without looking at the sequence, or not at all (overwrite); recovery that forgets the hold (get); recovery that
//! writes the record at rest before it counts (recovery_of_overwrite); an acknowledged hold taken for an orphan (adoption); orphans raised before the unlock (nack, only let go on); `base` not
//! noted before a take (get_many); `outgoing` noted after the exchange (put_batch); attach that does not look at the seat it takes (attach_after_overwrite); a dead letter acknowledged
//! before it is put (get_behind_a_dead_letter); a put that loads the state before its slot (put_while_the_stream_ends, only let go on); recovery that forgets a skip (end_of_stream).

#[path = "kill_every_instruction/alike.rs"]
mod alike;
#[path = "kill_every_instruction/fixture.rs"]
mod fixture;
#[path = "kill_every_instruction/item.rs"]
mod item;
#[path = "kill_every_instruction/many.rs"]
mod many;
#[path = "kill_every_instruction/plays.rs"]
mod plays;
#[path = "kill_every_instruction/program.rs"]
mod program;
#[path = "kill_every_instruction/scenes.rs"]
mod scenes;
#[path = "kill_every_instruction/stops.rs"]
mod stops;
#[path = "kill_every_instruction/sweep.rs"]
mod sweep;
#[path = "kill_every_instruction/trace.rs"]
mod trace;

use std::process::ExitCode;

fn main() -> ExitCode {
    program::main(plays::all)
}
