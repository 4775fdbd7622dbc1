// What is typed is kept in this browser until the server has it.

export function drafts(form) {
  const storageKey = `reclift-draft:${form.dataset.draft}`;
  let timer = 0;

  const typedNow = () => JSON.stringify([...new FormData(form)].filter(([field]) => field !== "csrf_token" && field !== "version"));

  function say(text) {
    form.querySelector("[data-saved]").hidden = false;
    form.querySelector("[data-saved-text]").textContent = text;
  }
  function store() {
    clearTimeout(timer);
    timer = 0;
    try {
      localStorage.setItem(storageKey, typedNow());
      say(`Kept in this browser at ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}.`);
    } catch {
      say("This browser keeps nothing: do not leave before you create the draft.");
    }
  }
  window.addEventListener("pagehide", () => { if (timer) store(); }); // the last word typed before one leaves

  return {
    say,
    keep() {
      clearTimeout(timer);
      timer = setTimeout(store, 400);
    },
    stored() {
      try {
        return JSON.parse(localStorage.getItem(storageKey));
      } catch {
        return null; // switched off, or not ours
      }
    },
    differs: (typed) => JSON.stringify(typed) !== typedNow(),
    forget() {
      clearTimeout(timer);
      timer = 0;
      try {
        localStorage.removeItem(storageKey);
      } catch {
        // nothing was kept
      }
    },
    sent() {
      try {
        sessionStorage.setItem("reclift-sent", storageKey); // frame.js forgets the draft once the experiment is there
      } catch {
        // then it is offered again, which does no harm
      }
    },
  };
}
