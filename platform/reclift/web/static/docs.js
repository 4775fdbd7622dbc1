// The API's page: opens what an address points to, marks in the contents where one is, opens or closes everything.

const folds = [...document.querySelectorAll("details.fold")];
const groups = [...document.querySelectorAll("details.nav-group")];
const all = document.querySelector("[data-fold-all]");

function openTarget() {
  const name = decodeURIComponent(location.hash.slice(1));
  const target = name && document.getElementById(name);
  if (!target) return;
  const fold = target.querySelector(":scope > details.fold") ?? target.closest("details.fold");
  if (fold && !fold.open) {
    fold.open = true;
    target.scrollIntoView();
  }
  mark(name);
}

function mark(name) {
  for (const link of document.querySelectorAll(".docs-side a, .docs-contents a")) {
    if (link.getAttribute("href") === `#${name}`) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
  }
  for (const group of groups) {
    const here = group.dataset.group === name || group.querySelector(`a[href="#${CSS.escape(name)}"]`);
    if (here) group.open = true;
  }
}

// a link in the contents' headings leads there, the rest of the heading folds
for (const link of document.querySelectorAll(".nav-group > summary a")) {
  link.addEventListener("click", () => { link.closest("details").open = true; });
}

// on the phone the contents close once one has chosen
const short = document.querySelector("details.docs-contents");
short?.addEventListener("click", (event) => {
  if (event.target.closest("a")) short.open = false;
});

const seen = new IntersectionObserver((entries) => {
  const inside = entries.filter((entry) => entry.isIntersecting);
  const first = inside.find((entry) => entry.target.matches(".fold-item")) ?? inside[0];
  if (first) mark(first.target.id);
}, { rootMargin: "-72px 0px -75% 0px" });
for (const section of document.querySelectorAll(".docs-main > section[id], .fold-item")) seen.observe(section);

all.hidden = false;
all.addEventListener("click", () => {
  const open = all.getAttribute("aria-pressed") === "false";
  for (const fold of folds) fold.open = open;
  all.setAttribute("aria-pressed", String(open));
  all.textContent = open ? "Close all" : "Open all";
});

window.addEventListener("hashchange", openTarget);
openTarget();
