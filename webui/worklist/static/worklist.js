// Keys of the worklist: "/" searches, arrows walk along the patients, Enter (the link) opens one.

const names = () => [...document.querySelectorAll("#list a.name")];

function step(by) {
  const all = names();
  const at = all.indexOf(document.activeElement);
  const next = at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by;
  all[Math.min(Math.max(next, 0), all.length - 1)]?.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.target.matches("input, select, textarea") || event.ctrlKey || event.altKey || event.metaKey) {
    return;
  }
  if (event.key === "/") {
    document.getElementById("text").select();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    step(event.key === "ArrowDown" ? 1 : -1);
  } else {
    return;
  }
  event.preventDefault();
});
