// One listener for all buttons, present and to come: the picker's content is replaced, its element stays. The face that
// was clicked keeps the focus, or somebody with a keyboard would start from the top of the page each time.
let last = null;
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-face], button[data-remove], button[data-everybody]");
  if (!button) return;
  if (button.dataset.remove !== undefined) return trigger("remove", { photo: Number(button.dataset.remove) });
  last = button.dataset.at;
  if (button.dataset.everybody !== undefined) return trigger("everybody", {});
  trigger("select", { face: Number(button.dataset.face) });
});
watch("value", () => {
  if (last === null) return;
  element.querySelector(`button[data-at="${last}"]`)?.focus({ preventScroll: true });
  last = null;
});
