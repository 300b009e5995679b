// A head that opens and closes what lies below it. Only the button's state changes: `page.css` hides by it.
element.addEventListener("click", (event) => {
  const head = event.target.closest(".hf-fold-head");
  head?.setAttribute("aria-expanded", head.getAttribute("aria-expanded") !== "true");
});
