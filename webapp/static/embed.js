// Leadhook: puts a form into every <div data-interface="if_…"> and every <leadhook-form interface="if_…">, also those
// added later. No cookies and no globals but that element; stores nothing unless the page has data-first-touch.
(() => {
  const NAME = "leadhook-form";
  if (customElements.get(NAME)) return; // it runs already: some sites run their scripts again at every visit
  // The address of Leadhook: where this script comes from. A module or a bundle does not know, so the server writes it.
  const { src } = document.currentScript || {};
  const base = /\/embed(\.\w+)?\.js(\?|#|$)/.test(src) ? new URL(".", src) : new URL("https://leadhook.invalid/");
  const longest = 8000; // characters of a frame's address: servers take 8 KB
  const tracked = /^(utm_(source|medium|campaign|term|content)|(g|d|fb|tt|tw)clid|msclkid|[gw]braid|li_fat_id)$/;
  const landing = new URLSearchParams(location.search); // single-page sites later drop the campaign from the address
  const frames = new Map(); // frame -> what is known about it; only frames of this loader, a page may have several
  const elements = new Set(); // the <leadhook-form>s of the page and of its shadow roots
  const sent = new Set(); // leads that had their event: after Back the same form can be sent again

  const touch = () => {
    const found = { page_title: document.title, referrer: document.referrer };
    if (/^http/.test(location.protocol)) found.page_url = location.origin + location.pathname;
    for (const [name, value] of [...landing, ...new URLSearchParams(location.search)])
      if (tracked.test(name)) found[name] = value;
    return found;
  };
  const start = JSON.stringify({ ...touch(), at: new Date().toISOString() });

  // Where the visitor is, and for sites that ask for it, where they were first in this tab.
  const source = () => {
    const found = touch();
    if (!document.querySelector("[data-first-touch]")) return found;
    try {
      const first = JSON.parse((sessionStorage.leadhook = sessionStorage.leadhook || start));
      for (const name in first) found[`first_${name}`] = first[name];
    } catch {} // the browser allows no storage
    return found;
  };

  const packed = (found) =>
    btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(found))))
      .replace(/=+$/, "")
      .replaceAll("+", "-")
      .replaceAll("/", "_");

  // The frame's address. What is too long for it goes into `late`, if it is a hidden value: a message brings it.
  const address = (place, id, late) => {
    const values = {};
    const hidden = {};
    const found = source();
    for (const { name, value } of place.attributes) {
      const [, kind, key] = /^data-(hidden|prefill)-(.+)/.exec(name) || [];
      if (key) (kind === "hidden" ? hidden : values)[key.replaceAll("-", "_")] = value;
    }
    for (;;) {
      const query = new URLSearchParams({ _frame: 1, ...values, ...hidden, _source: packed(found) });
      const { href } = new URL(`f/${encodeURIComponent(id)}?${query}`, base);
      if (href.length <= longest) return href;
      const all = [hidden, values, found].flatMap((bag) => Object.entries(bag).map(([name, { length }]) => ({ bag, name, length })));
      const { bag, name, length } = all.reduce((one, other) => (other.length > one.length ? other : one));
      if (bag === hidden) late[name] = hidden[name];
      delete bag[name];
      if (bag !== hidden) console.warn(`Leadhook: ${name} has ${length} characters. It is left out, because the form's address would be too long.`);
    }
  };

  // What a page's own rules for iframes would change. A policy against inline styles does not apply to this.
  const style = (frame, rules) => {
    for (const [name, value] of Object.entries(rules)) frame.style.setProperty(name, value, "important");
  };

  const fit = (frame, height) => {
    const { paddingTop, paddingBottom, borderTopWidth, borderBottomWidth } = getComputedStyle(frame);
    const around = [paddingTop, paddingBottom, borderTopWidth, borderBottomWidth].reduce((sum, each) => sum + (parseFloat(each) || 0), 0);
    frame.height = Math.min(Math.ceil(height), 20000);
    style(frame, { height: `${+frame.height + around}px` });
  };

  // A refused frame is the browser's grey page and never says a word. A link to the form is of more use.
  const link = (frame, place) => {
    const known = frames.get(frame);
    if (!known || known.heard || known.link) return; // it is gone, it works, or it has its link
    const open = document.createElement("a");
    open.href = frame.src.replace("_frame=1&", "");
    open.target = "_blank";
    open.rel = "noopener";
    open.textContent = place.dataset.link || "The form cannot be shown here. Open it in a new tab.";
    known.link = document.createElement("p");
    known.link.append(open);
    frame.before(known.link);
    style(frame, { display: "none" });
  };

  const mount = (place) => {
    const id = place.getAttribute("data-interface") || place.getAttribute("interface");
    const root = place.localName === NAME ? place.shadowRoot || place.attachShadow({ mode: "open" }) : place;
    const there = root.querySelector("iframe");
    // A property, because a copy of the element does not have it: page caches and sliders copy elements.
    if (there && there.leadhook === id && !frames.has(there)) frames.set(there, { heard: true }); // it was out for a while
    if (!id || (there && there.leadhook === id)) return;
    const frame = document.createElement("iframe");
    frame.leadhook = frame.dataset.form = id; // the attribute is for older versions of this script
    const late = {};
    frame.src = address(place, id, late);
    frame.title = place.dataset.title || place.title || "Form";
    frame.width = "100%";
    frame.height = 600;
    frame.setAttribute("frameborder", 0);
    style(frame, { width: "100%", height: "600px", "min-height": 0, "max-height": "none", "box-sizing": "border-box", position: "static" });
    frame.onload = () => setTimeout(link, 2000, frame, place);
    frames.set(frame, { late });
    root.replaceChildren(frame);
  };

  const mountAll = () => {
    source(); // a landing page may have no form
    for (const frame of frames.keys()) if (!frame.isConnected) frames.delete(frame);
    for (const place of [...document.querySelectorAll("[data-interface]"), ...elements]) mount(place);
  };

  addEventListener("message", ({ origin, source: window, data }) => {
    // In a sandboxed page the frames are sandboxed, too, and have no origin.
    if ((origin !== base.origin && origin !== "null") || data?.leadhook !== 1) return;
    for (const [frame, known] of frames) {
      if (frame.contentWindow !== window) continue;
      known.heard = true;
      if (known.link) {
        known.link.remove();
        known.link = undefined;
        frame.style.removeProperty("display");
      }
      if (data.height > 0) fit(frame, data.height);
      // By now the page has its address and title: some sites set them after they show the page.
      if (data.asks) window.postMessage({ leadhook: 1, source: packed(source()), late: known.late }, origin === "null" ? "*" : origin);
      if (data.event) frame.scrollIntoView({ block: "nearest" });
      if (data.event !== "submitted" || sent.has(data.lead)) continue;
      if (data.lead) sent.add(data.lead);
      const detail = { interface: frame.leadhook, lead: data.lead };
      frame.dispatchEvent(new CustomEvent("leadhook:submitted", { bubbles: true, composed: true, detail }));
    }
  });

  let timer;
  const soon = () => {
    timer = timer || setTimeout(() => {
      timer = 0;
      mountAll();
    });
  };

  // Not in the light DOM: frameworks that take over a page from the server would throw away what they do not know.
  customElements.define(
    NAME,
    class extends HTMLElement {
      static get observedAttributes() {
        return ["interface"];
      }
      connectedCallback() {
        elements.add(this);
        soon();
      }
      disconnectedCallback() {
        elements.delete(this);
      }
      attributeChangedCallback() {
        soon();
      }
    }
  );
  const attributeFilter = ["data-interface", "data-first-touch"];
  new MutationObserver(soon).observe(document, { childList: true, subtree: true, attributeFilter });
  mountAll();
})();
