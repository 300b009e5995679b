// Media events do not bubble, so they are caught on their way down. The target is silent and follows the result.
const both = () => [element.querySelector("video.hf-result"), element.querySelector("video.hf-target")];
const follow = (precise) => {
  const [result, target] = both();
  if (!result || !target) return;
  const wanted = result.currentTime + Number(target.dataset.start);
  if (Math.abs(target.currentTime - wanted) > (precise ? 0.01 : 0.08)) target.currentTime = wanted;
};
const on = (name, act) => element.addEventListener(name, (event) => {
  if (event.target.classList.contains("hf-result")) act();
}, true);
on("play", () => { follow(true); both()[1]?.play(); });
on("pause", () => { both()[1]?.pause(); follow(true); });
on("seeked", () => follow(true));
on("timeupdate", () => follow(false));
on("loadeddata", () => follow(true));
element.addEventListener("input", (event) => {
  if (!event.target.matches("input[type=range]")) return;
  const video = element.querySelector(".hf-video");
  video.style.setProperty("--line", `${event.target.value}%`);
  video.toggleAttribute("data-target", event.target.value > 0);
  video.toggleAttribute("data-result", event.target.value < 100);
});
