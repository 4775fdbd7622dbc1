// While models are trained or strategies are evaluated: shows what came of it, without taking away what is being typed.

const notice = document.querySelector("[data-state-at]");
let typed = false;
document.addEventListener("input", () => { typed = true; });
if (notice && !notice.hidden) setTimeout(look, 2000);

async function look() {
  try {
    const answer = await fetch(notice.dataset.stateAt, { headers: { Accept: "application/json" } });
    const found = await answer.json();
    if (found.state !== notice.dataset.state) {
      if (!typed && !document.querySelector("details.params[open]")) {
        location.reload();
        return;
      }
      const link = document.createElement("a");
      link.href = location.pathname;
      link.textContent = "Show it";
      const said = document.createElement("p");
      said.append("There is something new on this page. ", link, " (what you typed here goes).");
      notice.querySelector("[data-work]").replaceChildren(said);
      return;
    }
  } catch {
    // the server does not answer or the session ended: the next try may
  }
  setTimeout(look, document.hidden ? 15000 : 3000);
}

// The command that does what the form would.
const command = document.querySelector("[data-command]");
const form = command?.closest("form");
form?.addEventListener("change", say);
if (form) say();

function say() {
  const data = new FormData(form);
  const words = ["reclift evaluate", ...data.getAll("strategies")];
  if (data.get("split") !== "temporal") words.push("--split", data.get("split"));
  if (data.get("fallback")) words.push("--fallback", data.get("fallback"));
  command.textContent = words.join(" ");
}
