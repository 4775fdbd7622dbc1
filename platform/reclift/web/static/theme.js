// Sets dark or light before anything is painted; so this one is not a module and not deferred.
(function () {
  "use strict";
  const root = document.documentElement;
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  function chosen() {
    try {
      return localStorage.getItem("reclift-theme");
    } catch {
      return null; // storage is switched off: follow the system
    }
  }
  function apply() {
    const theme = chosen() || (system.matches ? "dark" : "light");
    if (root.dataset.bsTheme !== theme) {
      root.dataset.bsTheme = theme;
      window.dispatchEvent(new CustomEvent("reclift:theme"));
    }
  }
  system.addEventListener("change", apply);
  window.addEventListener("storage", apply);
  apply();
})();
