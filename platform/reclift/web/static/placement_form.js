// The parameters on a placement's form are those of the strategy that is chosen.

const form = document.getElementById("placement-form");
form.elements.strategy.addEventListener("change", () => {
  const template = document.getElementById(`params-${form.elements.strategy.value}`);
  form.querySelector("[data-params]").replaceChildren(...(template ? [template.content.cloneNode(true)] : []));
});
