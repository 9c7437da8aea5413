// Requests that a page makes by itself must neither extend an unattended session nor let a session
// in use expire. They report whether there was user input since the previous request.

let active = false;

for (const kind of ["pointerdown", "keydown", "wheel"]) {
  document.addEventListener(kind, () => (active = true), { passive: true, capture: true });
}

document.addEventListener("htmx:configRequest", (event) => {
  if (active) {
    event.detail.headers["X-Active"] = "1";
    active = false;
  }
});
