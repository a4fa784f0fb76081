"""Writes the event with which Firehose calls the metrics sink, for benchmarks.

    python3 tools/realtime/firehose_batch.py [--events 100000] [--per-record 500] [--stream impressions] > batch.json

Events are as the beacons write them: 144 bytes of JSON and a newline, up to 500 per record. The buffer of a processor
has 3 MB at most, about 20,000 events: 100,000 in one call are more than Firehose ever delivers.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
import time
import uuid


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--per-record", type=int, default=500)
    parser.add_argument("--stream", default="impressions")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    json.dump(
        batch(options.events, options.per_record, options.stream, options.seed), sys.stdout, separators=(",", ":")
    )


def batch(events: int, per_record: int, stream: str, seed: int) -> dict:
    """A batch that arrived within this minute."""
    dice = random.Random(seed)
    now = int(time.time() * 1000)
    records = []
    for first in range(0, events, per_record):
        data = b"".join(line(dice) for _ in range(min(per_record, events - first)))
        records.append(
            {
                # 56 digits, as Firehose's are.
                "recordId": f"4{dice.randrange(10**55):055}",
                "approximateArrivalTimestamp": now,
                "data": base64.b64encode(data).decode(),
            }
        )
    return {
        "invocationId": str(uuid.UUID(int=dice.getrandbits(128))),
        "deliveryStreamArn": f"arn:aws:firehose:us-east-1:000000000000:deliverystream/{stream}",
        "region": "us-east-1",
        "records": records,
    }


def line(dice: random.Random) -> bytes:
    ids = (uuid.UUID(int=dice.getrandbits(128), version=4) for _ in range(2))
    event = dict(zip(("impression_id", "ad_id"), map(str, ids), strict=True))
    event["occurred_at"] = f"2026-11-22 10:{dice.randrange(60):02}:{dice.randrange(60):02}.{dice.randrange(1000):03}"
    return json.dumps(event, separators=(",", ":")).encode() + b"\n"


if __name__ == "__main__":
    main()
