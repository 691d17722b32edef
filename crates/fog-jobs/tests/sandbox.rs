//! Runs real worker processes on programs that behave and programs that do not. This binary is both the tests and the
//! worker process.

fn main() {}
