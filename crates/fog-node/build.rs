//! Cargo does not see by itself that a migration is new.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
