// After "Compute now": asks until the new report is there, then shows it; says so when the job fails or takes long.

const notice = document.querySelector("[data-report-state]");
if (notice) wait(notice, Date.now());

async function wait(notice, since) {
  const said = notice.querySelector("[data-said]");
  try {
    const answer = await fetch(notice.dataset.reportState, { headers: { Accept: "application/json" } });
    const state = await answer.json();
    if (state.computed_at && state.computed_at !== notice.dataset.before) {
      location.replace(notice.dataset.then);
      return;
    }
    if (state.job === "failed") {
      said.textContent = `The report could not be computed: ${state.error ?? "its job failed"}`;
      notice.classList.add("problem");
      return;
    }
    if (state.job === "done" && Date.now() - since > 10_000) {
      said.textContent = "There is nothing new to compute: the report is as before.";
      return;
    }
  } catch {
    said.textContent = "The server does not answer; asking again …";
  }
  if (Date.now() - since > 180_000) said.textContent = "This takes long. Is a worker running? The page of jobs knows.";
  setTimeout(() => wait(notice, since), Date.now() - since > 30_000 ? 5000 : 1000);
}
