//! Two things that Cargo does not see by itself: a new migration, and the folder of the built page, which must
//! exist when the program is compiled for a later build of the page to be found.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
    // A page that cannot be put there is told of when the page is asked for.
    let _ = std::fs::create_dir_all("../../ui/dist");
}
