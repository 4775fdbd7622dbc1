// Draws the figures of a page. Figures are data; their colours and fonts are names of design tokens, resolved here,
// so that they follow dark and light.

const source = document.getElementById("figures");
const figures = source ? JSON.parse(source.textContent) : {};
const narrow = window.matchMedia("(max-width: 640px)");
const TOKEN = /^var\((--[\w-]+)\)$/;

function resolve(value, styles) {
  if (typeof value === "string") {
    const token = TOKEN.exec(value);
    return token ? styles.getPropertyValue(token[1]).trim() : value;
  }
  if (Array.isArray(value)) return value.map((one) => resolve(one, styles));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, resolve(one, styles)]));
  }
  return value;
}

function draw(place) {
  const figure = figures[place.dataset.figure];
  if (!figure) return;
  const drawn = resolve(figure, getComputedStyle(document.documentElement));
  if (narrow.matches) {
    drawn.layout.height = Math.max(320, drawn.layout.height);
    if (drawn.layout.xaxis.type === "date" && drawn.layout.xaxis.dtick) drawn.layout.xaxis.dtick *= 2;
    else if (!drawn.layout.xaxis.dtick) drawn.layout.xaxis.nticks = 5;
    if (drawn.layout.yaxis.ticktext) {
      drawn.layout.yaxis.ticktext = drawn.layout.yaxis.ticktext.map((text) => text.replace("</b>  ", "</b><br>"));
      drawn.layout.yaxis.tickfont.size = 11;
    }
  }
  window.Plotly.react(place, drawn.data, drawn.layout, { displayModeBar: false, responsive: true });
}

function drawAll() {
  for (const place of document.querySelectorAll("[data-figure]")) draw(place);
}

// buttons and selects that choose which figure stands in a place
for (const group of document.querySelectorAll("[data-switches]")) {
  const place = document.getElementById(group.dataset.switches);
  group.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-show]");
    if (!button) return;
    for (const other of group.querySelectorAll("button")) {
      other.setAttribute("aria-pressed", String(other === button));
    }
    place.dataset.figure = button.dataset.show;
    for (const note of document.querySelectorAll(`[data-note-for="${place.id}"]`)) {
      note.hidden = note.dataset.note !== button.dataset.show;
    }
    draw(place);
  });
}

window.addEventListener("reclift:theme", drawAll);
narrow.addEventListener("change", drawAll);
drawAll();
