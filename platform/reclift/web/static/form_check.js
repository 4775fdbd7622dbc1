// What is wrong with a field, and where that is said.

export function ruleOf(input) {
  const v = input.validity;
  if (v.valueMissing) return "is needed";
  if (v.patternMismatch) return "must be of a-z, 0-9, '_' and '-', beginning with a letter or digit";
  if (v.rangeUnderflow) return `must be at least ${input.min}`;
  if (v.rangeOverflow) return `must be at most ${input.max}`;
  if (v.stepMismatch) return "must be a whole number";
  if (v.tooShort) return `must have at least ${input.minLength} characters`;
  return v.badInput ? "must be a number" : "is not right";
}

export function mark(input, rule) {
  input.classList.toggle("is-invalid", Boolean(rule));
  const row = input.closest("[data-row]");
  const holder = row ? input.closest("[data-row] > div") : input.closest(".field") ?? input.parentElement;
  holder.querySelectorAll(".error").forEach((old) => old.remove());
  if (rule) {
    const note = document.createElement("div");
    note.className = "error";
    note.textContent = input.value ? `“${input.value}” ${rule}` : `This ${rule}`;
    holder.append(note);
  }
}

// `extra(step)` gives one more sentence on a step, or nothing. Returns whether all is well.
export function checkStep(step, show, extra) {
  let good = true;
  for (const input of step.querySelectorAll("input, select, textarea")) {
    if (!input.willValidate || input.type === "radio" || input.type === "checkbox") continue;
    const only = input.closest("[data-when]"); // fields of a choice that is not made
    if (only && getComputedStyle(only).display === "none") continue;
    const rule = input.checkValidity() ? "" : ruleOf(input);
    if (rule) good = false;
    if (show) mark(input, rule);
  }
  const said = step.querySelector("[data-arms-error]");
  if (said) {
    const rule = extra();
    if (rule) good = false;
    if (show) {
      said.hidden = !rule;
      said.querySelector("span").textContent = rule;
    }
  }
  if (!show) return good;
  for (const place of [step, step.closest("form").querySelector(`[data-check="${step.dataset.step}"]`)]) {
    place.classList.toggle("bad", !good);
    place.classList.toggle("good", good);
  }
  return good;
}
