"""Tests examples/browser in a real Chromium, from the page to the events in S3."""

import datetime
import gzip
import json
import time
import uuid

import pytest

SETTLED_SECONDS = 2.5

# Without CORS headers, the script cannot read the response. To the script, it looks like a network failure.
NOT_READABLE = (502, {}, b"")


STARTED = datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=1)


def stored(bucket, kind, ads):
    """Returns the raw events of these ads in S3, from the current and the previous hour."""
    now = datetime.datetime.now(datetime.UTC)
    events = []
    for hour in (now - datetime.timedelta(hours=1), now):
        for found in bucket.objects.filter(
            Prefix=hour.strftime(f"data/raw/ad/{kind}/year=%Y/month=%m/day=%d/hour=%H/")
        ):
            if found.last_modified < STARTED:
                continue
            body = found.get()["Body"].read()
            body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
            if any(ad.encode() in body for ad in ads):
                events += [event for event in map(json.loads, body.splitlines()) if event["ad_id"] in ads]
    return events


def wait_for_stored(bucket, kind, ads, count, target):
    ends = time.monotonic() + target.delivery_seconds
    while len(events := stored(bucket, kind, ads)) < count and time.monotonic() < ends:
        time.sleep(0.5)
    assert len(events) == count, f"{len(events)} {kind} in S3, not {count}"
    return events


def ad(page, name):
    return page.locator(f".ad[data-name={name}]")


def ad_id(page, name):
    return ad(page, name).get_attribute("data-ad-id")


def look_at(page, name):
    ad(page, name).evaluate("element => element.scrollIntoView({ block: 'center', behavior: 'instant' })")


def wait_for_state(page, name, state, kind="impression"):
    page.wait_for_selector(f"#log [data-ad-id='{ad_id(page, name)}'][data-kind={kind}][data-state='{state}']")


def hide(page, hidden):
    """Simulates a hidden or visible tab, because headless Chromium never hides a page."""
    page.evaluate(
        """state => {
          Object.defineProperty(document, "visibilityState", { value: state, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }""",
        "hidden" if hidden else "visible",
    )


def test_each_ad_that_was_seen_has_one_impression_in_s3(page, site, bucket, target, proxy):
    seen = {ad_id(page, "Lantern"), ad_id(page, "Tea")}
    wait_for_state(page, "Lantern", "stored")
    # Scroll past the second ad in less than a second, to the third.
    look_at(page, "Rowboat")
    page.wait_for_timeout(300)
    look_at(page, "Tea")
    wait_for_state(page, "Tea", "stored")
    # Scroll back to the first ad, which was already seen.
    look_at(page, "Lantern")
    page.wait_for_timeout(SETTLED_SECONDS * 1000)
    events = wait_for_stored(bucket, "impressions", site.ads.values(), 2, target)
    assert {event["ad_id"] for event in events} == seen
    sent = {event["impression_id"] for request in proxy.sent("impressions") for event in request.events}
    assert {event["impression_id"] for event in events} == sent
    assert not [request for request in proxy.passed if request.method == "OPTIONS"], "no preflight is needed"
    assert page.console == []


def test_an_event_sent_by_the_page_itself_keeps_its_id(page, bucket, target):
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event = {"impression_id": str(uuid.uuid4()), "ad_id": ad_id(page, "Rowboat"), "occurred_at": now}
    page.evaluate("event => dataless.send('impressions', event)", event)
    wait_for_state(page, "Rowboat", "stored")
    (found,) = wait_for_stored(bucket, "impressions", [event["ad_id"]], 1, target)
    assert found["impression_id"] == event["impression_id"]


def test_an_ad_less_than_half_in_view_is_not_seen(page, site, bucket, target, proxy):
    ad(page, "Rowboat").evaluate(
        "element => scrollBy(0, element.getBoundingClientRect().top - innerHeight + 0.4 * element.offsetHeight)"
    )
    page.wait_for_timeout(SETTLED_SECONDS * 1000)
    rowboat = ad_id(page, "Rowboat")
    assert rowboat not in {event["ad_id"] for request in proxy.sent("impressions") for event in request.events}
    ad(page, "Rowboat").evaluate("element => scrollBy(0, 0.2 * element.offsetHeight)")
    wait_for_state(page, "Rowboat", "stored")
    wait_for_stored(bucket, "impressions", [rowboat], 1, target)


def test_an_ad_in_a_hidden_tab_is_not_seen(page, proxy):
    hide(page, True)
    page.wait_for_timeout(SETTLED_SECONDS * 1000)
    assert proxy.sent("impressions") == []
    hide(page, False)
    wait_for_state(page, "Lantern", "stored")


@pytest.mark.parametrize("network_seconds", [0, 1.5])
def test_a_click_survives_the_navigation_that_it_starts(network_seconds, page, site, bucket, target, proxy):
    lantern = ad_id(page, "Lantern")
    wait_for_state(page, "Lantern", "stored")
    proxy.seconds = network_seconds
    ad(page, "Lantern").click()
    page.wait_for_url("**/landing.html*")
    (click,) = wait_for_stored(bucket, "clicks", [lantern], 1, target)
    (impression,) = wait_for_stored(bucket, "impressions", [lantern], 1, target)
    assert click["impression_id"] == impression["impression_id"]
    assert click["occurred_at"] > impression["occurred_at"]
    page.wait_for_timeout(SETTLED_SECONDS * 1000)
    assert len(proxy.sent("clicks")) == 1, "the request outlives the page, and no beacon repeats it"


def test_a_click_within_the_first_second_counts_as_an_impression(page, site, bucket, target):
    lantern = ad_id(page, "Lantern")
    ad(page, "Lantern").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/landing.html*")
    (click,) = wait_for_stored(bucket, "clicks", [lantern], 1, target)
    (impression,) = wait_for_stored(bucket, "impressions", [lantern], 1, target)
    assert click["impression_id"] == impression["impression_id"]


def test_leaving_the_page_sends_waiting_events_as_a_beacon(page, site, bucket, target, proxy):
    lantern = ad_id(page, "Lantern")
    wait_for_state(page, "Lantern", "waiting")
    proxy.seconds = 1.0
    page.goto("about:blank")
    wait_for_stored(bucket, "impressions", [lantern], 1, target)
    (beacon,) = proxy.sent("impressions")
    assert beacon.headers["Content-Type"].startswith("text/plain")
    assert beacon.headers.get("Sec-Fetch-Mode") == "no-cors", "fetch would have sent cors"


def send_json_beacon(page, proxy, event):
    """Sends an event as `application/json`, as a page of another origin without `beacon.js` does.

    Returns whether the browser queued the beacon.
    """
    script = """([url, event]) => navigator.sendBeacon(
        url, new Blob([JSON.stringify({ impressions: [event] })], { type: "application/json" }))"""
    return page.evaluate(script, [f"{proxy.url}/impressions", event])


def other_impression():
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"impression_id": str(uuid.uuid4()), "ad_id": str(uuid.uuid4()), "occurred_at": now}


def test_a_json_beacon_from_another_origin_arrives(page, site, bucket, target, proxy):
    assert site.url != proxy.url, "another port is another origin"
    event = other_impression()
    assert send_json_beacon(page, proxy, event)
    (found,) = wait_for_stored(bucket, "impressions", [event["ad_id"]], 1, target)
    assert found["impression_id"] == event["impression_id"]
    asked, sent = [
        passed for passed in proxy.passed if event["ad_id"].encode() in passed.body or passed.method == "OPTIONS"
    ]
    assert (asked.method, sent.method) == ("OPTIONS", "POST"), "it is asked for before it is sent"
    assert sent.headers["Content-Type"] == "application/json"
    assert page.console == []


def test_a_json_beacon_from_a_disallowed_origin_logs_to_the_console(page, proxy):
    # The function's answer to a preflight when AllowedOrigins does not contain the page's origin.
    refusal = {"Vary": "Origin", "Access-Control-Allow-Methods": "OPTIONS, POST"}
    event = other_impression()
    wait_for_state(page, "Lantern", "stored")
    proxy.answers = [(204, refusal, b"")]
    with page.expect_console_message(lambda message: "blocked by CORS policy" in message.text):
        send_json_beacon(page, proxy, event)
    page.wait_for_timeout(SETTLED_SECONDS * 1000)
    assert not [passed for passed in proxy.passed if event["ad_id"].encode() in passed.body], "it was never sent"


def test_a_restored_page_resends_unanswered_events(page, bucket, target, proxy):
    """Simulates leaving and returning, because Playwright disables the back-forward cache."""
    lantern = ad_id(page, "Lantern")
    wait_for_state(page, "Lantern", "stored")
    ad(page, "Lantern").evaluate("element => element.addEventListener('click', (event) => event.preventDefault())")
    proxy.seconds = 0.5
    proxy.answers = [NOT_READABLE]
    ad(page, "Lantern").click()
    page.evaluate("dispatchEvent(new PageTransitionEvent('pagehide', { persisted: true }))")
    wait_for_state(page, "Lantern", "handed over", kind="click")
    page.wait_for_timeout(SETTLED_SECONDS * 1000)
    assert len(proxy.sent("clicks")) == 1, "a page that is left is silent"
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    wait_for_state(page, "Lantern", "stored", kind="click")
    first, second = proxy.sent("clicks")
    assert first.body == second.body
    wait_for_stored(bucket, "clicks", [lantern], 1, target)


def test_closing_the_tab_loses_no_events(page, site, bucket, target):
    lantern = ad_id(page, "Lantern")
    wait_for_state(page, "Lantern", "waiting")
    page.close(run_before_unload=False)
    wait_for_stored(bucket, "impressions", [lantern], 1, target)


def test_after_hiding_the_tab_the_event_is_resent_with_the_same_id(page, site, bucket, target, proxy):
    wait_for_state(page, "Lantern", "waiting")
    hide(page, True)
    wait_for_state(page, "Lantern", "handed over")
    hide(page, False)
    wait_for_state(page, "Lantern", "stored")
    events = wait_for_stored(bucket, "impressions", [ad_id(page, "Lantern")], 2, target)
    assert len({event["impression_id"] for event in events}) == 1, "a repeat has the id of its first"


def test_a_batch_without_a_response_is_resent_with_the_same_ids(page, bucket, target, proxy):
    proxy.answers = [NOT_READABLE]
    wait_for_state(page, "Lantern", "stored")
    first, second = proxy.sent("impressions")
    assert first.body == second.body
    wait_for_stored(bucket, "impressions", [ad_id(page, "Lantern")], 1, target)


def test_a_failed_batch_is_resent_after_the_retry_after_time(page, bucket, target, proxy):
    error = json.dumps({"error_code": "ServiceUnavailable", "error_message": "try again later"}).encode()
    headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Retry-After"}
    proxy.answers = [(503, headers | {"Retry-After": "2", "Content-Type": "application/json"}, error)]
    started = time.monotonic()
    page.wait_for_function("() => document.querySelector('#log [data-state=stored]')")
    assert time.monotonic() - started > 2
    first, second = proxy.sent("impressions")
    assert first.body == second.body
    wait_for_stored(bucket, "impressions", [ad_id(page, "Lantern")], 1, target)


def test_only_the_event_that_was_not_stored_is_resent(page, bucket, target, proxy):
    not_stored = {"failed": True, "error_code": "NotStored", "error_message": "send it again under the same id"}
    answer = json.dumps({"failed_count": 1, "records": [{"failed": False}, not_stored]}).encode()
    proxy.answers = [(200, {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}, answer)]
    # Tall enough for two ads.
    page.set_viewport_size({"width": 1200, "height": 1400})
    wait_for_state(page, "Lantern", "stored")
    wait_for_state(page, "Rowboat", "stored")
    first, second = proxy.sent("impressions")
    assert first.events[1:] == second.events
    wait_for_stored(bucket, "impressions", [second.events[0]["ad_id"]], 1, target)


def test_a_refused_event_is_not_resent_and_the_console_shows_why(page, proxy):
    refused = {"failed": True, "error_code": "TooEarly", "error_message": "check the clock"}
    answer = json.dumps({"failed_count": 1, "records": [refused]}).encode()
    proxy.answers = [(200, {"Access-Control-Allow-Origin": "*", "Content-Type": "application/json"}, answer)]
    wait_for_state(page, "Lantern", "refused")
    page.wait_for_timeout(SETTLED_SECONDS * 1000)
    assert len(proxy.sent("impressions")) == 1
    assert page.console == ["error: Dataless: 1 of impressions refused. TooEarly: check the clock"]


def test_without_an_api_url_the_page_asks_for_one(browser, site, proxy):
    page = browser.new_page()
    page.goto(site.url)
    page.get_by_label("Base URL of the API").fill(proxy.url)
    page.get_by_role("button", name="Start").click()
    page.wait_for_selector("#log [data-state=stored]")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrasts_with_its_background(scheme, page):
    """The contrast is at least 4.5 to 1: https://www.w3.org/TR/WCAG22/#contrast-minimum

    On a gradient, this holds for each of its colours.
    """
    page.emulate_media(color_scheme=scheme)
    wait_for_state(page, "Lantern", "stored")
    worst = page.evaluate(
        """() => {
          const rgb = (text) => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
          const light = (colour) => {
            const [r, g, b] = colour.map((part) => ((part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
            return 0.2126 * r + 0.7152 * g + 0.0722 * b;
          };
          const grounds = (element) => {
            for (; element; element = element.parentElement) {
              const { backgroundImage, backgroundColor } = getComputedStyle(element);
              if (backgroundImage !== "none") return backgroundImage.match(/rgb\\([^)]*\\)/g).map(rgb);
              if (!/, 0\\)$|transparent/.test(backgroundColor)) return [rgb(backgroundColor)];
            }
            return [[255, 255, 255]];
          };
          const texts = [...document.querySelectorAll("body *")].filter((element) =>
            element.checkVisibility() && [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
          const ratios = texts.flatMap((element) => grounds(element).map((ground) => {
            const [dark, bright] = [light(rgb(getComputedStyle(element).color)), light(ground)].sort((a, b) => a - b);
            return [(bright + 0.05) / (dark + 0.05), element.textContent.trim().slice(0, 40)];
          }));
          return ratios.sort((a, b) => a[0] - b[0])[0];
        }"""
    )
    assert worst[0] >= 4.5, worst
