// Live updates and keyboard of the console. Without it every page still works; with it nothing needs reloading.
"use strict";
(() => {
  const live = document.getElementById("live");
  const announce = document.getElementById("announce");
  const words = document.body.dataset;

  // Replaces every [data-live] part with the server's present rendering of this very page.
  let fetching = false, again = false, seq = words.seq;
  async function refresh() {
    if (document.querySelector("[data-live]") === null) return;
    if (fetching) { again = true; return; }
    fetching = true;
    try {
      const answer = await fetch(location.href, { headers: { "Sekimori-Live": "1" }, credentials: "same-origin", redirect: "manual" });
      if (answer.type === "opaqueredirect" || answer.status === 401) { location.reload(); return; }
      if (!answer.ok) return;
      swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
    } catch { state("off"); } finally {
      fetching = false;
      if (again) { again = false; refresh(); }
    }
  }
  function swap(fresh) {
    seq = fresh.body.dataset.seq;
    for (const old of document.querySelectorAll("[data-live]")) {
      const next = fresh.getElementById(old.id);
      if (next === null || next.isEqualNode(old)) continue;
      const focused = old.contains(document.activeElement) ? path(document.activeElement) : null;
      const open = [...old.querySelectorAll("details[open][id]")].map((one) => one.id);
      const known = new Set([...old.querySelectorAll("tr[data-key]")].map((row) => row.dataset.key));
      const seen = new Set([...old.querySelectorAll("tr.fresh")].map((row) => row.dataset.key));
      old.replaceWith(next);
      for (const id of open) next.querySelector("#" + CSS.escape(id))?.setAttribute("open", "");
      const arrived = [...next.querySelectorAll("tr[data-key]")].filter((row) => !known.has(row.dataset.key));
      for (const row of next.querySelectorAll("tr[data-key]")) {
        if (seen.has(row.dataset.key)) row.classList.add("fresh");
      }
      for (const row of arrived) row.classList.add("fresh");
      if (arrived.length > 0 && next.dataset.live === "announce") {
        announce.textContent = words.arrived.replace("%n", String(arrived.length)) + " " + (arrived[0].dataset.say ?? "");
      }
      if (focused !== null) next.querySelector(focused)?.focus();
    }
  }
  function path(element) {
    if (element.id) return "#" + CSS.escape(element.id);
    const href = element.getAttribute("href");
    return href === null ? "a" : 'a[href="' + CSS.escape(href) + '"]';
  }

  function state(name) {
    if (live === null) return;
    live.dataset.state = name;
    live.textContent = name === "on" ? words.liveOn : words.liveOff;
  }
  if (live !== null) {
    const events = new EventSource("/events");
    events.addEventListener("open", () => state("on"));
    events.addEventListener("error", () => state("off"));
    events.addEventListener("change", (event) => { if (event.data !== seq) refresh(); });
    // "Last seen" grows old without any change on the server.
    setInterval(() => { if (!document.hidden) refresh(); }, 30000);
    document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  }

  // From one incident to the next without the list: in the order in which it was when one was opened from it. The tab alone knows it.
  const order = "sekimori-order";
  document.addEventListener("click", (event) => {
    if (event.target.closest("#incidents a.main-link") === null) return;
    const places = [...document.querySelectorAll("#incidents a.main-link")].map((link) => link.getAttribute("href"));
    sessionStorage.setItem(order, JSON.stringify(places));
  });
  if (live === null) sessionStorage.removeItem(order);
  const walk = document.getElementById("walk");
  if (walk !== null) {
    const places = JSON.parse(sessionStorage.getItem(order) ?? "[]");
    const at = places.indexOf(location.pathname);
    walk.hidden = at < 0;
    for (const [id, href] of [["walk-before", places[at - 1]], ["walk-next", places[at + 1]]]) {
      const link = document.getElementById(id);
      link.hidden = href === undefined;
      if (href !== undefined) link.href = href;
    }
    document.getElementById("walk-at").textContent = (at + 1) + " / " + places.length;
  }

  // Keyboard: j/k rows, Enter opens, g then a letter goes to a page, / filters, ? help; other letters as the page says
  // with aria-keyshortcuts. Who dictates to the machine can turn single letters off.
  const off = "sekimori-keys-off";
  const keysOff = document.getElementById("keys-off");
  if (keysOff !== null) {
    keysOff.checked = localStorage.getItem(off) !== null;
    keysOff.addEventListener("change", () => {
      if (keysOff.checked) localStorage.setItem(off, "1"); else localStorage.removeItem(off);
    });
  }
  let leader = false;
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (localStorage.getItem(off) !== null) return;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select, textarea, dialog")) return;
    if (leader) {
      leader = false;
      document.querySelector('[data-go="' + CSS.escape(event.key) + '"]')?.click();
      return;
    }
    if (event.key === "g") { leader = true; setTimeout(() => { leader = false; }, 1500); }
    else if (event.key === "j" || event.key === "k") step(event.key === "j" ? 1 : -1);
    else if (event.key === "/") { event.preventDefault(); document.querySelector(".filters select, .filters input")?.focus(); }
    else if (event.key === "?") document.getElementById("keys")?.showModal();
    else if (/^[a-z]$/.test(event.key)) press(event);
  });
  function press(event) {
    const wanted = document.querySelector('[aria-keyshortcuts="' + event.key + '"]:not([hidden])');
    if (wanted === null || wanted.closest("[hidden]") !== null) return;
    event.preventDefault();
    if (wanted.tagName !== "SUMMARY") { wanted.click(); return; }
    const form = wanted.parentElement;
    form.open = true;
    form.querySelector("select, textarea, input:not([type=hidden])")?.focus();
  }
  function step(by) {
    const links = [...document.querySelectorAll("a.main-link")];
    const at = links.indexOf(document.activeElement);
    const next = at < 0 ? (by > 0 ? 0 : links.length - 1) : Math.min(links.length - 1, Math.max(0, at + by));
    links[next]?.focus();
  }
  document.getElementById("show-keys")?.addEventListener("click", () => document.getElementById("keys")?.showModal());
  // What may come next in a query, as the server knows it.
  for (const box of document.querySelectorAll("input[data-complete]")) {
    const list = document.getElementById(box.getAttribute("list"));
    let asked = 0;
    box.addEventListener("input", async () => {
      const mine = ++asked;
      const at = box.selectionStart ?? box.value.length;
      const kind = box.form.elements.namedItem("kind")?.value ?? "";
      const words = new URLSearchParams({ kind, q: box.value.slice(0, at) });
      try {
        const answer = await fetch(box.dataset.complete + "?" + words, { headers: { "Sekimori-Live": "1" }, credentials: "same-origin", redirect: "manual" });
        if (!answer.ok || mine !== asked) return;
        const rest = box.value.slice(at);
        list.replaceChildren(...(await answer.text()).split("\n").filter((one) => one !== "").map((one) => {
          const option = document.createElement("option");
          option.value = one + rest;
          return option;
        }));
      } catch { /* Without it one types the rest. */ }
    });
  }
  // A filter takes effect when it is chosen.
  for (const select of document.querySelectorAll(".filters:not([role]) select")) {
    select.addEventListener("change", () => select.form.requestSubmit());
  }
})();
