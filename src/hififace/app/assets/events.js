// What a visitor does reaches the server one event at a time, in order, and whole. Gradio alone drops an event while the one before it is
// on its way ("once") or sends the data of that one a second time ("always_last"), and a button's request may overtake both.
window.hififace = (() => {
  const waiting = [], callers = [], held = new Set();
  let pending = 0, arriving = 0;
  const next = () => {
    while (!pending && waiting.length) {
      const { trigger, name, data } = waiting.shift();
      const now = data();
      if (!now) continue;  // what was clicked on is no longer shown
      pending += 1;
      trigger(name, now);
    }
    if (!pending && !arriving) for (const go of callers.splice(0)) go();
  };
  const later = () => setTimeout(next, 0);  // when the answer is drawn
  const settled = () => new Promise((go) => { callers.push(go); next(); });
  return {
    // `data` is called when the event's turn has come. With `latest`, one that still waits is enough: it will say how things stand then.
    send(trigger, name, data, latest = false) {
      if (!latest || !waiting.some((one) => one.trigger === trigger && one.name === name)) waiting.push({ trigger, name, data });
      next();
    },
    // For events that Gradio sends itself: nothing else is sent until they are answered.
    begun() { pending += 1; },
    ended() { pending = Math.max(pending - 1, 0); later(); },
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
