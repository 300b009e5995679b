// Two handles on one track: where the result begins and ends.
const ends = () => [...element.querySelectorAll("input[type=range]")];
const clock = (seconds) => `${Math.floor(seconds / 60)}:${(seconds % 60).toFixed(1).padStart(4, "0")}`;
const draw = () => {
  const [from, to] = ends();
  if (!from) return;
  const last = Number(from.max) || 1;
  const kept = element.querySelector(".hf-kept-part");
  kept.style.left = `${(100 * from.value) / last}%`;
  kept.style.right = `${100 - (100 * to.value) / last}%`;
  element.querySelector("output").textContent = `${clock(Number(from.value))} to ${clock(Number(to.value))}`;
};
element.addEventListener("input", (event) => {
  const [from, to] = ends();
  const least = 0.1;
  if (event.target === from && from.value > to.value - least) from.value = to.value - least;
  if (event.target === to && Number(to.value) < Number(from.value) + least) to.value = Number(from.value) + least;
  draw();
});
// Buttons read the handles themselves (`ui_video.py`); this only tells the server that a result is out of date now.
const SETTLED_MS = 250;
let moved = 0;
const part = () => {
  const [from, to] = ends();
  return from ? { start_s: Number(from.value), end_s: Number(to.value) } : null;
};
element.addEventListener("change", (event) => {
  event.stopPropagation();
  clearTimeout(moved);
  moved = setTimeout(() => hififace.send(trigger, "trimmed", part), SETTLED_MS);
});
watch("value", draw);
draw();
