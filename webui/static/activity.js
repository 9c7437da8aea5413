// A page that refreshes itself must not keep an unattended session alive, nor end one in use: its
// requests say whether somebody touched it since the last one.

let touched = false;

for (const kind of ["pointerdown", "keydown", "wheel"]) {
  document.addEventListener(kind, () => (touched = true), { passive: true, capture: true });
}

document.addEventListener("htmx:configRequest", (event) => {
  if (touched) {
    event.detail.headers["X-Active"] = "1";
    touched = false;
  }
});
