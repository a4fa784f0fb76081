"""Fixtures for the proxy and its upstream."""

import pytest

from faulty import Proxy, Upstream


@pytest.fixture
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.server.shutdown()
    upstream.server.server_close()


@pytest.fixture
def start(tmp_path, upstream):
    """Returns a function that starts a proxy with a schedule. By default, the schedule begins immediately."""
    started = []

    def start(*schedule, seed=0, begin=True):
        proxy = Proxy(tmp_path, upstream.url, list(schedule), seed)
        started.append(proxy)
        if begin:
            proxy.begin()
        return proxy

    yield start
    for proxy in started:
        status, errors = proxy.stop()
        assert (status, errors) == (0, ""), "the proxy ends without a complaint"
