//! The page's entry: wasm-bindgen calls `main` once the module is loaded.

fn main() {
    #[cfg(target_arch = "wasm32")]
    fog_ui::app::start();
}
