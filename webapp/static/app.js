// A few small conveniences; every page works without them.
(() => {
  // Copy: the element named by the button's selector, else the nearest code, else the text beside it.
  const source = (button) =>
    (button.dataset.copy && document.querySelector(button.dataset.copy)) ||
    button.closest(".code")?.querySelector("pre") ||
    button.parentElement.querySelector("[data-copy-source], code");

  const announce = (text) => {
    const region = document.getElementById("toasts");
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.textContent = text;
    region.append(toast);
    setTimeout(() => toast.remove(), 6000);
  };

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy], [data-dismiss]");
    if (!button) return;
    if ("dismiss" in button.dataset) return button.closest(".toast").remove();
    const from = source(button);
    try {
      await navigator.clipboard.writeText(from.value ?? from.textContent);
      announce("Copied");
    } catch {
      getSelection().selectAllChildren(from); // no clipboard without HTTPS: select it, so that Ctrl-C works
      announce("Selected. Press Ctrl-C to copy it.");
    }
  });

  // A link to a page that confirms something opens the dialog of the same words instead.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    const dialog = link && document.getElementById(link.dataset.dialog);
    if (!dialog?.showModal || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.showModal();
  });

  // A second click while a post is under way posts nothing. htmx's own forms are its business.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || event.submitter?.formMethod === "dialog") return;
    if ("sent" in form.dataset) return event.preventDefault();
    form.dataset.sent = "";
    setTimeout(() => delete form.dataset.sent, 5000); // where it failed on the way, it may be tried again
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // Ticked rows are counted; one box ticks all of a page.
  const ticks = (form) => [...form.querySelectorAll(".tick")];
  const count = (form) => {
    const number = ticks(form).filter((tick) => tick.checked).length;
    const words = form.querySelector("[data-ticked]");
    const all = form.querySelector("[data-tick-all] input");
    if (words) words.textContent = number === 1 ? "1 lead ticked" : `${number} leads ticked`;
    if (all) all.checked = number > 0 && number === ticks(form).length;
    if (all) all.indeterminate = number > 0 && !all.checked;
  };
  for (const label of document.querySelectorAll("[data-tick-all]")) {
    label.hidden = false;
    count(label.closest("form"));
  }
  document.addEventListener("change", (event) => {
    const form = event.target.closest("form");
    if (!form) return;
    if (event.target.closest("[data-tick-all]")) for (const tick of ticks(form)) tick.checked = event.target.checked;
    if (event.target.matches(".tick, [data-tick-all] input")) count(form);
  });

  // A server event {"showdialog": "id"} opens what was just swapped in; older browsers lack commandfor to close it.
  document.addEventListener("showdialog", (event) => {
    const dialog = document.getElementById(event.detail.value);
    if (!dialog.open) dialog.showModal();
  });
  document.addEventListener("click", (event) => {
    if ("commandForElement" in HTMLButtonElement.prototype) return;
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });

  // A server event {"focuson": "id"} in an HX-Trigger header: the focus goes back to where the hand was.
  document.addEventListener("focuson", (event) => document.getElementById(event.detail.value)?.focus());

  // A press that came to nothing says so; what asks by itself tries again.
  document.addEventListener("htmx:response:error", (event) => {
    const { request, response } = event.detail.ctx;
    if (request.method !== "GET" && response.status !== 401 && response.status !== 422) {
      announce("That did not work. Reload the page and try again.");
    }
  });

  // A server event {"toast": "text"} in an HX-Trigger header is said aloud and shown.
  document.addEventListener("toast", (event) => announce(event.detail?.value ?? event.detail));
})();
