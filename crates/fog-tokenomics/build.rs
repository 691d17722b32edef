//! Cargo does not see files that a macro reads: a changed migration must build the crate anew.

fn main() {
    // A build script speaks to cargo through its output.
    #[allow(clippy::print_stdout)]
    {
        println!("cargo:rerun-if-changed=migrations");
    }
}
