// In a framed form: tells the surrounding page its height, and when the answers were sent. The messages have no data of
// the visitor, so any page may receive them. The frame's Content-Security-Policy decides which pages may embed it.
(() => {
  if (parent === self) return;
  const tell = (what) => parent.postMessage({ leadhook: 1, ...what }, "*");
  const { event } = document.body.dataset;
  const came = performance.getEntriesByType("navigation")[0]?.type; // a reload is not a second lead
  new ResizeObserver(() => tell({ height: document.body.offsetHeight })).observe(document.body);
  if (!event || came === "reload" || came === "back_forward") return;
  document.querySelector("[role=alert], h1")?.focus({ preventScroll: true });
  tell({ event });
})();
