//! Exports the stack pointer, which tools that look into a running module may need.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "wasm32") {
        println!("cargo:rustc-link-arg-bins=--export=__stack_pointer");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
