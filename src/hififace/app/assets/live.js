// The camera: frames go to the server one by one, two on the way at a time, and come back swapped and labelled.
const WIDTH = 640, HEIGHT = 480, AT_ONCE = 2;
let running = null;
const say = (text) => { const told = element.querySelector(".hf-live-told"); if (told) told.textContent = text; };
const base64 = (blob) => new Promise((done) => {
  const reader = new FileReader();
  reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.readAsDataURL(blob);
});
const stop = (told) => {
  if (!running) return;
  running.stream.getTracks().forEach((track) => track.stop());
  running.over = true;
  running = null;
  element.querySelector(".hf-live")?.removeAttribute("data-on");
  if (told) say(told);
};
const start = async (secret) => {
  let stream;
  say("Waiting for the camera ...");
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: WIDTH, height: HEIGHT, frameRate: 30 } });
  } catch (problem) {
    say("The browser gives this page no camera. Allow it in the address bar, and start again.");
    trigger("ended", {});
    return;
  }
  const video = document.createElement("video");
  video.muted = true;
  video.playsInline = true;
  video.srcObject = stream;
  await video.play();
  const me = (running = { secret, stream, over: false, sent: 0, shown: -1, times: [], delays: [], last: -1 });
  const grab = document.createElement("canvas");
  grab.width = WIDTH;
  grab.height = HEIGHT;
  const pen = grab.getContext("2d", { willReadFrequently: false });
  const crop = () => {
    const scale = Math.max(WIDTH / video.videoWidth, HEIGHT / video.videoHeight);
    const [w, h] = [video.videoWidth * scale, video.videoHeight * scale];
    pen.drawImage(video, (WIDTH - w) / 2, (HEIGHT - h) / 2, w, h);
  };
  element.querySelector(".hf-live").setAttribute("data-on", "");
  const one = async () => {
    while (!me.over) {
      // Each frame of the camera once: the next one is waited for.
      while (!me.over && video.currentTime === me.last) await new Promise((done) => setTimeout(done, 4));
      if (me.over) return;
      me.last = video.currentTime;
      const number = me.sent++, began = performance.now();
      crop();
      const blob = await new Promise((done) => grab.toBlob(done, "image/jpeg", 0.8));
      let answer;
      try {
        answer = await server.live_frame({ secret: me.secret, image: await base64(blob) });
      } catch (problem) {
        stop("The server did not answer. Start again.");
        trigger("ended", {});
        return;
      }
      if (me.over) return;
      if (answer.over) { stop("The camera was stopped."); trigger("ended", {}); return; }
      if (number < me.shown) continue;
      me.shown = number;
      const bytes = Uint8Array.from(atob(answer.image), (letter) => letter.charCodeAt(0));
      const image = await createImageBitmap(new Blob([bytes], { type: "image/jpeg" }));
      const screen = element.querySelector("canvas");
      screen?.getContext("2d").drawImage(image, 0, 0, WIDTH, HEIGHT);
      const now = performance.now();
      me.times.push(now);
      me.delays.push(now - began);
      while (me.times[0] < now - 2000) { me.times.shift(); me.delays.shift(); }
      const rate = me.times.length > 1 ? (1000 * (me.times.length - 1)) / (now - me.times[0]) : 0;
      const delay = me.delays.reduce((sum, one) => sum + one, 0) / me.delays.length;
      if (number % 5 === 0) {
        say(`${rate.toFixed(0)} frames per second, ${delay.toFixed(0)} ms behind${answer.swapped ? "" : ". No face yet"}`);
        element.dataset.rate = rate.toFixed(1);
        element.dataset.delay = delay.toFixed(0);
        element.dataset.swapped = answer.swapped;
      }
    }
  };
  for (let lane = 0; lane < AT_ONCE; lane++) one();
};
const settle = () => {
  const secret = element.querySelector(".hf-live")?.dataset.secret ?? "";
  if (running && running.secret !== secret) stop();
  if (secret && !running) start(secret);
};
watch("value", settle);
settle();
