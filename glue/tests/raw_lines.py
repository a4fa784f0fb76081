"""The nasty lines as a file that tests in Rust read too: `crates/events/tests/data/raw_lines.json`.

    .dataless/tools/spark/bin/python glue/tests/raw_lines.py --write

Each line has its table, its text (or its bytes, in hexadecimal, where it is none), and whether the ETL finds an event in it. What
is `early` depends on the hour of arrival, so by itself such a line is an event.
"""

import json
import sys
from pathlib import Path

import nasty
import nasty_orders

FILE = Path(__file__).resolve().parents[2] / "crates/events/tests/data/raw_lines.json"


def lines() -> list[dict]:
    found = []
    for table, labelled in (("impressions", nasty.LINES), ("orders", nasty_orders.LINES)):
        for _, _, line, fate, *_ in labelled:
            one = {"table": table, "is_event": fate in (*nasty.FATES, "early"), "fate": fate}
            found.append(one | ({"text": line} if isinstance(line, str) else {"bytes": line.hex()}))
    return found


def text() -> str:
    return "[\n" + ",\n".join(json.dumps(line) for line in lines()) + "\n]\n"


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    FILE.write_text(text(), encoding="utf-8")
