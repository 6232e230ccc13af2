// Small conveniences. Every page works without them.
(() => {
  // What a button copies: the element that its data-copy selects, else the nearest code, else the text next to it.
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
      getSelection().selectAllChildren(from); // without HTTPS there is no clipboard: select the text for Ctrl-C
      announce("Selected. Press Ctrl-C to copy it.");
    }
  });

  // A link to a confirmation page opens the dialog with the same text instead.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-dialog]");
    const dialog = link && document.getElementById(link.dataset.dialog);
    if (!dialog?.showModal || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    dialog.showModal();
  });

  // A second click while a POST is in progress does nothing. htmx handles its own forms.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || event.submitter?.formMethod === "dialog") return;
    if ("sent" in form.dataset) return event.preventDefault();
    form.dataset.sent = "";
    setTimeout(() => delete form.dataset.sent, 5000); // if the request was lost, the user can try again
  });
  addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // Counts the ticked rows; one checkbox ticks all rows of a page.
  const ticks = (form) => [...form.querySelectorAll(".tick")];
  const count = (form) => {
    const number = ticks(form).filter((tick) => tick.checked).length;
    const words = form.querySelector("[data-ticked]");
    const all = form.querySelector("[data-tick-all] input");
    if (words) words.textContent = number === 1 ? "1 lead selected" : `${number} leads selected`;
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

  // A server event {"showdialog": "id"} opens a dialog that was just swapped in. Older browsers cannot close it by
  // commandfor.
  document.addEventListener("showdialog", (event) => {
    const dialog = document.getElementById(event.detail.value);
    if (!dialog.open) dialog.showModal();
  });
  document.addEventListener("click", (event) => {
    if ("commandForElement" in HTMLButtonElement.prototype) return;
    if (event.target.closest("[data-close]")) event.target.closest("dialog").close();
  });

  // A server event {"focuson": "id"} in an HX-Trigger header returns the focus to the control that was used.
  document.addEventListener("focuson", (event) => document.getElementById(event.detail.value)?.focus());

  // Announces a failed action. GET requests are left out: automatic refreshes repeat anyway.
  document.addEventListener("htmx:response:error", (event) => {
    const { request, response } = event.detail.ctx;
    if (request.method !== "GET" && response.status !== 401 && response.status !== 422) {
      announce("That did not work. Reload the page and try again.");
    }
  });

  // A server event {"toast": "text"} in an HX-Trigger header is shown, and read out by screen readers.
  document.addEventListener("toast", (event) => announce(event.detail?.value ?? event.detail));
})();
