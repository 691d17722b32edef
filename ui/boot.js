// Runs before the first paint: sets the colours, so that a dark page never flashes white, and starts the page.
// Everything else is in the WebAssembly module.
(() => {
  "use strict";
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const paint = () => {
    let choice = null;
    try {
      choice = localStorage.getItem("fog-theme");
    } catch {
      // Storage may be forbidden; the system's choice is a good one.
    }
    const theme = choice === "light" || choice === "dark" ? choice : dark.matches ? "dark" : "light";
    document.documentElement.dataset.theme = theme;
  };
  paint();
  dark.addEventListener("change", paint);
  addEventListener("fog-theme", paint);
  addEventListener("storage", paint);

  const failed = (error) => {
    console.error(error);
    const note = document.getElementById("boot-note");
    if (note) {
      note.hidden = false;
      note.textContent = "The page could not start. Reload it; if that does not help, update the browser.";
    }
  };
  // Both are on their way at once, and the module is compiled while it arrives.
  const module_or_path = fetch("fog_ui_bg.wasm");
  import("./fog_ui.js").then((page) => page.default({ module_or_path })).catch(failed);
})();
