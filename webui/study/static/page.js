// The study page: buttons and keys to the viewer and the review form.

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

// Typing stays typing; a slider or a radio button keeps its arrows, a button its space.
function isTaken(event) {
  const { target, key } = event;
  if (target.matches("textarea, select, input:not([type=range], [type=radio])")) {
    return true;
  }
  const walks = target.matches("input") && key.startsWith("Arrow");
  const presses = target.matches("button, a, summary, [type=radio]") && key === " ";
  return walks || presses;
}

document.addEventListener("keydown", (event) => {
  const act = shortcuts[event.key];
  const elsewhere = event.ctrlKey || event.altKey || event.metaKey || signing.open || keys.open;
  if (act && !elsewhere && !isTaken(event)) {
    event.preventDefault();
    act();
  }
});

// ---------------------------------------------------------------- review

const problem = document.getElementById("review-problem");

function say(text) {
  if (problem) {
    problem.textContent = text;
    problem.hidden = !text;
  }
}

// Other outlines are another result: the form says so, and the server measures them.
function edited() {
  review.elements.outlines.value = JSON.stringify(outlines.edits);
  if (outlines.edits.length) {
    decide("modify");
    prefer("final_label", review.dataset.label);
    prefer("reason_modify", "Inaccurate outline");
  }
  say("");
  measure();
}

function prefer(name, value) {
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
      return; // a later change is on its way
    }
    if (answer.redirected) {
      say("Your session has expired. Sign in again in another tab, then save.");
    } else if (answer.ok) {
      document.getElementById("lesions").innerHTML = text;
    } else {
      if (answer.status === 422) {
        editor.undo(); // what cannot be an outline does not stay
      }
      say(text);
    }
  } catch {
    say("The server is not responding. The outline has not been measured or saved.");
  }
}

document.body.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.closest("#review")) {
    say("");
  }
});
document.body.addEventListener("htmx:responseError", (event) => {
  if (event.target.closest("#review")) {
    say(event.detail.xhr.responseText);
  }
});
document.body.addEventListener("htmx:sendError", (event) => {
  if (event.target.closest("#review")) {
    say("The server is not responding. Your review has not been saved.");
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
