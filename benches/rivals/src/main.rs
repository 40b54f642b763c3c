//! What the comparisons in `benches/peers` and `benches/kills` share.
//!
//! Owns: starting processes and getting rid of them, cores and clocks, the items and how they are checked, the two traits that every system under test is
//! brought behind, and the systems that both comparisons look at. Knows nothing of what is measured.

pub mod cpu;
pub mod crew;
pub mod ends;
pub mod item;
pub mod place;
pub mod shared;
pub mod systems;
pub mod table;

/// What everything here answers: any error, as text for people.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;
