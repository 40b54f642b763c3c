//! The systems that both comparisons look at, each behind [`System`](crate::ends::System). How each is set up, and where its documentation says so, stands at
//! the head of its file.

mod obvious;
mod prodcon;
mod ringfire;
mod shaq;

pub use self::obvious::Obvious;
pub use self::prodcon::{Prodcon, ProdconAtLeastOnce, ProdconInPlace};
pub use self::ringfire::Ringfire;
pub use self::shaq::Shaq;
