// In a framed form: tells the surrounding page its height, and when the answers were sent. The messages have no data of
// the visitor, so any page may receive them. The frame's Content-Security-Policy decides which pages may embed it.
(() => {
  if (parent === self) return;
  const tell = (what) => parent.postMessage({ leadhook: 1, ...what }, "*");
  const height = () => ({ height: document.body.offsetHeight });
  const { event } = document.body.dataset;
  const came = performance.getEntriesByType("navigation")[0]?.type; // a reload is not a second lead
  const source = document.getElementsByName("_source")[0]; // where the visitor is: the page around knows it best
  addEventListener("message", ({ source: from, data }) => {
    if (!source || from !== parent || data?.leadhook !== 1 || !data.source) return;
    source.value = data.source;
    for (const [name, value] of Object.entries(data.late || {})) {
      const input = document.querySelector(`.lf-grid > input[type=hidden][name="${CSS.escape(name)}"]`);
      if (input) input.value = value; // a hidden value that is too long for an address
    }
  });
  const ask = () => tell({ asks: !!source });
  tell({ ...height(), asks: !!source }); // at once: the browser may not draw a frame that is far below
  new ResizeObserver(() => tell(height())).observe(document.body);
  addEventListener("focusin", ask, { once: true });
  if (!event || came === "reload" || came === "back_forward") return;
  document.querySelector("[role=alert], h1")?.focus({ preventScroll: true });
  tell({ event, lead: new URLSearchParams(location.search).get("_lead") });
})();
