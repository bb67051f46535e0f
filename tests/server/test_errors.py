"""Errors at the door."""

from __future__ import annotations

import json

import structlog

from lakehold.errors import InternalError, TooManyRequests, UndefinedTable
from lakehold.server.errors import as_lakehold_error, error_response


def test_a_defect_is_hidden_behind_a_reference_and_its_values_stay_out_of_the_log():
    secret = "123-45-6789"
    with structlog.testing.capture_logs() as logs:
        try:
            int(secret)
        except ValueError as error:
            found = as_lakehold_error(error)
    assert isinstance(found, InternalError)
    assert secret not in found.message
    shown = [entry for entry in logs if entry["log_level"] != "debug"]
    assert secret not in str(shown)
    assert shown[0]["reference"] in found.message
    assert shown[0]["type"] == "ValueError"


def test_an_error_keeps_all_its_fields():
    response = error_response(UndefinedTable("no", hint="h", position=3))
    error = json.loads(response.content)["error"]
    assert response.status_code == 404
    assert error == {
        "code": "undefined_table",
        "sqlstate": "42P01",
        "message": "no",
        "hint": "h",
        "position": 3,
        "statement_id": None,
    }


def test_a_full_queue_tells_when_to_come_again():
    response = error_response(TooManyRequests("full", retry_after_s=7))
    assert response.status_code == 429
    assert response.headers["Retry-After"] == "7"
