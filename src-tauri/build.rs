//! Builds the window's resources and the list of commands that the page may call.

use std::error::Error;
use std::path::Path;

const NO_PAGE: &str = "<!doctype html>\n<title>Fog Compute</title>\n\
                       <p>The page is not part of this build. Run <code>cargo xtask ui</code> and build again.</p>\n";

fn main() -> Result<(), Box<dyn Error>> {
    // The page is built by `cargo xtask ui`; a fresh clone must compile without it.
    let page = Path::new("ui/dist/index.html");
    if !page.exists() {
        std::fs::create_dir_all("ui/dist")?;
        std::fs::write(page, NO_PAGE)?;
    }
    println!("cargo:rerun-if-changed=ui/dist");
    let commands = tauri_build::AppManifest::new().commands(&[
        "command",
        "upload",
        "save_blob",
        "read_blob",
        "autostart",
        "set_autostart",
    ]);
    tauri_build::try_build(tauri_build::Attributes::new().app_manifest(commands))?;
    Ok(())
}
