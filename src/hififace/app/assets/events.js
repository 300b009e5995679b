// What a visitor does reaches the server one event at a time, in order, and whole. Gradio alone drops an event while the one before it is
// on its way ("once") or sends the data of that one a second time ("always_last"), and a button's request may overtake both.
window.hififace = (() => {
  const TOLD_MS = 12000;
  const PATIENCE_MS = 30000;  // an answer that was lost on its way holds up nothing for longer
  const waiting = [], callers = [], held = new Set();
  let pending = 0, arriving = 0, patience = 0;
  const count = (change) => {
    pending = Math.max(pending + change, 0);
    clearTimeout(patience);
    if (pending) patience = setTimeout(() => { pending = 0; next(); }, PATIENCE_MS);
  };
  const next = () => {
    while (!pending && waiting.length) {
      const { trigger, name, data } = waiting.shift();
      const now = data();
      if (!now) continue;  // what was clicked on is no longer shown
      count(1);
      trigger(name, now);
    }
    if (!pending && !arriving) for (const go of callers.splice(0)) go();
  };
  const later = () => setTimeout(next, 0);  // when the answer is drawn
  const settled = () => new Promise((go) => { callers.push(go); next(); });
  const say = (sentence) => {
    let corner = document.querySelector(".hf-corner");
    if (!corner) {
      corner = document.createElement("div");
      corner.className = "hf-corner";
      corner.setAttribute("role", "alert");
      document.body.append(corner);
    }
    [...corner.children].find((one) => one.dataset.said === sentence)?.remove();  // said again: once, and longer
    const told = document.createElement("p");
    told.dataset.said = told.textContent = sentence;
    const close = document.createElement("button");
    close.type = "button";
    close.setAttribute("aria-label", "Close this message");
    close.textContent = "\u00d7";
    close.addEventListener("click", () => told.remove());
    told.append(close);
    corner.append(told);
    setTimeout(() => told.remove(), TOLD_MS);
  };
  // Gradio shows no error of an event that is answered by its own response (`queue=False`).
  const ask = window.fetch;
  window.fetch = async (what, ...how) => {
    const answer = await ask.call(window, what, ...how);
    if (answer.status === 500 && String(what.url ?? what).includes("/run/predict"))
      answer.clone().json().then((problem) => say(problem.error || "That did not work. Try it again."), () => {});
    return answer;
  };
  return {
    // `data` is called when the event's turn has come.
    send(trigger, name, data) { waiting.push({ trigger, name, data }); next(); },
    // For events that Gradio sends itself: nothing else is sent until they are answered.
    begun() { count(1); },
    ended() { count(-1); later(); },
    // A file on its way keeps buttons waiting, not clicks.
    async during(transfer) {
      arriving += 1;
      try { return await transfer; } finally { arriving -= 1; later(); }
    },
    settled,
    // A button starts its work when all that was done before has arrived. Pressed again meanwhile, it starts once.
    async pressed(button) {
      if (held.has(button)) return new Promise(() => {});
      held.add(button);
      await settled();
      held.delete(button);
    },
  };
})();
