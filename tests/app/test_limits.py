"""What one statement, one principal and one platform may use."""

from __future__ import annotations

import re
import threading
import time

import httpx
import pytest

import lakehold
from serving import eventually

ENDLESS = "SELECT count(*) FROM range(10000000) a, range(10000000) b WHERE a.range <> b.range + {n}"


def post(http, sql, **more):
    return http.post("/v1/sql", json={"sql": sql, **more})


def test_a_statement_ends_at_its_time_limit(http):
    began = time.monotonic()
    answer = post(http, ENDLESS.format(n=1), timeout_s=1)
    assert time.monotonic() - began < 5
    assert answer.status_code in (408, 504), answer.text
    assert answer.json()["error"]["sqlstate"] == "57014"
    assert "1 s" in answer.json()["error"]["message"]


def test_more_statements_than_may_run_are_refused_at_once_and_later_taken(http, platform):
    count = platform.settings.statements
    answers = []

    def run(number):
        with httpx.Client(base_url=http.base_url, headers=http.headers, timeout=60) as client:
            answers.append(post(client, ENDLESS.format(n=number), timeout_s=20))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(http.get("/v1/statements").json()["statements"]) == count, 30)
    began = time.monotonic()
    refused = post(http, "SELECT 1")
    assert refused.status_code == 429, refused.text
    assert time.monotonic() - began < 3
    assert "retry-after" in refused.headers
    assert "too many statements" in refused.json()["error"]["message"]
    assert http.get("/health").status_code == 200
    for item in http.get("/v1/statements").json()["statements"]:
        assert http.delete(f"/v1/statements/{item['id']}").status_code < 300
    for thread in threads:
        thread.join(30)
    assert all(answer.json()["error"]["sqlstate"] == "57014" for answer in answers)
    assert post(http, "SELECT 1").status_code == 200


def test_a_statement_that_needs_too_much_memory_fails_alone(server_folder):
    with lakehold.open(server_folder / "lake", memory="200MB", spill="20MB", threads=2) as db:
        for _ in range(2):
            with pytest.raises(Exception) as caught:
                db.arrow("SELECT list(md5(range::VARCHAR)) FROM range(20000000)")
            assert "more memory or spill space" in str(caught.value)
            assert db.execute("SELECT 1").fetchall() == [(1,)]


def test_sessions_are_bounded_for_each_principal_and_given_back(http, platform):
    made = []
    while True:
        answer = http.post("/v1/sessions", json={})
        if answer.status_code != 201 and answer.status_code != 200:
            break
        made.append(answer.json()["id"])
        assert len(made) <= 2000
    assert answer.status_code == 429
    assert "sessions" in answer.json()["error"]["message"]
    assert post(http, "SELECT 1").status_code == 200, "statements go on without a session"
    for identity in made:
        assert http.delete(f"/v1/sessions/{identity}").status_code < 300
    again = http.post("/v1/sessions", json={})
    assert again.status_code in (200, 201)
    http.delete(f"/v1/sessions/{again.json()['id']}")


def test_no_secret_reaches_a_log(make_platform):
    platform = make_platform(log_level="debug").start()
    secrets = {platform.secret, platform.token}
    with httpx.Client(base_url=platform.url) as client:
        bearer = {"Authorization": f"Bearer {platform.token}"}
        made = client.post("/v1/tokens", json={"name": "second"}, headers=bearer)
        secrets.add(made.json()["token"])
        wrong = platform.token[:-4] + "0000"
        secrets.add(wrong)
        assert (
            client.get("/v1/whoami", headers={"Authorization": f"Bearer {wrong}"}).status_code
            == 401
        )
        assert client.post("/v1/login", json={"secret": wrong, "name": "x"}).status_code == 401
        assert (
            client.post("/v1/sql", content=b"{" + wrong.encode(), headers=bearer).status_code >= 400
        )
        for sql in ("SELECT * FROM nowhere", f"SELECT {platform.token}", "SELECT 'a' + 'b'::INTEGER",
                    "SELECT 'password-of-somebody'::INTEGER"):  # fmt: skip
            client.post("/v1/sql", json={"sql": sql}, headers=bearer)
        client.get(f"/v1/whoami?token={platform.token}", headers=bearer)
        oauth = client.post(
            "/iceberg/v1/oauth/tokens",
            data={"grant_type": "client_credentials", "client_secret": platform.token,
                  "client_id": "x", "scope": "PRINCIPAL_ROLE:ALL"},
        )  # fmt: skip
        assert oauth.status_code == 200, oauth.text
        secrets.add(oauth.json()["access_token"])
    platform.stop()
    secrets.discard(None)
    parts = {piece for secret in secrets for piece in (secret, secret.split("_")[-1])}
    files = [
        *platform.folder.glob("**/*.jsonl*"),
        *platform.folder.glob("**/*.log*"),
        platform.output,
    ]
    for path in files:
        text = path.read_text(errors="replace")
        if path == platform.output:
            text = text.replace(platform.secret, "")
        found = [part for part in parts if part in text]
        assert not found, (path.name, [line for line in text.splitlines() if found[0] in line][:2])
        assert not re.search(r"lh_[0-9a-f]{32}_[0-9a-f]{16,}", text), path
        assert "password-of-somebody" not in text, path
