// The head of the page: which tab is shown, light or dark. Both stay over a reload of this tab.
const desk = () => document.querySelector("#desk");
const show = (tab, focus) => {
  const page = desk();
  if (!page) return;
  page.dataset.tab = tab;
  sessionStorage.setItem("hififace-shown", tab);
  for (const button of element.querySelectorAll("[role=tab]")) {
    const chosen = button.dataset.tab === tab;
    button.setAttribute("aria-selected", chosen);
    button.tabIndex = chosen ? 0 : -1;
    if (chosen && focus) button.focus();
  }
  for (const name of ["photo", "video", "live"]) {
    const panel = document.querySelector(`#${name}-stage`);
    panel?.setAttribute("role", "tabpanel");
    panel?.setAttribute("aria-label", name);
  }
};
element.addEventListener("click", (event) => {
  const tab = event.target.closest("[role=tab]");
  if (tab) show(tab.dataset.tab);
  if (event.target.closest("[data-do=theme]")) {
    const dark = document.body.classList.toggle("dark");
    localStorage.setItem("hififace-theme", dark ? "dark" : "light");
  }
});
element.addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step || !event.target.matches("[role=tab]")) return;
  const tabs = [...element.querySelectorAll("[role=tab]")];
  const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
  show(next.dataset.tab, true);
});
const asked = new URLSearchParams(location.search).get("__theme");
const theme = asked ?? localStorage.getItem("hififace-theme");
if (theme) document.body.classList.toggle("dark", theme === "dark");
const begin = () => (desk() ? show(sessionStorage.getItem("hififace-shown") ?? "photo") : setTimeout(begin, 30));
begin();
