// What a visitor does reaches the server one event at a time, in order, and whole. Gradio alone drops an event while the one before it is
// on its way ("once") or sends the data of that one a second time ("always_last"), and a button's request may overtake both.
window.hififace = (() => {
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
