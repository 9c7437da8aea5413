// The study page: connects buttons and keys to the viewer and the review form.

import { Editor, Outlines } from "./outline.js";
import { Viewer } from "./viewer.js";

const data = JSON.parse(document.getElementById("viewer-data").textContent);
const outlines = new Outlines(data.images, data.edits);
const viewer = new Viewer(data.images, outlines, data.classes);
const review = document.getElementById("review");
const editor = document.getElementById("edit") ? new Editor(viewer, outlines, edited) : null;
const signing = document.getElementById("sign-dialog");
const keys = document.getElementById("keys-dialog");

if (data.images.length) {
  viewer.open(data.start);
}

const buttons = {
  play: () => viewer.togglePlay(),
  mask: () => viewer.toggleMask(),
  "heat-toggle": () => viewer.toggleHeat(),
  fit: () => viewer.fit(),
  "zoom-in": () => viewer.zoom(1.25),
  "zoom-out": () => viewer.zoom(0.8),
  "show-keys": () => keys.showModal(),
};
for (const [id, act] of Object.entries(buttons)) {
  document.getElementById(id).addEventListener("click", act);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-image]");
  if (target) {
    const frame = target.dataset.frame ? Number(target.dataset.frame) : null;
    viewer.open(Number(target.dataset.image), frame);
  }
});

// ---------------------------------------------------------------- keys

const shortcuts = {
  ArrowLeft: () => viewer.stepFrame(-1),
  ArrowRight: () => viewer.stepFrame(1),
  ArrowUp: () => viewer.step(-1),
  ArrowDown: () => viewer.step(1),
  " ": () => viewer.togglePlay(),
  m: () => viewer.toggleMask(),
  h: () => viewer.toggleHeat(),
  f: () => viewer.fit(),
  e: () => editor?.toggle(),
  u: () => editor?.undo(),
  Escape: () => editor?.cancel(),
  "+": () => viewer.zoom(1.25),
  "-": () => viewer.zoom(0.8),
  1: () => decide("accept"),
  2: () => decide("modify"),
  3: () => decide("reject"),
  s: () => document.getElementById("sign")?.click(),
  "?": () => keys.showModal(),
};

function decide(value) {
  const choice = review?.querySelector(`[name="decision"][value="${value}"]`);
  if (choice && !choice.disabled) {
    choice.checked = true;
  }
}

// Shortcuts do not apply in text fields; sliders and radio buttons keep the arrow keys, buttons the space key.
function needsKey(event) {
  const { target, key } = event;
  if (target.matches("textarea, select, input:not([type=range], [type=radio])")) {
    return true;
  }
  const usesArrow = target.matches("input") && key.startsWith("Arrow");
  const usesSpace = target.matches("button, a, summary, [type=radio]") && key === " ";
  return usesArrow || usesSpace;
}

document.addEventListener("keydown", (event) => {
  const act = shortcuts[event.key];
  const isElsewhere = event.ctrlKey || event.altKey || event.metaKey || signing.open || keys.open;
  if (act && !isElsewhere && !needsKey(event)) {
    event.preventDefault();
    act();
  }
});

// ---------------------------------------------------------------- review

const problem = document.getElementById("review-problem");

function showProblem(text) {
  if (problem) {
    problem.textContent = text;
    problem.hidden = !text;
  }
}

// Changed outlines modify the AI result: selects that decision and has the server measure them.
function edited() {
  review.elements.outlines.value = JSON.stringify(outlines.edits);
  if (outlines.edits.length) {
    decide("modify");
    setDefault("final_label", review.dataset.label);
    setDefault("reason_modify", "Inaccurate outline");
  }
  showProblem("");
  measure();
}

function setDefault(name, value) {
  const field = review.elements[name];
  if (!field.value) {
    field.value = value;
  }
}

async function measure() {
  const sent = review.elements.outlines.value;
  const form = new URLSearchParams(new FormData(review));
  const options = { method: "POST", body: form, headers: { "HX-Request": "true" } };
  try {
    const answer = await fetch(review.dataset.lesions, options);
    const text = await answer.text();
    if (sent !== review.elements.outlines.value) {
      return; // a later change has been sent
    }
    if (answer.redirected) {
      showProblem("Your session has expired. Sign in again in another tab, then save.");
    } else if (answer.ok) {
      document.getElementById("lesions").innerHTML = text;
    } else {
      if (answer.status === 422) {
        editor.undo(); // an invalid outline is not kept
      }
      showProblem(text);
    }
  } catch {
    showProblem("The server is not responding. The outline has not been measured or saved.");
  }
}

document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.closest("#review")) {
    showProblem("");
  }
});
document.body.addEventListener("htmx:responseError", (event) => {
  if (event.target.closest("#review")) {
    showProblem(event.detail.xhr.responseText);
  }
});
document.body.addEventListener("htmx:sendError", (event) => {
  if (event.target.closest("#review")) {
    showProblem("The server is not responding. Your review has not been saved.");
  }
});
document.body.addEventListener("htmx:afterSwap", (event) => {
  if (event.detail.target === signing) {
    signing.showModal();
    signing.querySelector("[name=password]").focus();
    signing.querySelector("#cancel-sign").addEventListener("click", (click) => {
      click.preventDefault();
      signing.close();
    });
  }
});
