"""Fakes of AWS with the calls that the jobs make."""

import hashlib
import io
from pathlib import Path

from support.spark import deployed_tables


class VersionedBucket:
    """S3 for an erasure: (key, version, content), the newest version of a key last; a delete marker has no content."""

    def __init__(self, status: str | None):
        self.status = status
        self.stored: list[tuple[str, str, bytes]] = []
        self.described: dict[str, dict] = {}

    def put_object(self, Bucket, Key, Body, **described):
        version = f"v{len(self.stored)}" if self.status == "Enabled" else "null"
        self.stored = [entry for entry in self.stored if entry[:2] != (Key, version)]
        self.stored.append((Key, version, Body if isinstance(Body, bytes) else Body.read()))
        self.described[Key] = described
        return {"VersionId": version} if self.status else {}

    def get_bucket_versioning(self, Bucket):
        return {"Status": self.status} if self.status else {}

    def get_paginator(self, operation):
        self.operation = operation
        return self

    def paginate(self, Bucket, Prefix):
        found = [entry for entry in self.stored if entry[0].startswith(Prefix)]
        latest = {key: version for key, version, _ in found}
        if self.operation == "list_objects_v2":
            yield {"Contents": [{"Key": key} for key, _, _ in found]}
        else:
            for key, version, content in found:
                entry = {"Key": key, "VersionId": version, "IsLatest": latest[key] == version}
                yield {"DeleteMarkers" if content is None else "Versions": [entry]}
        yield {}

    def head_object(self, Bucket, Key, VersionId=""):
        return {"ContentType": "application/octet-stream", "Metadata": {"kept": "yes"}, "ContentLength": 1}

    def get_object(self, Bucket, Key, VersionId=""):
        (*_, content) = [body for key, version, body in self.stored if key == Key and VersionId in ("", version)]
        return {"Body": io.BytesIO(content)}

    def delete_object(self, Bucket, Key):
        self.stored = [entry for entry in self.stored if entry[0] != Key]

    def delete_objects(self, Bucket, Delete):
        gone = {(entry["Key"], entry["VersionId"]) for entry in Delete["Objects"]}
        assert gone <= {entry[:2] for entry in self.stored} and len(gone) <= 1000
        self.stored = [entry for entry in self.stored if entry[:2] not in gone]
        return {}


class DynamoDB:
    """Items by (ad, day)."""

    def __init__(self):
        self.items = set()

    def get_paginator(self, operation):
        assert operation == "query"
        return self

    def paginate(self, ExpressionAttributeValues, **_):
        ad = ExpressionAttributeValues[":id"]["S"]
        return [{"Items": [{"day": {"S": day}} for item, day in sorted(self.items) if item == ad]}, {"Items": []}]

    def batch_write_item(self, RequestItems):
        for request in RequestItems["AdTraffic"]:
            key = request["DeleteRequest"]["Key"]
            self.items.remove((key["ad_id"]["S"], key["day"]["S"]))
        return {"UnprocessedItems": {}}


class FolderBucket:
    """S3 for `undelivered.py`, in the warehouse's folder. It can die before any of its changes."""

    def __init__(self, folder: Path):
        self.folder, self.changes, self.dies_at = folder, 0, None

    def change(self) -> None:
        if self.changes == self.dies_at:
            raise KeyboardInterrupt
        self.changes += 1

    def get_paginator(self, operation):
        assert operation == "list_objects_v2"
        return self

    def paginate(self, Bucket, Prefix):
        keys = sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())
        found = [{"Key": key} for key in keys if key.startswith(Prefix)]
        return [{"Contents": found}, {}]

    def get_object(self, Bucket, Key):
        return {"Body": io.BytesIO((self.folder / Key).read_bytes())}

    def put_object(self, Bucket, Key, Body):
        self.change()
        path = self.folder / Key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Body)

    def delete_object(self, Bucket, Key):
        self.change()
        (self.folder / Key).unlink()


class Catalog:
    """Glue for `undelivered.py`: the deployed tables, in two pages."""

    def __init__(self, *more: dict):
        self.tables = [*deployed_tables("dataless"), *more]

    def get_paginator(self, operation):
        assert operation == "get_tables"
        return self

    def paginate(self, DatabaseName):
        assert DatabaseName == "dataless"
        return [{"TableList": self.tables[:1]}, {"TableList": self.tables[1:]}]


class Body(io.BytesIO):
    def iter_chunks(self, size):
        while chunk := self.read(size):
            yield chunk


class CountingBucket:
    """S3 for the mirror and the import. It records the calls."""

    def __init__(self):
        self.objects, self.calls, self.listed = {}, [], []

    def get_paginator(self, _name):
        return self

    def paginate(self, Bucket, Prefix):
        self.listed.append(Prefix)
        found = [{"Key": key, "ETag": tag(body)} for key, body in self.objects.items() if key.startswith(Prefix)]
        # One object per page, so that there are several pages.
        return [{"Contents": [entry]} for entry in found] or [{}]

    def get_object(self, Bucket, Key):
        self.calls.append(("get", Key))
        return {"Body": Body(self.objects[Key]), "ETag": tag(self.objects[Key])}

    def put_object(self, Bucket, Key, Body):
        self.calls.append(("put", Key))
        self.objects[Key] = Body.read()
        return {"ETag": tag(self.objects[Key])}

    def delete_objects(self, Bucket, Delete):
        for entry in Delete["Objects"]:
            self.calls.append(("delete", entry["Key"]))
            del self.objects[entry["Key"]]
        return {}


def tag(body):
    return f'"{hashlib.md5(body).hexdigest()}"'


class CloudWatch:
    """Takes metrics."""

    def __init__(self):
        self.calls = []

    def put_metric_data(self, **call):
        self.calls.append(call)


class Counted:
    """What the metrics sink counted: hours by metric."""

    def __init__(self, **hours: list[float]):
        self.hours = hours
        self.asked: list[dict] = []

    def get_metric_statistics(self, **call):
        self.asked.append(call)
        return {"Datapoints": [{"Sum": value} for value in self.hours.get(call["MetricName"], [])]}
