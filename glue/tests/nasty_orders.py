"""Raw lines of a table with columns of every type, each with its fate, and for a kept one the values that are not null.

A line is (hour of arrival, file name, line, fate, values). The table is not part of the product: it is like one that a
team adds.
"""

import json
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import nasty

TABLE: dict[str, Any] = {
    "name": "orders",
    "columns": {
        "order_id": "string",
        "customer": {"id": "bigint", "name": "string"},
        "ordered_at": "timestamp",
        "total": "decimal(12,2)",
        "quantity": "bigint",
        "weight": "double",
        "paid": "boolean",
        "due_on": "date",
        "shipped_at": "timestamp",
        "coupon_id": "string",
        "note": "string",
        "tags": ["string"],
        "items": [
            {"sku": "string", "quantity": "bigint", "price": "decimal(12,2)", "gift": "boolean", "parts": ["bigint"]}
        ],
        "sizes": ["double"],
    },
    "id": "order_id",
    "time": "ordered_at",
    "required": ["order_id", "customer.id", "ordered_at", "total"],
    "uuid": ["order_id", "coupon_id"],
    "sort": ["ordered_at", "order_id"],
    "erase": ["coupon_id", "note", "quantity"],
    "group": "shop",
}
TIME = "2026-11-20 12:00:00.000"
MOMENT = datetime(2026, 11, 20, 12)


def ddl(kind: Any) -> str:
    """A type in the catalog's notation."""
    if isinstance(kind, dict):
        return f"struct<{','.join(f'{name}:{ddl(member)}' for name, member in kind.items())}>"
    return f"array<{ddl(kind[0])}>" if isinstance(kind, list) else kind


def catalog_table(database: str, data_path: str) -> dict:
    """The table as `aws glue get-tables` returns it."""
    columns = [{"Name": name, "Type": ddl(kind)} for name, kind in TABLE["columns"].items()]
    lists = {f"event.{key}": ",".join(TABLE[key]) for key in ("required", "uuid", "sort", "erase")}
    return {
        "Name": TABLE["name"],
        "DatabaseName": database,
        "PartitionKeys": [{"Name": key, "Type": "string"} for key in ("year", "month", "day", "arrived")],
        "Parameters": {"event.id": TABLE["id"], "event.time": TABLE["time"]} | lists,
        "StorageDescriptor": {
            "Columns": [*columns, {"Name": "arrived_at", "Type": "timestamp"}],
            "Location": f"{data_path}/lake/{TABLE['group']}/{TABLE['name']}/",
            "SerdeInfo": {"SerializationLibrary": "org.apache.hadoop.hive.ql.io.orc.OrcSerde"},
        },
    }


def order(number: int, *members: str, **given: Any) -> str:
    """An order: its fields; a member in JSON replaces the field of the same name."""
    fields = {"order_id": nasty.own_id(number), "customer": {"id": 7}, "ordered_at": TIME, "total": 1.5} | given
    for member in members:
        fields.pop(member.split('"')[1], None)
    return json.dumps(fields)[:-1] + "".join(f", {member}" for member in members) + "}"


def kept(number: int, *members: str, values: dict | None = None, **given: Any) -> tuple:
    """The line of an order that is kept, with these values in addition to those of every order."""
    every = {"order_id": nasty.own_id(number), "customer": (7, None), "ordered_at": MOMENT, "total": Decimal("1.50")}
    return "2026-11-20 12", "a.gz", order(number, *members, **given), "kept", every | (values or {})


def rejected(reason: str, number: int, *members: str, **given: Any) -> tuple:
    return "2026-11-20 12", "a.gz", order(number, *members, **given), reason, None


ITEM = {"sku": "a", "quantity": 2, "price": 3.25, "gift": True, "parts": [1, None]}

FITTING = [
    kept(1),
    kept(
        2,
        customer={"id": 8, "name": "für Ödön 🦀", "more": [{}]},
        quantity=3, weight=0.25, paid=False, due_on="2026-12-24", shipped_at="2026-11-21 00:00:00", coupon_id=nasty.AD.upper(),
        note='a "quoted" \\ text\n', tags=["x", None, ""], items=[ITEM, None, {}],
        values={
            "customer": (8, "für Ödön 🦀"), "quantity": 3, "weight": 0.25, "paid": False, "due_on": date(2026, 12, 24),
            "shipped_at": datetime(2026, 11, 21), "coupon_id": nasty.AD, "note": 'a "quoted" \\ text\n', "tags": ["x", None, ""],
            "items": [("a", 2, Decimal("3.25"), True, [1, None]), None, (None,) * 5],
        },
    ),
    kept(3, note="", tags=[], items=[], values={"note": "", "tags": [], "items": []}),
    kept(4, quantity=None, weight=None, paid=None, due_on=None, shipped_at=None, note=None, tags=None, items=None),
    # Whole numbers: no point, no exponent, 64 bits.
    kept(10, '"quantity": 9223372036854775807', values={"quantity": 2**63 - 1}),
    kept(11, '"quantity": -9223372036854775808', values={"quantity": -(2**63)}),
    kept(12, '"quantity": -0', values={"quantity": 0}),
    # Any number is a double, the nearest.
    kept(20, '"weight": 7', values={"weight": 7.0}),
    kept(21, '"weight": 1e-400', values={"weight": 0.0}),
    kept(22, '"weight": 1.7976931348623157E+308', values={"weight": 1.7976931348623157e308}),
    kept(23, f'"weight": 0.{"3" * 1001}', values={"weight": 1 / 3}),
    kept(24, '"weight": 9007199254740993', values={"weight": 9007199254740992.0}),
    # Decimals are rounded half up, away from zero, and may be in quotes.
    kept(30, '"total": 0.005', values={"total": Decimal("0.01")}),
    kept(31, '"total": -0.005', values={"total": Decimal("-0.01")}),
    kept(32, '"total": 1.4949999999999999999999999999', values={"total": Decimal("1.49")}),
    kept(33, '"total": "12.345"', values={"total": Decimal("12.35")}),
    kept(34, '"total": 9999999999.994', values={"total": Decimal("9999999999.99")}),
    kept(35, f'"total": 1.{"7" * 1001}', values={"total": Decimal("1.78")}),
    kept(36, '"total": 125e-3', values={"total": Decimal("0.13")}),
    kept(37, '"total": 1E+9', values={"total": Decimal("1000000000.00")}),
    kept(38, '"total": 1e-9999', values={"total": Decimal("0.00")}),
    kept(39, '"total": "1,234.5"', values={"total": Decimal("1234.50")}),
    kept(40, '"total": "+.5"', values={"total": Decimal("0.50")}),
    # Text takes anything; what was not text is JSON.
    kept(50, '"note": 7', values={"note": "7"}),
    kept(51, '"note": true', values={"note": "true"}),
    kept(52, '"note": 1.10', values={"note": "1.1"}),
    kept(53, '"note": [ 1e2, -0, 1e400, null, "x\\/\\u00e9\\u001f", {"b" : 1, "a" : {}, "b" : 2} ]',
         values={"note": '[100.0,0,"Infinity",null,"x/é\\u001F",{"b":1,"a":{},"b":2}]'}),
    kept(54, f'"note": {"7" * 1001}', values={"note": "7" * 1001}),
    kept(55, f'"note": {"[" * 2000}{"]" * 2000}', values={"note": "[" * 2000 + "]" * 2000}),
    kept(56, '"customer": {"id": 7, "name": [1]}', values={"customer": (7, "[1]")}),
    kept(57, '"tags": [1, {"a": 2}]', values={"tags": ["1", '{"a":2}']}),
    kept(58, '"note": "null"', values={"note": "null"}),
]  # fmt: skip

# An invalid optional value is null, and the line is still an event.
NULLED = [
    kept(100, quantity=1.0),
    kept(101, '"quantity": 1e2'),
    kept(102, quantity="7"),
    kept(103, quantity=2**63),
    kept(104, f'"quantity": {"7" * 1001}'),
    kept(105, quantity=True),
    kept(106, quantity=[]),
    kept(110, '"weight": 1e400'),
    kept(111, f'"weight": -{"7" * 1001}'),
    kept(112, weight="1.5"),
    kept(113, weight="NaN"),
    kept(114, weight=""),
    kept(120, paid="true"),
    kept(121, paid=1),
    kept(130, due_on="2026-02-30"),
    kept(131, due_on="2026-1-1"),
    kept(132, due_on="2026-12-24 00:00:00"),
    kept(133, due_on=20261224),
    kept(134, due_on="0000-01-01"),
    kept(140, shipped_at="2026-11-20T12:00:00Z"),
    kept(141, shipped_at="2026-11-20"),
    kept(142, shipped_at=1763640000),
    kept(150, coupon_id="none"),
    kept(151, coupon_id=7),
    kept(160, tags="x"),
    kept(161, tags={}),
    kept(162, items={"sku": "a"}),
    # In an object only the member is null; an array with an element of another type is invalid.
    kept(170, customer={"id": 7, "name": {}}, values={"customer": (7, "{}")}),
    kept(171, items=[{"sku": "a", "quantity": "2", "gift": "yes", "price": "x", "parts": 1}],
         values={"items": [("a", None, None, None, None)]}),
    kept(172, items=[{"sku": "a"}, 7, {"sku": "b"}]),
    kept(173, items=[{"sku": "a", "parts": [1, "2", 3]}], values={"items": [("a", None, None, None, None)]}),
    kept(174, items=[[]]),
    kept(175, items=[{"parts": ["1", {"quantity": 1}, [2]], "sku": "a"}], quantity=5,
         values={"quantity": 5, "items": [("a", None, None, None, None)]}),
    # A decimal of more digits than the column has, or with an exponent of more than four.
    kept(180, items=[{"price": 9999999999.995}], values={"items": [(None,) * 5]}),
    kept(181, items=[{"price": "high"}], values={"items": [(None,) * 5]}),
]  # fmt: skip

# Of several members with the same name, the last that is null or has the column's type counts.
REPEATED = [
    kept(200, '"quantity": 1, "quantity": 2', values={"quantity": 2}),
    kept(201, '"quantity": 1, "quantity": "x"', values={"quantity": 1}),
    kept(202, '"quantity": 1, "quantity": null'),
    kept(203, '"quantity": null, "quantity": 2', values={"quantity": 2}),
    kept(204, '"weight": 1, "weight": 1e400'),
    kept(205, '"paid": true, "paid": "no"', values={"paid": True}),
    kept(206, '"total": 2, "total": "x"', values={"total": Decimal("2.00")}),
    kept(207, '"note": "a", "note": 7', values={"note": "7"}),
    kept(208, '"due_on": "2026-12-24", "due_on": "soon"'),
    kept(209, '"tags": ["a"], "tags": ["b"]', values={"tags": ["b"]}),
    kept(210, '"tags": ["a"], "tags": 7', values={"tags": ["a"]}),
    kept(211, '"customer": {"name": "x", "id": 8}, "customer": {"id": 9}', values={"customer": (9, None)}),
    kept(212, '"customer": {"id": 8, "id": "x"}', values={"customer": (8, None)}),
    kept(213, '"customer": {"id": 7}, "customer": "x"'),
    rejected("missing total", 220, '"total": null'),
    rejected("missing total", 221, '"total": "x", "total": null'),
    rejected("invalid total", 222, '"total": null, "total": "x"'),
    rejected("invalid ordered_at", 223, f'"ordered_at": "{TIME}", "ordered_at": "soon"'),
]

REJECTED = [
    rejected("missing total", 300, total=None),
    rejected("invalid total", 301, total="much"),
    rejected("invalid total", 302, total=""),
    rejected("invalid total", 303, total=True),
    rejected("invalid total", 304, total=[1]),
    rejected("invalid total", 305, '"total": 9999999999.995'),
    rejected("invalid total", 306, f'"total": {"7" * 1001}'),
    rejected("invalid total", 307, total="1 2"),
    rejected("missing customer.id", 310, customer=None),
    rejected("missing customer.id", 311, customer={}),
    rejected("missing customer.id", 312, customer={"id": None}),
    rejected("missing customer.id", 313, customer=7),
    rejected("missing customer.id", 314, customer=[{"id": 7}]),
    rejected("invalid customer.id", 315, customer={"id": "7"}),
    rejected("invalid customer.id", 316, customer={"id": 7.5}),
    rejected("missing customer.id", 317, customer={"ID": 7}),
    rejected("missing order_id", 318, order_id=None),
    rejected("invalid order_id", 319, order_id=7),
    rejected("missing customer.id", 320, customer={}, ordered_at=None, total=None),
    rejected("malformed", 321, '"note": "\\udd80"'),
    rejected("early", 322, ordered_at="2026-11-20 14:00:00.000"),
]

# Same hour, object and time: the columns decide, in the table's order and null first, whatever the line's order.
TIES = [
    (*kept(400, customer={"id": 7, "name": "b"}, total=1)[:3], "repeats", None),
    (*kept(400, customer={"id": 7}, total=2)[:3], "kept", {"total": Decimal("2.00")}),
    (*kept(401, '"total": 10', quantity=1)[:3], "repeats", None),
    (*kept(401, '"total": 9.5', quantity=2)[:3], "kept", {"total": Decimal("9.50"), "quantity": 2}),
    (*kept(402, paid=True)[:3], "repeats", None),
    (*kept(402, paid=False)[:3], "kept", {"paid": False}),
    (*kept(403, note="ä")[:3], "repeats", None),
    (*kept(403, note="z", tags=["b"])[:3], "repeats", None),
    (*kept(403, note="z", tags=["a", "c"])[:3], "repeats", None),
    (*kept(403, note="z", tags=["a"])[:3], "kept", {"note": "z", "tags": ["a"]}),
    (*kept(404, items=[{"sku": "b"}])[:3], "repeats", None),
    (*kept(404, items=[{"sku": None, "quantity": 9}])[:3], "kept", {"items": [(None, 9, None, None, None)]}),
    (*kept(405, due_on="2026-12-24")[:3], "repeats", None),
    (*kept(405, due_on="2026-02-30")[:3], "kept", {}),
    (*kept(406, note="b")[:3], "repeats", None),
    (*kept(406, note=10)[:3], "kept", {"note": "10"}),
]

NONE = (None,) * 5
BIG, SMALL = "1e99999999", "1e-99999999"

# Numbers that would keep Java busy for minutes: with an exponent of more than four digits they are text, not decimals.
BEYOND = [
    kept(500, items=[{"price": BIG}], values={"items": [NONE]}),
    rejected("invalid total", 501, f'"total": {BIG}'),
    rejected("invalid total", 502, f'"total": {SMALL}'),
    rejected("invalid total", 503, '"total": "1e-10000"'),
    rejected("invalid total", 505, '"total": "1,e+9,9,9,9,9,9,9,9"'),
    rejected("invalid total", 506, r'"total": "\u0031e99999999"'),
    rejected("invalid total", 507, f'"total" : "{SMALL}"'),
    rejected("invalid total", 508, '"total": 0.00E+00001'),
    kept(509, f'"total": 1.5, "total":{BIG}'),
    kept(510, f'"quantity": {BIG}, "weight" :{SMALL}'),
    kept(511, f'"weight": 1, "weight": {BIG}', values={"weight": 1.0}),
    kept(512, f'"items": [{{"price": {SMALL}, "quantity": {BIG}, "sku": {BIG}}}]', values={"items": [(BIG, *NONE[1:])]}),
    kept(513, f'"items": [{{"sku": "12E34567", "price": 2, "parts": [{BIG}]}}, null, {{"sku": "\\u0031e99999\\\\\\"", "price": "0.5"}}]',
         values={"items": [("12E34567", None, Decimal("2.00"), None, None), None, ('1e99999\\"', None, Decimal("0.50"), None, None)]}),
    kept(514, f'"note": {BIG}', values={"note": BIG}),
    kept(515, f'"note": [{BIG}, "{BIG}", "a, {BIG}, b", {{"1e99999": -1.5e+12345}}], "more": [{BIG}], "1e99999" : {BIG}',
         values={"note": f'["{BIG}","{BIG}","a, {BIG}, b",{{"1e99999":"-1.5e+12345"}}]'}),
    kept(516, f'"note": "\\\\\\"{BIG}\\"\\\\", "tags": ["{BIG}", {BIG}, "Infinity"]',
         values={"note": f'\\"{BIG}"\\', "tags": [BIG, BIG, "Infinity"]}),
    kept(517, '"note": 1e9999', values={"note": '"Infinity"'}),
    rejected("malformed", 518, f'"note": 0{BIG}'),
    rejected("malformed", 519, f'"note": {{{BIG}: 1}}'),
    rejected("malformed", 520, f'"note": {BIG}x'),
    rejected("malformed", 521, f'"note": "x {BIG}'),
    rejected("malformed", 522, f'"note": +{BIG}, "total": 1.{BIG}'),
    # A double is never infinite, not even in an array. Text that says Infinity stays text.
    kept(530, '"sizes": [1, 1e400, -1e999, 2.5]', values={"sizes": [1.0, None, None, 2.5]}),
    kept(531, f'"sizes": [{"7" * 400}], "note": "-Infinity", "tags": ["Infinity", 1e400]',
         values={"sizes": [None], "note": "-Infinity", "tags": ["Infinity", '"Infinity"']}),
    kept(532, '"sizes": ["Infinity"]'),
    kept(533, f'"sizes": [1, {BIG}]'),
    # A member of something that is not an object is missing, though it may look like one.
    rejected("missing customer.id", 540, customer='{"id": 7}'),
    rejected("missing customer.id", 541, customer='{"id": "x"}'),
]  # fmt: skip

LINES = FITTING + NULLED + REPEATED + REJECTED + TIES + BEYOND
