"""Counting failed attempts."""

from __future__ import annotations

import pytest

from lakehold.errors import TooManyRequests
from lakehold.server.authentication import (
    ADDRESSES_MAX,
    FAILURE_WINDOW_S,
    FAILURES_MAX,
    FailureThrottle,
)


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_an_address_that_fails_often_must_wait_and_others_need_not():
    time = Time()
    throttle = FailureThrottle(time)
    for _ in range(FAILURES_MAX):
        throttle.check("a")
        throttle.failed("a")
    with pytest.raises(TooManyRequests) as refused:
        throttle.check("a")
    assert 0 < refused.value.retry_after_s <= FAILURE_WINDOW_S + 1
    throttle.check("b")
    time.now += FAILURE_WINDOW_S + 1
    throttle.check("a")


def test_a_good_token_clears_the_count():
    throttle = FailureThrottle(Time())
    for _ in range(FAILURES_MAX):
        throttle.failed("a")
    throttle.succeeded("a")
    throttle.check("a")


def test_addresses_are_bounded():
    throttle = FailureThrottle(Time())
    for number in range(ADDRESSES_MAX + 50):
        throttle.failed(str(number))
    assert len(throttle._failures) <= ADDRESSES_MAX
