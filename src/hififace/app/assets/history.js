// Results of this visit. A file that was packed on demand is fetched at once.
element.addEventListener("click", (event) => {
  if (event.target.closest("[data-do=all]")) trigger("all", {});
});
watch("value", () => {
  const packed = element.querySelector("a[data-go]");
  if (packed) packed.click();
});
