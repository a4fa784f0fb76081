"""With many callers and all faults at once, the callers' results, the requests at AWS and the log agree."""

import base64
import collections
import concurrent.futures
import http.client
import json

from faulty import always

CALLS = 400
SIGNATURE = "AWS4-HMAC-SHA256 Credential=test/20261120/us-east-1/firehose/aws4_request"
HEADERS = {"Authorization": SIGNATURE, "X-Amz-Target": "Firehose_20150804.PutRecordBatch"}


def firehose(request):
    taken = [{"RecordId": record["Data"]} for record in request.json["Records"]]
    return 200, {}, json.dumps({"FailedPutCount": 0, "RequestResponses": taken}).encode()


def call(url, number):
    """Sends a call with three records. Returns the kind of its result, and the data of the acknowledged records."""
    data = [base64.b64encode(f"{number}/{at}".encode()).decode() for at in range(3)]
    body = json.dumps({"DeliveryStreamName": "s", "Records": [{"Data": record} for record in data]})
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=120)
    try:
        connection.request("POST", "/", body, HEADERS)
        answer = connection.getresponse()
        content = answer.read()
    except http.client.IncompleteRead:
        return "half", []
    except (ConnectionError, http.client.RemoteDisconnected):
        return "nothing", []
    finally:
        connection.close()
    if answer.status != 200:
        return "refused", []
    entries = json.loads(content)["RequestResponses"]
    # The id of a record is its data. The answers have the same order as the request.
    assert all(entry.get("RecordId", record) == record for entry, record in zip(entries, data, strict=True))
    stored = [record for entry, record in zip(entries, data, strict=True) if "RecordId" in entry]
    return ("whole" if len(stored) == 3 else "part"), stored


def test_the_records_of_callers_aws_and_log_agree(upstream, start):
    upstream.answers = firehose
    kinds = ["throttle", "error-500", "partial-batch", "lost-answer", "late-answer", "cut", "truncate"]
    proxy = start(*({**always(kind, delay=0.05), "share": 0.12} for kind in kinds), seed=3)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(lambda number: call(proxy.url, number), range(CALLS)))
    seen = collections.Counter(kind for kind, _ in outcomes)
    faults = proxy.faults()
    injected = collections.Counter(fault["fault"] for fault in faults)
    assert injected.keys() == set(kinds)
    assert seen == {
        "refused": injected["throttle"] + injected["error-500"],
        "nothing": injected["cut"] + injected["lost-answer"],
        "half": injected["truncate"],
        "part": injected["partial-batch"],
        "whole": CALLS - sum(injected.values()) + injected["late-answer"],
    }
    # The proxy numbers the calls. Each call has at most one fault.
    assert len({fault["request"] for fault in faults}) == len(faults)
    assert max(fault["request"] for fault in faults) <= CALLS

    got = collections.Counter(record["Data"] for request in upstream.received for record in request.json["Records"])
    assert set(got.values()) == {1}
    acknowledged = {record for _, stored in outcomes for record in stored}
    assert acknowledged <= got.keys()
    # Records that AWS received but the caller saw no acknowledgement for are in calls with lost or truncated answers.
    assert len(got) - len(acknowledged) == 3 * (injected["lost-answer"] + injected["truncate"])
    refused = sum(len(fault["records"]) for fault in faults)
    not_forwarded = injected["throttle"] + injected["error-500"] + injected["cut"]
    assert len(got) == 3 * (CALLS - not_forwarded) - refused
