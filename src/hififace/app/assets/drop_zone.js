// A box that takes files: dropped, chosen, pasted, or photographed. One listener each for content present and to come.
const zone = () => element.querySelector(".hf-zone");
const say = (text, bad) => {
  const told = element.querySelector(".hf-told");
  if (told) { told.textContent = text; told.toggleAttribute("data-bad", !!bad); }
};
// The answer draws the box anew; where there is none, the old one waits no longer.
const send = (name, data) => {
  const box = zone();
  box.dataset.busy = "yes";
  hififace.send(trigger, name, () => data);
  hififace.settled().then(() => { delete box.dataset.busy; });
};
const take = async (files) => {
  const box = zone();
  let chosen = [...files];
  if (!chosen.length) return;
  if (!box.hasAttribute("data-many")) chosen = chosen.slice(0, 1);
  const most = Number(box.dataset.most);
  const large = chosen.find((file) => file.size > most * 1e6);
  if (large) {
    say(`${large.name} has ${(large.size / 1e6).toPrecision(3)} MB; this page takes up to ${most} MB. Make it smaller.`, true);
    return;
  }
  box.dataset.busy = "yes";
  say(chosen.length > 1 ? `Reading ${chosen.length} files ...` : `Reading ${chosen[0].name} ...`);
  try {
    const sent = [];
    for (const file of chosen) sent.push({ path: (await hififace.during(upload(file))).path, orig_name: file.name });
    send("upload", { files: sent });
  } catch (problem) {
    delete box.dataset.busy;
    say("The file did not arrive. Try it again.", true);
  }
};
const named = (blob, stem) => new File([blob], `${stem}.${blob.type.split("/")[1] || "png"}`, { type: blob.type });
const paste = async () => {
  try {
    for (const item of await navigator.clipboard.read()) {
      const kind = item.types.find((type) => type.startsWith("image/"));
      if (kind) return take([named(await item.getType(kind), "pasted")]);
    }
    say("The clipboard holds no image.", true);
  } catch (problem) {
    say("The browser does not let the page read the clipboard; press Ctrl-V here instead.", true);
  }
};
const photograph = async () => {
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: 1280, height: 720 } });
  } catch (problem) {
    say("The browser gives this page no camera.", true);
    return;
  }
  const dialog = document.createElement("dialog");
  dialog.className = "hf-camera";
  dialog.setAttribute("aria-label", "Take a photo");
  dialog.innerHTML = `<video autoplay muted playsinline></video><div>
    <button type="button" class="hf-plain" data-do="no">Cancel</button>
    <button type="button" class="hf-strong" data-do="yes">Take the photo</button></div>`;
  const video = dialog.querySelector("video");
  video.srcObject = stream;
  const end = () => { stream.getTracks().forEach((track) => track.stop()); dialog.remove(); };
  dialog.addEventListener("close", end);
  dialog.addEventListener("click", (event) => {
    const what = event.target.dataset?.do;
    if (what === "no") dialog.close();
    if (what !== "yes" || !video.videoWidth) return;
    const canvas = document.createElement("canvas");
    canvas.width = video.videoWidth;
    canvas.height = video.videoHeight;
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob((blob) => { dialog.close(); take([named(blob, "camera")]); }, "image/jpeg", 0.95);
  });
  document.body.append(dialog);
  dialog.showModal();
};
element.addEventListener("click", (event) => {
  const button = event.target.closest("[data-do]");
  if (!button) return;
  const what = button.dataset.do;
  if (what === "choose") element.querySelector("input[type=file]").click();
  if (what === "camera") photograph();
  if (what === "paste") paste();
  if (zone().dataset.busy) return;
  if (what === "clear") send("clear", {});
  if (what === "example") { say("Reading the example ..."); send("example", { name: button.dataset.name }); }
});
element.addEventListener("change", (event) => {
  if (!event.target.matches("input[type=file]")) return;
  event.stopPropagation();
  take(event.target.files).then(() => { event.target.value = ""; });
});
element.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files);
});
let depth = 0;
for (const [name, change] of [["dragenter", 1], ["dragleave", -1]])
  element.addEventListener(name, () => { depth += change; zone()?.toggleAttribute("data-over", depth > 0); });
element.addEventListener("dragover", (event) => event.preventDefault());
element.addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  zone()?.removeAttribute("data-over");
  take(event.dataTransfer.files);
});
