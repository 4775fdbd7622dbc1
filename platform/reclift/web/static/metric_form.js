// The form of a metric: fields that the chosen kind has, rows of filters, and its meaning in words while one types.
import { addRow } from "./form_rows.js";

const form = document.querySelector(".metric-form");
const words = form.querySelector("[data-sentence]");
let asked = 0;
let timer = 0;

function showFields() {
  const kind = form.querySelector('[name="kind"]:checked');
  const has = new Set((kind?.dataset.fields ?? "").split(" "));
  for (const part of form.querySelectorAll("[data-only]")) part.hidden = !has.has(part.dataset.only);
  for (const part of form.querySelectorAll("[data-kind]")) part.hidden = part.dataset.kind !== kind?.value;
  for (const part of form.querySelectorAll("[data-not-kind]")) part.hidden = part.dataset.notKind === kind?.value;
  for (const part of form.querySelectorAll("[data-events-only]")) {
    const event = form.elements[`${part.dataset.eventsOnly}_event`].value.trim();
    part.hidden = event === "impression" || kind?.value === "coverage";
  }
}

async function say() {
  const number = ++asked;
  try {
    const answer = await fetch(form.dataset.words, { method: "POST", body: new FormData(form) });
    if (!answer.ok || number !== asked) return; // a later question is on its way
    const said = await answer.json();
    words.textContent = said.sentence ?? `Not complete yet: ${said.problems.join("; ")}.`;
    words.classList.toggle("muted", said.sentence === null);
  } catch {
    // the server cannot be reached now: sending the form will say so
  }
}

function changed() {
  showFields();
  clearTimeout(timer);
  timer = setTimeout(say, 250);
}

form.addEventListener("input", changed);
form.addEventListener("click", (event) => {
  const add = event.target.closest("[data-add]");
  const remove = event.target.closest("[data-remove-row]");
  if (add) addRow(form, add.dataset.add).querySelector("input").focus();
  else if (remove) remove.closest("[data-row]").remove();
  else return;
  changed();
});
showFields();
