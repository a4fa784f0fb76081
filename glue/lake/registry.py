"""The event types of a Glue catalog, without Spark: each table with the parameter `event.id` is one. lake/table.py has the rest."""

from __future__ import annotations

import re
from typing import Any


def event_groups(glue: Any, database: str) -> dict[str, str]:
    """The event types by name, each with its group. `glue` is a client of boto3. Raises `ValueError` when there are
    none, or for a table that is not at `…/lake/<group>/<type>/`."""
    groups = {}
    for page in glue.get_paginator("get_tables").paginate(DatabaseName=database):
        for table in page["TableList"]:
            if "event.id" not in table.get("Parameters", {}):
                continue
            name, location = table["Name"], table["StorageDescriptor"]["Location"]
            found = re.fullmatch(rf".*/lake/([^/]+)/{re.escape(name)}/?", location)
            if not found:
                raise ValueError(
                    f"{database}.{name} is at {location}: a table of events must be at …/lake/<group>/{name}/"
                )
            groups[name] = found[1]
    if not groups:
        raise ValueError(f"the database {database} has no table of events")
    return dict(sorted(groups.items()))
