// The experiment form: key from name, arms and conditions that come and go, parameters of the chosen strategy,
// steps that are checked when left, a summary in sight, and a draft that is kept in this browser as one types.

const form = document.getElementById("experiment-form");
if (form) start();

function start() {
  const arms = document.getElementById("arms");
  const conditions = document.getElementById("conditions");
  const name = form.elements.name;
  const key = form.elements.key;
  const storageKey = `reclift-draft:${form.dataset.draft}`;
  const left = new Set(); // steps that were left at least once
  let keyIsOwn = key.readOnly || (key.value !== "" && key.value !== slug(name.value));
  form.noValidate = true; // this script says what is wrong, beside the field
  form.querySelector("[data-needs-script]").hidden = false;

  // ---- parts that come and go
  const next = (parent, attribute) => Math.max(-1, ...[...parent.querySelectorAll(`[name$="-${attribute}"]`)].map((f) => Number(f.name.split("-")[1]))) + 1;

  function fromTemplate(id, number) {
    const holder = document.createElement("div");
    holder.innerHTML = document.getElementById(id).innerHTML.replaceAll("__n__", String(number));
    return holder;
  }
  function addArm() {
    arms.append(...fromTemplate("arm-template", next(arms, "key")).children);
    return arms.lastElementChild;
  }
  function addCondition() {
    conditions.append(...fromTemplate("condition-template", next(conditions, "attribute")).children);
    return conditions.lastElementChild;
  }
  function showParams(box) {
    const strategy = field(box, "strategy").value;
    const place = box.querySelector("[data-params]");
    const template = strategy && document.getElementById(`params-${strategy}`);
    place.replaceChildren(...(template ? fromTemplate(template.id, box.dataset.arm).childNodes : []));
  }
  const boxes = () => [...arms.querySelectorAll("[data-arm]")];
  const field = (box, what) => box.querySelector(`[name="arms-${box.dataset.arm}-${what}"]`);
  const armName = (box) => field(box, "key").value.trim() || slug(field(box, "strategy").value);
  const isControl = (box) => box.querySelector('[name="control"]').checked;

  function splitEvenly() {
    const all = boxes();
    const share = Math.floor(10000 / all.length) / 100;
    all.forEach((box, n) => { field(box, "weight").value = n ? share : Math.round((100 - share * (all.length - 1)) * 100) / 100; });
  }

  // ---- checking
  function ruleOf(input) {
    const v = input.validity;
    if (v.valueMissing) return "is needed";
    if (v.patternMismatch) return "must be of a-z, 0-9, '_' and '-', beginning with a letter or digit";
    if (v.rangeUnderflow) return `must be at least ${input.min}`;
    if (v.rangeOverflow) return `must be at most ${input.max}`;
    if (v.stepMismatch) return "must be a whole number";
    if (v.tooShort) return `must have at least ${input.minLength} characters`;
    return v.badInput ? "must be a number" : "is not right";
  }
  function mark(input, rule) {
    input.classList.toggle("is-invalid", Boolean(rule));
    const holder = input.closest(".field") ?? input.parentElement;
    holder.querySelectorAll(".error").forEach((old) => old.remove());
    if (rule) {
      const note = document.createElement("div");
      note.className = "error";
      note.textContent = input.value ? `“${input.value}” ${rule}` : `This ${rule}`;
      holder.append(note);
    }
  }
  function armsRule() {
    const all = boxes();
    if (all.length < 2) return "There must be at least two arms: a control and one to compare.";
    if (!all.some(isControl)) return "One arm must be the control.";
    const names = all.map(armName).filter(Boolean);
    if (new Set(names).size < names.length) return `Two arms have the name “${names.find((n, i) => names.indexOf(n) < i)}”.`;
    const sum = all.reduce((total, box) => total + Number(field(box, "weight").value), 0);
    return Math.abs(sum - 100) > 0.05 ? `Weights add up to ${Math.round(sum * 100) / 100} %; they must add up to 100 %.` : "";
  }
  function check(step, show) {
    let good = true;
    for (const input of step.querySelectorAll("input, select, textarea")) {
      if (!input.willValidate || input.type === "radio" || input.type === "checkbox") continue;
      const rule = input.checkValidity() ? "" : ruleOf(input);
      if (rule) good = false;
      if (show) mark(input, rule);
    }
    if (step.dataset.step === "arms") {
      const rule = armsRule();
      const note = step.querySelector("[data-arms-error]");
      if (rule) good = false;
      if (show) {
        note.hidden = !rule;
        note.querySelector("span").textContent = rule;
      }
    }
    if (show) {
      step.classList.toggle("bad", !good);
      step.classList.toggle("good", good);
      const line = form.querySelector(`[data-check="${step.dataset.step}"]`);
      line.classList.toggle("bad", !good);
      line.classList.toggle("good", good);
    }
    return good;
  }
  function recheck() {
    for (const step of form.querySelectorAll("[data-step]")) if (left.has(step.dataset.step)) check(step, true);
  }

  // ---- summary
  function summarise() {
    const say = (what) => form.querySelector(`[data-sum="${what}"]`);
    say("name").textContent = name.value || "Without a name yet";
    say("key").textContent = key.value;
    const bar = say("bar");
    const list = say("arms");
    bar.replaceChildren();
    list.replaceChildren();
    let colour = 0;
    const traffic = Number(form.elements.traffic.value) || 0;
    for (const box of boxes()) {
      const token = isControl(box) ? "control" : (colour++ % 7) + 1;
      box.querySelector("[data-swatch]").className = `arm arm-${token}`;
      box.querySelector("[data-arm-title]").textContent = armName(box) || "New arm";
      const weight = Math.max(0, Number(field(box, "weight").value) || 0);
      const part = document.createElement("i");
      part.className = `arm-${token}`;
      part.style.width = `${weight}%`;
      bar.append(part);
      const row = document.createElement("div");
      row.className = "d-flex justify-content-between gap-2";
      row.innerHTML = `<span class="arm arm-${token}"><i></i><span></span></span><span class="num muted"></span>`;
      row.querySelector(".arm span").textContent = armName(box) || "New arm";
      row.lastElementChild.textContent = `${Math.round(weight * traffic) / 100} % of users`;
      list.append(row);
    }
    const place = form.elements.placement.selectedOptions[0]?.textContent ?? "";
    const days = form.elements.planned_days.value;
    const primary = form.elements.primary.selectedOptions[0]?.textContent ?? "no metric";
    say("text").textContent = `On ${place}, decided by ${primary}${days ? `, for ${days} days` : ""}.`;
    const text = form.querySelector(`[name="secondary"][value="${CSS.escape(form.elements.primary.value)}"]`)?.dataset.text;
    form.querySelector("[data-metric-text]").textContent = text ?? "";
  }

  // a metric has one role
  function oneRole(changed) {
    for (const box of form.querySelectorAll('[name="secondary"], [name="guardrails"]')) {
      const primary = box.value === form.elements.primary.value;
      box.disabled = primary;
      if (primary || (changed?.checked && box !== changed && box.value === changed.value && box.name !== changed.name)) {
        box.checked = false;
      }
    }
  }

  // ---- the draft in this browser
  let timer = 0;
  function keep() {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const typed = [...new FormData(form)].filter(([field]) => field !== "csrf_token" && field !== "version");
      try {
        localStorage.setItem(storageKey, JSON.stringify(typed));
        saved(`Kept in this browser at ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}.`);
      } catch {
        saved("This browser keeps nothing: do not leave before you create the draft.");
      }
    }, 400);
  }
  function saved(text) {
    form.querySelector("[data-saved]").hidden = false;
    form.querySelector("[data-saved-text]").textContent = text;
  }
  function stored() {
    try {
      return JSON.parse(localStorage.getItem(storageKey));
    } catch {
      return null; // switched off, or not ours
    }
  }
  function forget() {
    clearTimeout(timer);
    try {
      localStorage.removeItem(storageKey);
    } catch {
      // nothing was kept
    }
  }
  function restore(typed) {
    const numbers = (group, what) => typed.map(([field]) => new RegExp(`^${group}-(\\d+)-${what}$`).exec(field)?.[1]).filter(Boolean);
    arms.replaceChildren();
    for (const number of numbers("arms", "key")) arms.append(...fromTemplate("arm-template", number).children);
    conditions.replaceChildren();
    for (const number of numbers("audience", "attribute")) conditions.append(...fromTemplate("condition-template", number).children);
    const set = (wanted) => {
      for (const [field, value] of typed) {
        if (!wanted(field)) continue;
        for (const input of form.querySelectorAll(`[name="${CSS.escape(field)}"]`)) {
          if (input.type === "checkbox" || input.type === "radio") {
            if (input.value === value || value === "on") input.checked = true;
          } else input.value = value;
        }
      }
    };
    form.querySelectorAll('[type="checkbox"]').forEach((box) => { box.checked = false; });
    set((field) => !field.includes("-params-"));
    for (const box of boxes()) {
      showParams(box);
      box.querySelectorAll('[data-params] [type="checkbox"]').forEach((one) => { one.checked = false; });
    }
    set((field) => field.includes("-params-"));
    keyIsOwn = key.value !== slug(name.value);
    saved("What you typed before is back.");
  }

  // ---- events
  form.addEventListener("input", (event) => {
    if (event.target === name && !keyIsOwn) key.value = slug(name.value);
    if (event.target === key) keyIsOwn = key.value !== "";
    if (event.target.classList.contains("is-invalid")) mark(event.target, event.target.checkValidity() ? "" : ruleOf(event.target));
    summarise();
    keep();
  });
  form.addEventListener("change", (event) => {
    const box = event.target.closest("[data-arm]");
    if (box && event.target === field(box, "strategy")) showParams(box);
    oneRole(event.target.matches('[type="checkbox"]') ? event.target : null);
    summarise();
    recheck();
  });
  form.addEventListener("click", (event) => {
    const button = event.target.closest("button[type=button]");
    if (!button) return;
    if (button.matches("[data-add-arm]")) {
      const box = addArm();
      splitEvenly();
      field(box, "strategy").focus();
    } else if (button.matches("[data-remove-arm]")) {
      const was = isControl(button.closest("[data-arm]"));
      button.closest("[data-arm]").remove();
      if (was && boxes()[0]) boxes()[0].querySelector('[name="control"]').checked = true;
      if (boxes().length) splitEvenly();
    } else if (button.matches("[data-even]")) splitEvenly();
    else if (button.matches("[data-add-condition]")) addCondition().querySelector("input").focus();
    else if (button.matches("[data-remove-condition]")) button.closest("[data-condition]").remove();
    else if (button.matches("[data-discard]")) {
      forget();
      location.reload();
      return;
    } else return;
    summarise();
    recheck();
    keep();
  });
  // A step is checked when left. While a pointer is down nothing may move, else the click would miss its button.
  let pressed = false;
  const waiting = new Set();
  function checkLeft() {
    for (const step of waiting) {
      left.add(step.dataset.step);
      check(step, true);
    }
    waiting.clear();
  }
  document.addEventListener("pointerdown", () => { pressed = true; }, true);
  for (const end of ["pointerup", "pointercancel"]) {
    document.addEventListener(end, () => { pressed = false; setTimeout(checkLeft); }, true);
  }
  form.addEventListener("focusout", (event) => {
    const step = event.target.closest("[data-step]");
    const to = event.relatedTarget;
    if (!step || !to || step.contains(to)) return; // without a target the window lost focus: the step is not left
    waiting.add(step);
    if (!pressed) checkLeft();
  });
  form.addEventListener("submit", (event) => {
    const steps = [...form.querySelectorAll("[data-step]")];
    steps.forEach((step) => left.add(step.dataset.step));
    const wrong = steps.filter((step) => !check(step, true));
    if (wrong.length) {
      event.preventDefault();
      const first = wrong[0].querySelector(".is-invalid") ?? wrong[0].querySelector("input, select");
      first.closest("details")?.setAttribute("open", "");
      first.focus();
      wrong[0].scrollIntoView({ block: "start" });
      return;
    }
    try {
      sessionStorage.setItem("reclift-sent", storageKey); // frame.js forgets the draft once the experiment is there
    } catch {
      // then it is offered again, which does no harm
    }
  });

  const typed = "fresh" in form.dataset ? stored() : null;
  if (typed) restore(typed);
  oneRole();
  summarise();
}

function slug(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64).replace(/-+$/, "");
}
