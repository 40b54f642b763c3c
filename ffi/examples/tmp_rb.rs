//! x
use rust::{Options, ReadyQueue};
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let n: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let mut q = ReadyQueue::<u64>::create("r", &Options::new(1024).directory(&dir)).unwrap();
    for i in 0..n {
        q.put(&i).unwrap();
        assert_eq!(std::hint::black_box(q.get().unwrap()), i);
    }
    rust::unlink_in(std::path::Path::new(&dir), "r").unwrap();
}
