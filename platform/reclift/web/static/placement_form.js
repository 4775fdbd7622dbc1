// The parameters on a placement's form are those of the strategy that is chosen; what was typed for another one comes back with it.

const form = document.getElementById("placement-form");
const place = form.querySelector("[data-params]");
const typed = new Map();
let chosen = form.elements.strategy.value;

form.elements.strategy.addEventListener("change", () => {
  typed.set(chosen, [...place.childNodes]);
  chosen = form.elements.strategy.value;
  const template = document.getElementById(`params-${chosen}`);
  place.replaceChildren(...(typed.get(chosen) ?? (template ? [template.content.cloneNode(true)] : [])));
});
