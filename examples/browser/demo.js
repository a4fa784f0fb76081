// Shows what beacon.js does. A page of yours needs nothing of this file.
"use strict";

(() => {
  const STATES = {
    waiting: "seen, waiting to be sent",
    "handed over": "handed to the browser",
    stored: "stored",
    refused: "refused",
  };

  const log = document.querySelector("#log");
  const names = new Map(Array.from(document.querySelectorAll("[data-ad-id]"), (ad) => [ad.dataset.adId, ad.dataset.name]));

  document.addEventListener("dataless", ({ detail: { event, state, reason } }) => {
    const id = event.click_id ?? event.impression_id;
    if (!id) return; // of another type
    let row = document.getElementById(id);
    if (!row) {
      row = document.createElement("li");
      row.id = id;
      log.append(row);
    }
    row.dataset.state = state;
    row.dataset.adId = event.ad_id;
    row.dataset.kind = event.click_id ? "click" : "impression";
    const text = state === "waiting" && event.click_id ? "clicked, waiting to be sent" : STATES[state];
    row.textContent = `${names.get(event.ad_id)}: ${row.dataset.kind} ${text}${reason ? ` (${reason})` : ""}`;
  });

  const api = new URLSearchParams(location.search).get("api");
  const form = document.querySelector("#setup");
  form.hidden = Boolean(api ?? document.querySelector("script[data-base-url]").dataset.baseUrl);
  document.querySelector("#events").hidden = !form.hidden;
})();
