// Leadhook: puts a form into every <div data-interface="if_…">, also those added later. No globals, cookies or styles.
(() => {
  const script = document.currentScript || document.querySelector("script[src*='/embed.']");
  const base = new URL(".", script.src);
  const tracked = /^(utm_(source|medium|campaign|term|content)|(g|d|fb|tt|tw)clid|msclkid|[gw]braid|li_fat_id)$/;
  const landing = new URLSearchParams(location.search); // single-page sites later drop the campaign from the address
  const frames = new WeakMap(); // frame -> its interface; only frames of this loader, a page may have several

  const address = (place, id) => {
    const query = new URLSearchParams();
    for (const [name, value] of [...landing, ...new URLSearchParams(location.search)])
      if (tracked.test(name)) query.set(name, value.slice(0, 200));
    query.set("page_url", (location.origin + location.pathname).slice(0, 900));
    query.set("page_title", document.title.slice(0, 150));
    query.set("referrer", document.referrer.slice(0, 900));
    for (const { name, value } of place.attributes)
      if (name.startsWith("data-hidden-")) query.set(name.slice(12).replaceAll("-", "_"), value.slice(0, 500));
    return new URL(`f/${encodeURIComponent(id)}?${query}`, base).href;
  };

  const mount = () => {
    for (const place of document.querySelectorAll("[data-interface]")) {
      const id = place.dataset.interface;
      if (!id || place.querySelector("iframe")?.dataset.form === id) continue;
      const frame = document.createElement("iframe");
      frame.dataset.form = id;
      frame.src = address(place, id);
      frame.title = place.dataset.title || "Form";
      frame.width = "100%";
      frame.height = 600;
      frame.setAttribute("frameborder", 0);
      frames.set(frame, id);
      place.replaceChildren(frame);
    }
  };

  addEventListener("message", ({ origin, source, data }) => {
    if (origin !== base.origin || data?.leadhook !== 1) return;
    for (const frame of document.querySelectorAll("iframe[data-form]")) {
      if (!frames.has(frame) || frame.contentWindow !== source) continue;
      if (data.height > 0) frame.height = Math.min(Math.ceil(data.height), 20000);
      if (data.event) frame.scrollIntoView({ block: "nearest" });
      if (data.event === "submitted")
        frame.dispatchEvent(
          new CustomEvent("leadhook:submitted", { bubbles: true, detail: { interface: frames.get(frame) } })
        );
    }
  });

  new MutationObserver(mount).observe(document, { childList: true, subtree: true, attributeFilter: ["data-interface"] });
  mount();
})();
