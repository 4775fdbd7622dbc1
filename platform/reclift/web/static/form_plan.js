// Sizes, duration and check-list: asked anew from the server a moment after something changed.

const WAIT = 450;

export function livePlan(form) {
  const place = form.querySelector("[data-plan]");
  const answer = place.querySelector("[data-plan-answer]");
  const summary = form.querySelector('[data-sum="plan"]');
  let timer = 0;
  let running = null;

  async function fetchPlan() {
    running?.abort();
    const mine = (running = new AbortController());
    place.classList.add("asking");
    try {
      const got = await fetch(place.dataset.plan, { method: "POST", body: new FormData(form), signal: mine.signal });
      if (!got.ok || got.redirected) throw new Error(got.redirected ? "you are signed out" : `the server answered ${got.status}`);
      const text = await got.text();
      if (mine !== running) return;
      answer.innerHTML = text;
      const says = answer.querySelector("[data-plan-says]");
      const open = answer.querySelectorAll(".before .look, .before .bad").length;
      summary.hidden = false;
      summary.textContent = `${says.textContent.trim()}${open ? ` ${open} of the check-list to look at.` : ""}`;
    } catch (error) {
      if (error.name === "AbortError") return;
      answer.textContent = `Sizes are not computed now: ${error.message}.`;
      summary.hidden = true;
    } finally {
      if (mine === running) place.classList.remove("asking");
    }
  }
  return {
    ask() {
      clearTimeout(timer);
      timer = setTimeout(fetchPlan, WAIT);
    },
  };
}
