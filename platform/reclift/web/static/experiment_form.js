// The experiment form: key from name, arms and rows that come and go, parameters of the chosen strategy, steps that are
// checked when left, a summary in sight, and a draft that is kept in this browser as one types.

import { checkStep, mark, ruleOf } from "./form_check.js";
import { drafts } from "./form_draft.js";
import { lookAs } from "./form_look.js";
import { livePlan } from "./form_plan.js";
import { addRow, fromTemplate, nextNumber, offerGroups, restoreRows, rowsOf, showTraffic } from "./form_rows.js";

const form = document.getElementById("experiment-form");
if (form) start();

function start() {
  const arms = document.getElementById("arms");
  const name = form.elements.name;
  const key = form.elements.key;
  const draft = drafts(form);
  const plan = livePlan(form);
  const left = new Set(); // steps that were left at least once
  let keyIsOwn = key.readOnly || (key.value !== "" && key.value !== slug(name.value));
  form.noValidate = true; // this script says what is wrong, beside the field
  form.querySelector("[data-needs-script]").hidden = false;

  // ---- parts that come and go
  function addArm() {
    arms.append(...fromTemplate("arm-template", nextNumber(arms)).children);
    return arms.lastElementChild;
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
  function armsRule() {
    const all = boxes();
    if (all.length < 2) return "There must be at least two arms: a control and one to compare.";
    if (!all.some(isControl)) return "One arm must be the control.";
    const names = all.map(armName).filter(Boolean);
    if (new Set(names).size < names.length) return `Two arms have the name “${names.find((n, i) => names.indexOf(n) < i)}”.`;
    const sum = all.reduce((total, box) => total + Number(field(box, "weight").value), 0);
    return Math.abs(sum - 100) > 0.05 ? `Weights add up to ${Math.round(sum * 100) / 100} %; they must add up to 100 %.` : "";
  }
  const check = (step, show) => checkStep(step, show, armsRule);
  function recheck() {
    for (const step of form.querySelectorAll("[data-step]")) if (left.has(step.dataset.step)) check(step, true);
  }

  // ---- summary
  function summarise() {
    showTraffic(form);
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
    document.getElementById("arm-names").replaceChildren(...boxes().map((box) => new Option("", armName(box))));
    const beside = form.elements.layer.value.trim();
    say("text").textContent = `On ${place}${beside ? ` in the layer ${beside}` : ""}, decided by ${primary}${days ? `, for ${days} days` : ""}.`;
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
  const ofStrategy = /^arms-\d+-(params-|model$)/; // fields that are there once the strategy is chosen
  const openIfFilled = (part) => { part.open ||= [...part.querySelectorAll('[name$="-model"], [name$="-balance"], [name$="-category_cap"]')].some((one) => one.value); };
  function restore(typed) {
    arms.replaceChildren();
    for (const [field] of typed) {
      const number = /^arms-(\d+)-key$/.exec(field)?.[1];
      if (number) arms.append(...fromTemplate("arm-template", number).children);
    }
    restoreRows(form, typed);
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
    set((field) => !ofStrategy.test(field));
    for (const box of boxes()) {
      showParams(box);
      box.querySelectorAll('[data-params] [type="checkbox"]').forEach((one) => { one.checked = false; });
    }
    set((field) => ofStrategy.test(field));
    form.querySelectorAll(".arm-box details").forEach(openIfFilled);
    keyIsOwn = key.value !== slug(name.value);
    draft.say("What you typed before is back.");
  }

  // ---- events
  form.addEventListener("input", (event) => {
    if (event.target === name && !keyIsOwn) key.value = slug(name.value);
    if (event.target === key) keyIsOwn = key.value !== "";
    if (event.target.classList.contains("is-invalid")) mark(event.target, event.target.checkValidity() ? "" : ruleOf(event.target));
    summarise();
    draft.keep();
    plan.ask();
  });
  form.addEventListener("change", (event) => {
    const box = event.target.closest("[data-arm]");
    if (box && event.target === field(box, "strategy")) showParams(box);
    const row = event.target.closest("[data-row]");
    if (row) offerGroups(row);
    oneRole(event.target.matches('[type="checkbox"]') ? event.target : null);
    summarise();
    recheck();
    plan.ask();
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
    else if (button.matches("[data-add]")) addRow(form, button.dataset.add, JSON.parse(button.dataset.values ?? "{}")).querySelector("input").focus();
    else if (button.matches("[data-remove-row]")) button.closest("[data-row]").remove();
    else if (button.matches("[data-layer]")) {
      const layer = form.elements.layer;
      layer.value = layer.value === button.dataset.layer ? "" : button.dataset.layer;
    } else if (button.matches("[data-ramp]")) {
      rowsOf(form, "ramp").forEach((row) => row.remove());
      for (const step of button.dataset.ramp.split(" ")) {
        const [traffic, hours] = step.split("@");
        addRow(form, "ramp", { traffic, hours });
      }
    } else if (button.matches("[data-use-days]")) {
      form.elements.planned_days.value = button.dataset.useDays;
      mark(form.elements.planned_days, "");
    } else if (button.matches("[data-discard]")) {
      draft.forget();
      location.reload();
      return;
    } else return;
    summarise();
    recheck();
    draft.keep();
    plan.ask();
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
    if (event.submitter?.matches("[data-look]")) return; // form_look.js shows the lists
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
    draft.sent();
  });

  const typed = "fresh" in form.dataset ? draft.stored() : null;
  if (typed) restore(typed);
  form.querySelectorAll("[data-row]").forEach(offerGroups);
  oneRole();
  summarise();
  plan.ask();
  lookAs(form.querySelector("[data-look]"), () => new FormData(form));
}

function slug(text) {
  return text.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-+|-+$/g, "").slice(0, 64).replace(/-+$/, "");
}
