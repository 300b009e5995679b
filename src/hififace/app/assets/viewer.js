// Target and result, one over the other: a line between them, zoom about the pointer, the whole screen.
// The line lies in the frame, not in the image, so it stays in reach however far one looks into the image.
const START = 0.06;  // of the image, from its left: the result is what people came for
let line = null, scale = 1, x = 0, y = 0, shown = null;
const MOST = 8;
const find = (what) => element.querySelector(what);
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const apply = () => {
  const frame = find(".hf-canvas"), plane = find(".hf-plane");
  if (!frame || !plane) return;
  const ratio = Number(plane.dataset.width) / Number(plane.dataset.height);
  const width = Math.min(frame.clientWidth, frame.clientHeight * ratio), height = width / ratio;
  if (!width) return;
  const at = line ?? ((frame.clientWidth - width) / 2 + START * width) / frame.clientWidth;
  scale = clamp(scale, 1, MOST);
  const [roomX, roomY] = [Math.max(width * scale - frame.clientWidth, 0) / 2, Math.max(height * scale - frame.clientHeight, 0) / 2];
  x = clamp(x, -roomX, roomX);
  y = clamp(y, -roomY, roomY);
  plane.style.width = `${width}px`;
  plane.style.height = `${height}px`;
  plane.style.transform = `translate(-50%, -50%) translate(${x}px, ${y}px) scale(${scale})`;
  const left = (frame.clientWidth - width * scale) / 2 + x;
  const share = clamp((at * frame.clientWidth - left) / (width * scale), 0, 1);
  const before = find(".hf-before");
  if (before) before.style.clipPath = `inset(0 ${100 - 100 * share}% 0 0)`;
  const divider = find(".hf-divider");
  if (divider) divider.style.left = `${100 * at}%`;
  const range = find(".hf-tools input[type=range]");
  if (range) range.value = Math.round(100 * at);
  const zoom = find(".hf-zoom");
  if (zoom) zoom.textContent = `${Math.round(100 * scale)} %`;
  frame.toggleAttribute("data-zoomed", scale > 1);
};
const zoomAt = (factor, px, py) => {
  const frame = find(".hf-canvas"), box = frame.getBoundingClientRect();
  const [cx, cy] = [(px ?? box.left + box.width / 2) - box.left - box.width / 2, (py ?? box.top + box.height / 2) - box.top - box.height / 2];
  const next = clamp(scale * factor, 1, MOST), ratio = next / scale;
  x = cx - (cx - x) * ratio;
  y = cy - (cy - y) * ratio;
  scale = next;
  apply();
};
const pointers = new Map();
let moving = null, spread = 0;
const gap = () => { const [a, b] = [...pointers.values()]; return Math.hypot(a.x - b.x, a.y - b.y); };
element.addEventListener("pointerdown", (event) => {
  const frame = event.target.closest(".hf-canvas");
  if (!frame || event.target.closest("button")) return;
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (pointers.size === 2) { moving = "pinch"; spread = gap(); return; }
  const onLine = event.target.closest(".hf-divider");
  moving = onLine || (scale === 1 && find(".hf-before")) ? "line" : "plane";
  if (moving === "line" && event.pointerType === "touch" && !onLine) { moving = null; return; }
  frame.setPointerCapture(event.pointerId);
  if (moving === "line") { event.preventDefault(); const box = frame.getBoundingClientRect(); line = clamp((event.clientX - box.left) / box.width, 0, 1); apply(); }
});
element.addEventListener("pointermove", (event) => {
  const from = pointers.get(event.pointerId);
  if (!from || !moving) return;
  const frame = find(".hf-canvas"), box = frame.getBoundingClientRect();
  if (moving === "line") line = clamp((event.clientX - box.left) / box.width, 0, 1);
  if (moving === "plane") { x += event.clientX - from.x; y += event.clientY - from.y; }
  pointers.set(event.pointerId, { x: event.clientX, y: event.clientY });
  if (moving === "pinch" && pointers.size === 2) { const now = gap(); zoomAt(now / spread, event.clientX, event.clientY); spread = now; }
  apply();
});
for (const name of ["pointerup", "pointercancel"])
  element.addEventListener(name, (event) => { pointers.delete(event.pointerId); if (!pointers.size) moving = null; });
element.addEventListener("wheel", (event) => {
  if (!event.target.closest(".hf-canvas") || !(event.ctrlKey || event.metaKey || document.fullscreenElement)) return;
  event.preventDefault();
  zoomAt(Math.exp(-event.deltaY / 300), event.clientX, event.clientY);
}, { passive: false });
element.addEventListener("dblclick", (event) => {
  if (!event.target.closest(".hf-canvas") || event.target.closest("button")) return;
  zoomAt(scale > 1 ? 1 / MOST : 3, event.clientX, event.clientY);
});
element.addEventListener("input", (event) => {
  if (!event.target.matches(".hf-tools input[type=range]")) return;
  line = Number(event.target.value) / 100;
  apply();
});
element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.face !== undefined) {
    const face = Number(button.dataset.face), image = find(".hf-viewer").dataset.image;
    const read = () => (find(".hf-viewer").dataset.image === image ? { face } : null);  // boxes of another image have other numbers
    return event.detail > 1 ? null : hififace.send(trigger, "select", read);
  }
  if (button.dataset.do === "pair") {
    const viewer = button.closest(".hf-viewer");
    viewer.dataset.busy = "yes";
    const { source, into } = button.dataset;
    hififace.send(trigger, "pair", () => ({ source, into }));
    return hififace.settled().then(() => { delete viewer.dataset.busy; });
  }
  if (button.dataset.do === "in") zoomAt(1.5);
  if (button.dataset.do === "out") zoomAt(1 / 1.5);
  if (button.dataset.do === "reset") { scale = 1; x = y = 0; line = null; apply(); }
  if (button.dataset.do === "screen")
    document.fullscreenElement ? document.exitFullscreen() : find(".hf-viewer").requestFullscreen();
});
document.addEventListener("fullscreenchange", () => setTimeout(apply, 60));
new ResizeObserver(apply).observe(element);
const settle = () => {
  const viewer = find(".hf-viewer");
  const desk = document.querySelector("#desk");
  if (!viewer || !desk) return;
  const kind = viewer.dataset.kind;
  desk.dataset.stage = kind;
  if (viewer.dataset.image !== shown) { scale = 1; x = y = 0; line = null; shown = viewer.dataset.image; }
  apply();
  for (const image of element.querySelectorAll("img")) image.addEventListener("load", apply);
  const fresh = kind === "result" && element.dataset.last !== viewer.dataset.result;
  element.dataset.last = viewer.dataset.result ?? "";
  if (fresh && matchMedia("(max-width: 760px)").matches) {
    // What stands beside it may take a while to find its place, and ends a glide; the visitor's own scrolling ends them all.
    let left = 6;
    for (const own of ["wheel", "touchmove"]) window.addEventListener(own, () => { left = 0; }, { once: true, passive: true });
    const glide = () => {
      const box = find(".hf-canvas")?.getBoundingClientRect();
      if (left-- <= 0 || !box) return;
      if (box.top < 0 || box.bottom > innerHeight) find(".hf-viewer").scrollIntoView({ block: "start", behavior: "smooth" });
      setTimeout(glide, 600);
    };
    glide();
  }
};
watch("value", settle);
settle();
