// What is typed is kept in this browser until the server has it.

export function drafts(form) {
  const storageKey = `reclift-draft:${form.dataset.draft}`;
  let timer = 0;

  function say(text) {
    form.querySelector("[data-saved]").hidden = false;
    form.querySelector("[data-saved-text]").textContent = text;
  }
  return {
    say,
    keep() {
      clearTimeout(timer);
      timer = setTimeout(() => {
        const typed = [...new FormData(form)].filter(([field]) => field !== "csrf_token" && field !== "version");
        try {
          localStorage.setItem(storageKey, JSON.stringify(typed));
          say(`Kept in this browser at ${new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}.`);
        } catch {
          say("This browser keeps nothing: do not leave before you create the draft.");
        }
      }, 400);
    },
    stored() {
      try {
        return JSON.parse(localStorage.getItem(storageKey));
      } catch {
        return null; // switched off, or not ours
      }
    },
    forget() {
      clearTimeout(timer);
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
