// In a framed page of a form: tells the page around it how high it is, and when the answers were sent. Nothing of the
// visitor's is in that, so any page may hear it; which pages may hold the frame, its policy says.
(() => {
  if (parent === self) return;
  const tell = (what) => parent.postMessage({ leadhook: 1, ...what }, "*");
  const { event } = document.body.dataset;
  const came = performance.getEntriesByType("navigation")[0]?.type; // a reload of the thank-you is no second lead
  new ResizeObserver(() => tell({ height: document.body.offsetHeight })).observe(document.body);
  if (!event || came === "reload" || came === "back_forward") return;
  document.querySelector("[role=alert], h1")?.focus({ preventScroll: true });
  tell({ event });
})();
