// One listener for all buttons, present and to come: the picker's content is replaced, its element stays. The face that
// was clicked keeps the focus, or somebody with a keyboard would start from the top of the page each time.
let last = null;
// Faces are told by their image: their numbers may change before a click has its turn.
const imageOf = (button) => button.closest(".hf-one")?.querySelector(".hf-face img").src;
element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-face], button[data-remove], button[data-everybody]");
  if (!button || event.detail > 1) return;  // a double click is one click
  const image = imageOf(button);
  const number = (what) => [...element.querySelectorAll(`button[data-${what}]`)].find((one) => imageOf(one) === image)?.dataset[what];
  const send = (name, what, key) => hififace.send(trigger, name, () => {
    const found = number(what);
    return found === undefined ? null : { [key]: Number(found) };
  });
  if (button.dataset.remove !== undefined) return send("remove", "remove", "photo");
  last = button.dataset.at;
  if (button.dataset.everybody !== undefined) return hififace.send(trigger, "everybody", () => ({}));
  send("select", "face", "face");
});
watch("value", () => {
  if (last === null) return;
  element.querySelector(`button[data-at="${last}"]`)?.focus({ preventScroll: true });
  last = null;
});
