// A finished video: the silent target follows the result, and lies over it up to a line that is dragged, or moved by keys.
const START = 6;  // percent: the result is what people came for
let line = START;
const find = (what) => element.querySelector(what);
const result = () => find("video.hf-result"), target = () => find("video.hf-target");
const clock = (seconds) => {
  const whole = Math.floor(seconds || 0), hours = Math.floor(whole / 3600);
  const rest = `${String(Math.floor(whole / 60) % 60).padStart(hours ? 2 : 1, "0")}:${String(whole % 60).padStart(2, "0")}`;
  return hours ? `${hours}:${rest}` : rest;
};
const follow = (precise) => {
  const [video, other] = [result(), target()];
  if (!video || !other) return;
  const wanted = video.currentTime + Number(other.dataset.start);
  if (Math.abs(other.currentTime - wanted) > (precise ? 0.01 : 0.08)) other.currentTime = wanted;
};
const named = (button, name, state) => {
  button.setAttribute("aria-label", name);
  button.title = name;
  button.toggleAttribute("data-on", state);
};
const draw = () => {
  const video = result();
  if (!video) return;
  const length = Number.isFinite(video.duration) ? video.duration : 0;
  const seek = find(".hf-seek"), told = `${clock(video.currentTime)} / ${clock(length)}`;
  seek.max = length || 1;
  seek.value = video.currentTime;
  seek.setAttribute("aria-valuetext", told);
  find(".hf-time").textContent = told;
  named(find("[data-do=play]"), video.paused ? "Play" : "Pause", !video.paused);
  const mute = find("[data-do=mute]");
  if (mute) named(mute, video.muted ? "Sound on" : "Sound off", video.muted);
};
const divide = () => {
  const divider = find(".hf-divider");
  if (!divider) return;
  line = Math.min(Math.max(line, 0), 100);
  find(".hf-reel").style.setProperty("--line", `${line}%`);
  divider.setAttribute("aria-valuenow", Math.round(line));
  find(".hf-left").hidden = line < 1;
  find(".hf-right").hidden = line > 99;
};
const toggle = () => { const video = result(); video.paused ? video.play() : video.pause(); };
const run = () => { draw(); if (result() && !result().paused) requestAnimationFrame(run); };
// Media events do not bubble, so they are caught on their way down.
const on = (name, act) => element.addEventListener(name, (event) => { if (event.target === result()) act(event); }, true);
on("play", () => { follow(true); target()?.play(); run(); });
on("pause", () => { target()?.pause(); follow(true); draw(); });
on("seeked", () => { follow(true); draw(); });
on("timeupdate", () => { follow(false); draw(); });
on("loadedmetadata", (event) => {
  const reel = find(".hf-reel");
  reel.style.setProperty("--w", event.target.videoWidth || 16);
  reel.style.setProperty("--h", event.target.videoHeight || 9);
  draw();
});
on("loadeddata", () => follow(true));
on("error", () => { find(".hf-over").hidden = false; });
element.addEventListener("click", (event) => {
  const what = event.target.closest("[data-do]")?.dataset.do;
  if (what === "play") toggle();
  if (what === "mute") { result().muted = !result().muted; draw(); }
  if (what === "screen") {
    const player = find(".hf-player");
    if (document.fullscreenElement) document.exitFullscreen();
    else if (player.requestFullscreen) player.requestFullscreen();
    else result().webkitEnterFullscreen?.();  // iPhones let a video alone fill the screen
  } else if (!what && event.target.closest(".hf-reel") && !event.target.closest(".hf-divider")) toggle();
});
element.addEventListener("input", (event) => {
  if (event.target.matches(".hf-seek")) { result().currentTime = Number(event.target.value); draw(); }
});
element.addEventListener("pointerdown", (event) => {
  const divider = event.target.closest(".hf-divider");
  if (!divider) return;
  divider.setPointerCapture(event.pointerId);
  divider.dataset.held = "yes";
});
element.addEventListener("pointermove", (event) => {
  if (!find(".hf-divider[data-held]")) return;
  const box = find(".hf-reel").getBoundingClientRect();
  line = (100 * (event.clientX - box.left)) / box.width;
  divide();
});
for (const name of ["pointerup", "pointercancel"])
  element.addEventListener(name, () => { delete find(".hf-divider")?.dataset.held; });
element.addEventListener("keydown", (event) => {
  if (!event.target.matches(".hf-divider")) return;
  const to = { ArrowLeft: line - 1, ArrowRight: line + 1, PageDown: line - 10, PageUp: line + 10, Home: 0, End: 100 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  line = to;
  divide();
});
let shown = false;
const settle = () => {
  draw();
  divide();
  const first = find(".hf-player") && !shown;
  shown = !!find(".hf-player");
  // On a phone it lies outside the screen when it comes.
  if (first && matchMedia("(max-width: 760px)").matches) element.scrollIntoView({ block: "start", behavior: "smooth" });
};
watch("value", settle);
settle();
