"""Partially refused batches: what is forwarded of a request, and the answer for the whole batch."""

from __future__ import annotations

import dataclasses
import json
import random

from services import THROTTLED, Call

REFUSED = THROTTLED["firehose"][0]


@dataclasses.dataclass(frozen=True)
class Part:
    """A batch without its refused entries."""

    operation: str
    document: dict
    # Indices in the order of the request.
    refused: list[int]

    @property
    def forwarded(self) -> bytes | None:
        """The body to forward; None when nothing is left of it."""
        raise NotImplementedError

    def answer(self, body: bytes | None) -> bytes:
        """The answer for the whole batch, from the answer for what was forwarded."""
        raise NotImplementedError


class Records(Part):
    """PutRecordBatch of Firehose: each record has its entry in the answer, in the order of the request.
    https://docs.aws.amazon.com/firehose/latest/APIReference/API_PutRecordBatch.html"""

    @property
    def forwarded(self) -> bytes | None:
        records = self.document["Records"]
        kept = [record for at, record in enumerate(records) if at not in self.refused]
        return json.dumps({**self.document, "Records": kept}).encode() if kept else None

    def answer(self, body: bytes | None) -> bytes:
        answered: dict = json.loads(body) if body else {"FailedPutCount": 0, "Encrypted": False, "RequestResponses": []}
        taken = iter(answered["RequestResponses"])
        refusal = {"ErrorCode": REFUSED.code, "ErrorMessage": REFUSED.message}
        count = len(self.document["Records"])
        entries = [refusal if at in self.refused else next(taken) for at in range(count)]
        failed = answered["FailedPutCount"] + len(self.refused)
        return json.dumps({**answered, "FailedPutCount": failed, "RequestResponses": entries}).encode()


class Items(Part):
    """BatchWriteItem of DynamoDB: what was not written comes back as UnprocessedItems.
    https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchWriteItem.html"""

    def _split(self) -> tuple[dict, dict]:
        kept: dict[str, list] = {}
        refused: dict[str, list] = {}
        at = 0
        for table, requests in self.document["RequestItems"].items():
            for request in requests:
                (refused if at in self.refused else kept).setdefault(table, []).append(request)
                at += 1
        return kept, refused

    @property
    def forwarded(self) -> bytes | None:
        return json.dumps({**self.document, "RequestItems": self._split()[0]}).encode()

    def answer(self, body: bytes | None) -> bytes:
        answered = json.loads(body or b"{}")
        unprocessed = answered.get("UnprocessedItems", {})
        for table, requests in self._split()[1].items():
            unprocessed[table] = unprocessed.get(table, []) + requests
        return json.dumps({**answered, "UnprocessedItems": unprocessed}).encode()


def split(call: Call, body: bytes, chance: random.Random) -> Part | None:
    """Refuses some entries of a batch; None if the request is not a batch, or is too small to be split."""
    kind: type[Part]
    try:
        document = json.loads(body)
        if (call.target, call.operation) == ("firehose", "PutRecordBatch"):
            kind, count, fewest = Records, len(document["Records"]), 1
        elif (call.target, call.operation) == ("dynamodb", "BatchWriteItem"):
            # If it can write nothing, DynamoDB throttles the whole call.
            kind, count, fewest = Items, sum(map(len, document["RequestItems"].values())), 2
        else:
            return None
    except (ValueError, KeyError, TypeError, AttributeError):
        # The service reports what is wrong with it.
        return None
    if count < fewest:
        return None
    # If there are several, at least one is accepted.
    refused = sorted(chance.sample(range(count), chance.randint(1, max(1, count - 1))))
    return kind(call.operation, document, refused)
