//! lastdrop.
fn main() {}
