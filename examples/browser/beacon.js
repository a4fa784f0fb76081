// Sends events of any type, and by itself those of the ads on a page. Plain JavaScript, nothing to build, nothing to install:
//
//   <script defer src="beacon.js" data-base-url="https://….execute-api.us-east-1.amazonaws.com/Prod"></script>
//   <a data-ad-id="7d9f8a52-1c3e-4b6d-8f20-5a4e3c2b1d09" href="https://advertiser.example/">…</a>
//
//   dataless.send("orders", { order_id: dataless.uuid(), occurred_at: new Date().toISOString(), … });
//
// Every event carries an id made here. So whatever is sent twice (a retry, a beacon after a request whose answer never
// came) is counted once, and when in doubt this script sends again.
"use strict";

(() => {
  // Seen is what the Media Rating Council calls a viewable display impression: at least half of the pixels, in the
  // visible tab, for one second without a break. https://www.iab.com/guidelines/mrc-viewable-impression-guidelines/
  const VISIBLE_SHARE = 0.5;
  const VISIBLE_MS = 1000;

  // Events wait this long for others, so that a page of ten ads makes one request and not ten.
  const BATCH_WAIT_MS = 1000;

  // A browser lets 64 KiB of a page's requests outlive it (https://fetch.spec.whatwg.org/#http-network-or-cache-fetch), so
  // a request takes half of it at most. The API would take 500 events.
  const MAX_BATCH = 150;
  const MAX_BATCH_BYTES = 32_000;

  const FIRST_RETRY_MS = 1000;
  const LAST_RETRY_MS = 60_000;

  const script = document.currentScript;
  const baseUrl = (new URLSearchParams(location.search).get("api") ?? script.dataset.baseUrl ?? "").replace(/\/+$/, "");

  let isLeaving = false; // between pagehide and, when the page comes back from the browser's cache, pageshow

  // Tells whoever listens (demo.js does) what became of an event.
  function tell(event, state, reason) {
    document.dispatchEvent(new CustomEvent("dataless", { detail: { event, state, reason } }));
  }

  // crypto.randomUUID exists on https and localhost only.
  function uuid() {
    if (crypto.randomUUID) return crypto.randomUUID();
    const bytes = crypto.getRandomValues(new Uint8Array(16));
    bytes[6] = (bytes[6] & 0x0f) | 0x40;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
  }

  // How many of the events, from the first on, make a request. One always does.
  function fitting(events) {
    const sizes = events.slice(0, MAX_BATCH).map((event) => new Blob([JSON.stringify(event)]).size + 1);
    let bytes = 0;
    const count = sizes.findIndex((size) => (bytes += size) > MAX_BATCH_BYTES);
    return count < 0 ? sizes.length : Math.max(count, 1);
  }

  // The events of one type that are not yet known to be stored. Its route has the type's name.
  class Outbox {
    #route;
    #waiting = []; // to be sent
    #sending = []; // sent, no answer yet
    #handedOver = new Set(); // left to the browser when the page was hidden; nobody hears the answer
    #timer = null;
    #failures = 0;

    constructor(route) {
      this.#route = route;
    }

    add(event) {
      this.#waiting.push(event);
      tell(event, "waiting");
      this.#sendIn(BATCH_WAIT_MS);
    }

    // Unless a time is set already, or a request is under way, which sets one when it ends.
    #sendIn(milliseconds) {
      if (this.#sending.length === 0) this.#timer ??= setTimeout(() => this.send(), milliseconds);
    }

    // One request at a time, so that a slow API gets fewer and larger batches.
    async send() {
      clearTimeout(this.#timer);
      this.#timer = null;
      if (this.#sending.length > 0 || this.#waiting.length === 0) return;
      this.#sending = this.#waiting.splice(0, fitting(this.#waiting));
      const { again, wait } = await this.#post(this.#sending);
      this.#sending = [];
      this.#failures = again.length > 0 ? this.#failures + 1 : 0;
      this.#waiting.unshift(...again);
      if (this.#waiting.length > 0) this.#sendIn(again.length > 0 ? (wait ?? this.#backoff()) : 0);
    }

    // Which of the events are to be sent again, and after how many milliseconds when the API says so.
    async #post(events) {
      let response, answer;
      try {
        // A string goes out as text/plain, which needs no preflight. keepalive lets it outlive the page.
        response = await fetch(this.#url(), { method: "POST", body: this.#body(events), keepalive: true });
        answer = await response.json();
      } catch {
        // Leaving the page ends the wait for an answer, but not the request.
        if (isLeaving) this.#handOver(events);
        // Otherwise there was no answer, or one that is not the API's.
        return { again: isLeaving ? [] : events };
      }
      if (response.status === 200) {
        return { again: events.filter((event, place) => this.#isToBeSentAgain(event, answer.records?.[place])) };
      }
      if (response.status === 429 || response.status >= 500) {
        const seconds = Number(response.headers.get("Retry-After"));
        return { again: events, wait: seconds > 0 ? seconds * 1000 : undefined };
      }
      this.#giveUp(events, `${answer.error_code}: ${answer.error_message}`);
      return { again: [] };
    }

    #isToBeSentAgain(event, record) {
      if (!record || record.error_code === "NotStored") return true;
      if (!record.failed) tell(event, "stored");
      else this.#giveUp([event], `${record.error_code}: ${record.error_message}`);
      return false;
    }

    // Sending these again would not help.
    #giveUp(events, reason) {
      console.error(`Dataless: ${events.length} of ${this.#route} refused. ${reason}`);
      for (const event of events) tell(event, "refused", reason);
    }

    // Doubles with each failure; drawn at random so that a million pages do not come back in the same second.
    #backoff() {
      return Math.random() * Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** this.#failures);
    }

    // The page may be gone any moment. What has not been sent goes out as beacons, which the browser sends by itself.
    leave() {
      // Where requests cannot outlive the page, those under way are lost with it.
      const lost = "keepalive" in Request.prototype ? [] : this.#sending.filter((event) => !this.#handedOver.has(event));
      const left = [...this.#waiting, ...lost];
      const refused = this.#beacon(left);
      this.#handOver(left.filter((event) => !refused.includes(event)));
      this.#waiting = this.#waiting.filter((event) => refused.includes(event));
    }

    #handOver(events) {
      for (const event of events) {
        this.#handedOver.add(event);
        tell(event, "handed over");
      }
    }

    // Halves what is over the browser's limit. Returns what it did not take.
    #beacon(events) {
      if (events.length === 0) return [];
      if (events.length <= MAX_BATCH && navigator.sendBeacon(this.#url(), this.#body(events))) return [];
      if (events.length === 1) return events;
      const half = Math.ceil(events.length / 2);
      return [...this.#beacon(events.slice(0, half)), ...this.#beacon(events.slice(half))];
    }

    // The page was only hidden. Whether its beacons arrived nobody can tell, so the events are sent again under the same ids.
    comeBack() {
      const known = new Set([...this.#waiting, ...this.#sending]);
      this.#waiting.push(...[...this.#handedOver].filter((event) => !known.has(event)));
      this.#handedOver.clear();
      if (this.#waiting.length > 0) this.#sendIn(BATCH_WAIT_MS);
    }

    #url() {
      return `${baseUrl}/${this.#route}`;
    }

    #body(events) {
      return JSON.stringify({ [this.#route]: events });
    }
  }

  const outboxes = new Map(); // event type → its outbox

  function outboxOf(type) {
    if (!outboxes.has(type)) outboxes.set(type, new Outbox(type));
    return outboxes.get(type);
  }

  /**
   * An ad was shown.
   * @typedef {Object} Impression
   * @property {string} impression_id UUID of the impression
   * @property {string} ad_id UUID of the ad
   * @property {string} occurred_at time of the impression, RFC 3339
   */

  /**
   * A shown ad was clicked.
   * @typedef {Object} Click
   * @property {string} click_id UUID of the click
   * @property {string} impression_id UUID of the impression that was clicked
   * @property {string} ad_id UUID of the ad
   * @property {string} occurred_at time of the click, RFC 3339
   */

  /**
   * Sends an event with others of its type, within a second or two, until the API has stored or refused it. Give it an id of
   * its own: without one, an event that is sent twice counts twice.
   * @param {string} type the event type, such as "impressions": the name of its schema in events/
   * @param {Impression | Click | Object} event
   */
  function send(type, event) {
    outboxOf(type).add(event);
  }

  /** Sends what waits for other events of its type. For a page that is about to go. */
  function flush() {
    for (const outbox of outboxes.values()) outbox.send();
  }

  const impressionIds = new Map(); // ad element → id of its impression, once it was seen

  // Once an ad element and page view.
  function recordImpression(ad) {
    if (!impressionIds.has(ad)) {
      const event = { impression_id: uuid(), ad_id: ad.dataset.adId, occurred_at: new Date().toISOString() };
      impressionIds.set(ad, event.impression_id);
      send("impressions", event);
    }
    return impressionIds.get(ad);
  }

  function recordClick(ad) {
    // A click on an ad that was not yet seen for a second counts as seeing it: the same guidelines take a click as
    // stronger than pixels and time. A click always names its impression.
    const impression_id = recordImpression(ad);
    send("clicks", { click_id: uuid(), impression_id, ad_id: ad.dataset.adId, occurred_at: new Date().toISOString() });
    // No waiting for others: the page is about to go.
    flush();
  }

  const inView = new Set(); // ads with enough of their pixels in the viewport
  const timers = new Map(); // ad → its second

  // Starts or stops the second of each ad. IntersectionObserver is silent about hidden tabs, hence the second condition.
  function watch(ad) {
    const isVisible = inView.has(ad) && document.visibilityState === "visible";
    if (!isVisible) {
      clearTimeout(timers.get(ad));
      timers.delete(ad);
    } else if (!timers.has(ad) && !impressionIds.has(ad)) {
      timers.set(ad, setTimeout(() => recordImpression(ad), VISIBLE_MS));
    }
  }

  function start() {
    const ads = document.querySelectorAll("[data-ad-id]");
    const observer = new IntersectionObserver(
      (entries) => {
        for (const { target, isIntersecting, intersectionRatio } of entries) {
          if (isIntersecting && intersectionRatio >= VISIBLE_SHARE) inView.add(target);
          else inView.delete(target);
          watch(target);
        }
      },
      { threshold: VISIBLE_SHARE },
    );
    for (const ad of ads) {
      observer.observe(ad);
      ad.addEventListener("click", () => recordClick(ad));
      // The middle button opens a new tab and is a click too; the right one is not.
      ad.addEventListener("auxclick", ({ button }) => button === 1 && recordClick(ad));
    }
    document.addEventListener("visibilitychange", () => {
      for (const ad of ads) watch(ad);
      for (const outbox of outboxes.values()) {
        // On phones this is often the last that a page hears.
        if (document.visibilityState === "hidden") outbox.leave();
        else outbox.comeBack();
      }
    });
    addEventListener("pagehide", () => {
      isLeaving = true;
      for (const outbox of outboxes.values()) outbox.leave();
    });
    addEventListener("pageshow", () => {
      isLeaving = false;
      for (const outbox of outboxes.values()) outbox.comeBack();
    });
  }

  // Without an API nothing is sent.
  globalThis.dataless = { send: baseUrl ? send : () => {}, flush, uuid };
  if (baseUrl) start();
  else console.warn("Dataless: no API. Give data-base-url to the script, or ?api= to the page.");
})();
