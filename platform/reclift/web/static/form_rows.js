// Rows that come and go: conditions, people who test, steps of a ramp. Each group has a place and a template.

export function fromTemplate(id, number) {
  const holder = document.createElement("div");
  holder.innerHTML = document.getElementById(id).innerHTML.replaceAll("__n__", String(number));
  return holder;
}

export function nextNumber(place) {
  const numbers = [...place.querySelectorAll("[name]")].map((field) => Number(field.name.split("-")[1])).filter(Number.isInteger);
  return Math.max(-1, ...numbers) + 1;
}

const place = (form, group) => form.querySelector(`[data-rows="${group}"]`);
export const rowsOf = (form, group) => [...place(form, group).querySelectorAll("[data-row]")];
export const valueOf = (row, name) => row.querySelector(`[name$="-${name}"]`).value.trim();

export function addRow(form, group, values = {}, number = nextNumber(place(form, group))) {
  const row = fromTemplate(`row-${group}`, number).querySelector("[data-row]");
  place(form, group).append(row);
  for (const [name, value] of Object.entries(values)) row.querySelector(`[name$="-${name}"]`).value = value;
  offerGroups(row);
  return row;
}

// a comparison with a saved group offers the groups, and can do without an attribute
export function offerGroups(row) {
  const op = row.querySelector('[name$="-op"]');
  if (!op) return;
  const group = op.value.endsWith("nGroup");
  const value = row.querySelector('[name$="-value"]');
  if (group) value.setAttribute("list", "group-names");
  else value.removeAttribute("list");
  value.placeholder = group ? "saved group" : "CN, US";
  value.disabled = op.value.endsWith("$exists");
  row.querySelector('[name$="-attribute"]').placeholder = group ? "as it stands" : "country";
}

export function restoreRows(form, typed) {
  for (const holder of form.querySelectorAll("[data-rows]")) {
    const group = holder.dataset.rows;
    const numbers = typed.map(([field]) => new RegExp(`^${group}-(\\d+)-`).exec(field)?.[1]).filter(Boolean);
    holder.replaceChildren();
    for (const number of new Set(numbers)) addRow(form, group, {}, number);
  }
}

// Traffic, ramp and layer belong together: the ramp decides the start, and the layer must have room for its end.
export function showTraffic(form) {
  const steps = rowsOf(form, "ramp").map((row) => Number(valueOf(row, "traffic"))).filter((share) => share > 0);
  const traffic = form.elements.traffic;
  traffic.readOnly = steps.length > 0;
  if (steps.length) traffic.value = steps[0];
  form.querySelector("[data-traffic-text]").textContent = steps.length
    ? "The ramp decides: this is its first step."
    : "Of these users, the share that takes part. It can be raised later, and nobody who is in moves.";
  const layer = form.elements.layer.value.trim();
  const wanted = Math.max(Number(traffic.value) || 0, ...steps);
  let text = "Experiments of one layer share its users out: nobody is in two of them. A new name makes a new layer.";
  let tight = false;
  for (const button of form.querySelectorAll("[data-layer]")) {
    const chosen = button.dataset.layer === layer;
    button.setAttribute("aria-pressed", String(chosen));
    if (!chosen) continue;
    const largest = Math.round(Number(button.dataset.largest) * 10000) / 100;
    tight = wanted > largest;
    text = tight
      ? `No room: the largest free piece of ${layer} is ${largest} %, and this experiment needs ${wanted} %. It can be kept as a draft until there is.`
      : `Fits: it takes ${wanted} % of ${layer} when it starts; the largest free piece is ${largest} %.`;
  }
  const note = form.querySelector("[data-layer-text]");
  note.textContent = text;
  note.classList.toggle("tone-worse", tight);
}
