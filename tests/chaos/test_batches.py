"""Batches that AWS accepts only partially."""

import json

from faulty import always, client


def firehose(request):
    taken = [{"RecordId": f"id-of-{record['Data']}"} for record in request.json["Records"]]
    body = {"FailedPutCount": 0, "Encrypted": False, "RequestResponses": taken}
    return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()


# The letters in base64.
ENCODED = {"a": "YQ==", "b": "Yg==", "c": "Yw==", "d": "ZA==", "e": "ZQ=="}
SLOW_DOWN = {"ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down."}


def put(url, letters):
    records = [{"Data": letter.encode()} for letter in letters]
    return client("firehose", url).put_record_batch(DeliveryStreamName="s", Records=records)


def test_only_accepted_records_reach_firehose_and_answers_keep_their_order(upstream, start):
    upstream.answers = firehose
    proxy = start(always("partial-batch", "firehose"))
    refused_at_least_once = set()
    for _ in range(20):
        answer = put(proxy.url, "abcde")
        [*_, request] = upstream.received
        refused = proxy.faults()[-1]["records"]
        refused_at_least_once.update(refused)
        assert 1 <= len(refused) <= 4
        expected = [SLOW_DOWN if at in refused else {"RecordId": f"id-of-{ENCODED[x]}"} for at, x in enumerate("abcde")]
        assert answer["RequestResponses"] == expected
        assert answer["FailedPutCount"] == len(refused)
        assert request.json["Records"] == [{"Data": ENCODED[x]} for at, x in enumerate("abcde") if at not in refused]
        assert request.json["DeliveryStreamName"] == "s"
    assert refused_at_least_once == {0, 1, 2, 3, 4}
    assert len(upstream.received) == 20
    assert {fault["forwarded"] for fault in proxy.faults()} == {True}


def test_a_batch_of_one_record_is_refused_completely(upstream, start):
    upstream.answers = firehose
    proxy = start(always("partial-batch"))
    answer = put(proxy.url, "a")
    assert (answer["FailedPutCount"], answer["RequestResponses"]) == (1, [SLOW_DOWN])
    assert upstream.received == []
    assert [(fault["forwarded"], fault["records"]) for fault in proxy.faults()] == [(False, [0])]


def test_records_refused_by_firehose_itself_are_counted_too(upstream, start):
    def refuses_all(request):
        refusals = [{"ErrorCode": "InternalFailure", "ErrorMessage": "No."} for _ in request.json["Records"]]
        body = {"FailedPutCount": len(refusals), "RequestResponses": refusals}
        return 200, {"Content-Type": "application/x-amz-json-1.1"}, json.dumps(body).encode()

    upstream.answers = refuses_all
    proxy = start(always("partial-batch"))
    answer = put(proxy.url, "ab")
    assert answer["FailedPutCount"] == 2
    [refused] = proxy.faults()[0]["records"]
    codes = [entry["ErrorCode"] for entry in answer["RequestResponses"]]
    assert codes[refused] == "ServiceUnavailableException"
    assert codes[1 - refused] == "InternalFailure"


def test_an_error_for_the_forwarded_records_is_returned(upstream, start):
    missing = json.dumps({"__type": "ResourceNotFoundException", "message": "No stream."}).encode()
    upstream.answers = lambda request: (400, {"Content-Type": "application/x-amz-json-1.1"}, missing)
    proxy = start(always("partial-batch"))
    firehose_client = client("firehose", proxy.url)
    try:
        firehose_client.put_record_batch(DeliveryStreamName="s", Records=[{"Data": b"a"}, {"Data": b"b"}])
    except firehose_client.exceptions.ResourceNotFoundException as error:
        assert error.response["Error"]["Message"] == "No stream."
    else:
        raise AssertionError("an error is not an answer for a batch")


def test_other_calls_of_firehose_pass(upstream, start):
    proxy = start(always("partial-batch", "firehose"))
    client("firehose", proxy.url).list_delivery_streams()
    assert len(upstream.received) == 1
    assert proxy.faults() == []


def item(number):
    return {"PutRequest": {"Item": {"day": {"N": str(number)}}}}


def test_items_that_dynamodb_did_not_write_are_returned(upstream, start):
    upstream.answers = lambda request: (
        200,
        {"Content-Type": "application/x-amz-json-1.0"},
        b'{"UnprocessedItems": {}}',
    )
    proxy = start(always("partial-batch", "dynamodb"))
    answer = client("dynamodb", proxy.url).batch_write_item(
        RequestItems={"t": [item(0), item(1), item(2)], "u": [item(3)]}
    )
    refused = proxy.faults()[0]["records"]
    assert 1 <= len(refused) <= 3
    tables = {0: "t", 1: "t", 2: "t", 3: "u"}

    def items(numbers):
        of_table = {}
        for number in numbers:
            of_table.setdefault(tables[number], []).append(item(number))
        return of_table

    assert answer["UnprocessedItems"] == items(refused)
    [request] = upstream.received
    assert request.json["RequestItems"] == items(number for number in range(4) if number not in refused)


def test_a_batch_of_one_item_passes(upstream, start):
    upstream.answers = lambda request: (
        200,
        {"Content-Type": "application/x-amz-json-1.0"},
        b'{"UnprocessedItems": {}}',
    )
    proxy = start(always("partial-batch"))
    client("dynamodb", proxy.url).batch_write_item(RequestItems={"t": [item(0)]})
    assert len(upstream.received) == 1
    assert proxy.faults() == []


def test_boto3_reads_a_truncated_answer_as_one_without_fields(upstream, start):
    """This is why `write_batch` in glue/load_ad_traffic.py retries all items if the field is missing."""
    answer = b'{"UnprocessedItems": {"t": [{"PutRequest": {"Item": {"day": {"N": "0"}}}}]}}'
    upstream.answers = lambda request: (200, {"Content-Type": "application/x-amz-json-1.0"}, answer)
    proxy = start(always("truncate"))
    taken = client("dynamodb", proxy.url).batch_write_item(RequestItems={"t": [item(0)]})
    assert taken.keys() == {"ResponseMetadata"}
    assert len(upstream.received) == 1
