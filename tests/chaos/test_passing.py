"""Without a fault, the proxy forwards requests and responses unchanged."""

import gzip
import http.client

from faulty import client

SIGNATURE = {"Authorization": "AWS4-HMAC-SHA256 Credential=test/20261120/us-east-1/s3/aws4_request"}


def ask(proxy, method, path, body=None, headers=()):
    connection = http.client.HTTPConnection(proxy.url.removeprefix("http://"), timeout=60)
    connection.request(method, path, body, {**SIGNATURE, **dict(headers)})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer, content


def test_paths_and_queries_are_forwarded_unchanged(upstream, start):
    proxy = start()
    for path in [
        "/bucket/a%2Fb%20c+%C3%BC%25",
        "/bucket/a//b/../c?prefix=x%2Fy&list-type=2&empty",
        "/bucket/%7Euser?versionId=a+b",
    ]:
        ask(proxy, "GET", path)
        assert upstream.received[-1].path == path


def test_all_headers_but_connection_headers_are_forwarded(upstream, start):
    upstream.answers = lambda request: (200, {"ETag": '"e"', "x-amz-meta-name": "value"}, b"")
    proxy = start()
    answer, _ = ask(
        proxy, "PUT", "/bucket/key", b"data", {"x-amz-meta-name": "value", "Content-MD5": "md5", "Connection": "close"}
    )
    assert (answer.headers["ETag"], answer.headers["x-amz-meta-name"]) == ('"e"', "value")
    [request] = upstream.received
    assert request.body == b"data"
    assert request.headers["Host"] == proxy.url.removeprefix("http://")
    assert (request.headers["x-amz-meta-name"], request.headers["Content-MD5"]) == ("value", "md5")
    # The proxy adds no headers.
    expected = {"Host", "Accept-Encoding", "Content-Length", "Authorization", "x-amz-meta-name", "Content-MD5"}
    assert request.headers.keys() == expected


def test_a_compressed_answer_is_not_decompressed(upstream, start):
    content = gzip.compress(b"line\n" * 1000)
    upstream.answers = lambda request: (200, {"Content-Encoding": "gzip", "Content-Type": "text/plain"}, content)
    answer, got = ask(start(), "GET", "/bucket/key")
    assert (got, answer.headers["Content-Encoding"], answer.headers["Content-Length"]) == (
        content,
        "gzip",
        str(len(content)),
    )


def test_answers_without_a_body_are_forwarded(upstream, start):
    proxy = start()
    upstream.answers = lambda request: (200, {"Content-Length": "12345"}, b"")
    answer, content = ask(proxy, "HEAD", "/bucket/key")
    assert (answer.status, answer.headers["Content-Length"], content) == (200, "12345", b"")
    for status in (204, 304):
        upstream.answers = lambda request, status=status: (status, {}, b"")
        answer, content = ask(proxy, "GET", "/bucket/key")
        assert (answer.status, content) == (status, b"")


def test_a_redirect_is_returned_to_the_caller(upstream, start):
    upstream.answers = lambda request: (307, {"Location": "http://127.0.0.1:1/elsewhere"}, b"moved")
    answer, content = ask(start(), "GET", "/bucket/key")
    assert (answer.status, answer.headers["Location"], content) == (307, "http://127.0.0.1:1/elsewhere", b"moved")


def test_large_objects_are_forwarded_in_both_directions(upstream, start):
    content = bytes(range(256)) * 40_000
    upstream.answers = lambda request: (200, {}, content if request.method == "GET" else b"")
    s3 = client("s3", start().url, request_checksum_calculation="when_required")
    # boto3 sends objects with `Expect: 100-continue`.
    s3.put_object(Bucket="bucket", Key="key", Body=content)
    assert upstream.received[0].body == content
    assert s3.get_object(Bucket="bucket", Key="key")["Body"].read() == content
