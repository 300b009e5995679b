// The camera: each frame goes to the server as a JPEG, two on the way at a time, and comes back swapped and labelled.
const WIDTH = 640, HEIGHT = 480, AT_ONCE = 2;
let running = null;
const say = (text) => { const told = element.querySelector(".hf-live-told"); if (told) told.textContent = text; };
const stop = (told) => {
  if (!running) return;
  running.stream.getTracks().forEach((track) => track.stop());
  running.over = true;
  running = null;
  element.querySelector(".hf-live")?.removeAttribute("data-on");
  if (told) say(told);
};
const end = (told) => { stop(told); hififace.send(trigger, "ended", () => ({})); };
const start = async (secret) => {
  let stream;
  const me = (running = { secret, stream: { getTracks: () => [] }, over: false });
  say("Waiting for the camera ...");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: WIDTH, height: HEIGHT, frameRate: 30 } });
  } catch (problem) {
    return end("The browser gives this page no camera. Allow it in the address bar, and start again.");
  }
  if (me.over) return stream.getTracks().forEach((track) => track.stop());
  me.stream = stream;
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  const grab = document.createElement("canvas");
  grab.width = WIDTH;
  grab.height = HEIGHT;
  const pen = grab.getContext("2d", { alpha: false, willReadFrequently: true });
  const crop = () => {
    const scale = Math.max(WIDTH / video.videoWidth, HEIGHT / video.videoHeight);
    const [w, h] = [video.videoWidth * scale, video.videoHeight * scale];
    pen.drawImage(video, (WIDTH - w) / 2, (HEIGHT - h) / 2, w, h);
  };
  me.seen = true;
  element.querySelector(".hf-live").setAttribute("data-on", "");
  let sent = 0, shown = -1, told = 0, last = -1;
  const times = [];
  const spent = { encode: 0, way: 0, server: 0, show: 0, count: 0 };
  const one = async () => {
    while (!me.over) {
      // Each frame of the camera once: the next one is waited for.
      while (!me.over && video.currentTime === last) await new Promise((done) => setTimeout(done, 4));
      if (me.over) return;
      last = video.currentTime;
      const number = sent++, began = performance.now();
      crop();
      const body = await new Promise((done) => grab.toBlob(done, "image/jpeg", 0.8));
      const encoded = performance.now();
      let answer, jpeg;
      try {
        answer = await fetch("live-frame", { method: "POST", headers: { "X-Camera": me.secret }, body });
        jpeg = await answer.blob();
      } catch (problem) {
        if (!me.over) end("The server did not answer. Start again.");
        return;
      }
      if (me.over) return;
      if (!answer.ok) return end(answer.status === 410 ? "The camera was stopped." : "The server took no frame. Start again.");
      if (number < shown) continue;
      shown = number;
      const came = performance.now();
      const image = await createImageBitmap(jpeg);
      element.querySelector("canvas")?.getContext("2d", { alpha: false }).drawImage(image, 0, 0, WIDTH, HEIGHT);
      image.close();
      const now = performance.now();
      spent.encode += encoded - began;
      spent.way += came - encoded;
      spent.server += Number(/dur=([\d.]+)/.exec(answer.headers.get("Server-Timing"))?.[1] ?? 0);
      spent.show += now - came;
      spent.count += 1;
      times.push([now, now - began]);
      while (times[0][0] < now - 2000) times.shift();
      const rate = times.length > 1 ? (1000 * (times.length - 1)) / (now - times[0][0]) : 0;
      const delay = times.reduce((sum, one) => sum + one[1], 0) / times.length;
      const swapped = answer.headers.get("X-Swapped") === "1";
      element.dataset.swapped = swapped;
      element.dataset.shown = spent.count;
      if (now - told > 500) {
        told = now;
        say(`${rate.toFixed(0)} frames per second, ${delay.toFixed(0)} ms behind${swapped ? "" : ". No face yet"}`);
        element.dataset.rate = rate.toFixed(1);
        element.dataset.delay = delay.toFixed(0);
        element.dataset.spent = JSON.stringify(spent);
      }
    }
  };
  for (let lane = 0; lane < AT_ONCE; lane++) one();
};
const settle = () => {
  const secret = element.querySelector(".hf-live")?.dataset.secret ?? "";
  if (running && running.secret !== secret) stop();
  if (secret && !running) start(secret);
  if (running?.seen) element.querySelector(".hf-live").setAttribute("data-on", "");  // drawn anew beneath it
};
watch("value", settle);
settle();
