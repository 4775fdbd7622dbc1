// The frame on every page: theme switch, sheet, dialogs that ask, menus that close, copying.

const root = document.documentElement;

document.addEventListener("click", (event) => {
  const target = event.target.closest("[data-theme-switch], [data-open], [data-ask], [data-close], [data-copy]");
  if (target?.matches("[data-theme-switch]")) {
    const theme = root.dataset.bsTheme === "dark" ? "light" : "dark";
    root.dataset.bsTheme = theme;
    try {
      localStorage.setItem("reclift-theme", theme);
    } catch {
      // storage is switched off: the choice lasts for this page
    }
    window.dispatchEvent(new CustomEvent("reclift:theme"));
  } else if (target?.matches("[data-open], [data-ask]")) {
    // a link that asks first goes to a page of its own without this script
    const dialog = document.getElementById(target.dataset.open ?? target.dataset.ask);
    if (dialog) {
      event.preventDefault();
      dialog.showModal();
    }
  } else if (target?.matches("[data-close]") && target.closest("dialog")) {
    event.preventDefault();
    target.closest("dialog").close();
  } else if (target?.matches("[data-copy]")) {
    copy(target);
  }
  for (const open of document.querySelectorAll("details.help[open], details.menu[open]")) {
    if (!open.contains(event.target)) open.open = false;
  }
  if (event.target instanceof HTMLDialogElement) event.target.close(); // a click on the backdrop
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  for (const open of document.querySelectorAll("details.help[open], details.menu[open]")) {
    open.open = false;
    open.querySelector("summary").focus();
  }
});

// a form is sent once, however often one clicks while its answer is on the way
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.getAttribute("method")?.toLowerCase() !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  setTimeout(() => { delete form.dataset.sent; }, 8000); // the answer may never come
});
window.addEventListener("pageshow", () => { // also when one goes back to it
  for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
});

// what was typed into a form is forgotten once the server has taken it, that is, on the page of the experiment
try {
  const sent = sessionStorage.getItem("reclift-sent");
  if (sent) {
    sessionStorage.removeItem("reclift-sent");
    if (/\/experiments\/[^/]+$/.test(location.pathname) && !location.pathname.endsWith("/new")) localStorage.removeItem(sent);
  }
} catch {
  // storage is switched off: nothing was kept
}

async function copy(button) {
  const source = document.getElementById(button.dataset.copy);
  const text = source ? source.textContent : location.href;
  const label = button.querySelector("span") ?? button;
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(text);
    label.textContent = "Copied";
  } catch {
    const range = document.createRange();
    if (source) {
      range.selectNodeContents(source);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
    }
    label.textContent = source ? "Selected: press Ctrl+C" : "Copy the address bar";
  }
  setTimeout(() => { label.textContent = before; }, 2500);
}
