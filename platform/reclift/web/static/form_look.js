// "Preview as a user" without leaving the form: the lists are shown below the button.

export function lookAs(button, data) {
  if (!button) return;
  const place = button.closest("[data-as-user]");
  const answer = place.querySelector("[data-look-answer]");

  async function show() {
    button.disabled = true;
    answer.textContent = "Asking the strategies …";
    try {
      const got = await fetch(place.dataset.asUser, { method: "POST", body: data(), headers: { "X-Part": "1" } });
      if (!got.ok || got.redirected) throw new Error(got.redirected ? "you are signed out" : `the server answered ${got.status}`);
      answer.innerHTML = await got.text();
    } catch (error) {
      answer.textContent = `The lists cannot be shown now: ${error.message}.`;
    } finally {
      button.disabled = false;
    }
  }
  button.addEventListener("click", (event) => {
    event.preventDefault();
    show();
  });
  place.addEventListener("keydown", (event) => {
    // Enter in a field here shows the lists; it must not send the whole form
    if (event.key === "Enter" && event.target.matches("input")) {
      event.preventDefault();
      show();
    }
  });
}
