"""What the access log shows, and above all what it never does."""

import json
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.telemetry.access_log import LINE_BYTES_MAX, Entry
from tidegate.telemetry.log_lines import JsonLines, line_format, pretty_line, redacted_query
from tidegate.telemetry.meters import Meter


def entry(path: bytes = b"/api", query: bytes | None = None, method: str = "GET") -> Entry:
    caller = SimpleNamespace(tenant="acme", plan="premium", key_id="key_1")
    return Entry(
        Meter("s", "r"), caller, b"abc", "cache", "hit", "10.0.0.1:80", "::1", method, query, path,
        200, 5, 0.0125, 0.001, 0.002, False, 0.0,
    )  # fmt: skip


def test_a_json_line_names_everything_once_in_utc():
    told = json.loads(JsonLines()(entry(query=b"a=1"), 1_700_000_000.25))
    assert told == {
        "time": "2023-11-14T22:13:20.250Z",
        "request_id": "abc",
        "tenant": "acme",
        "plan": "premium",
        "key_id": "key_1",
        "service": "s",
        "route": "r",
        "client": "::1",
        "method": "GET",
        "path": "/api?a=1",
        "status": 200,
        "bytes": 5,
        "source": "cache",
        "duration_ms": 12.5,
        "store_ms": 1.0,
        "upstream_ms": 2.0,
        "target": "10.0.0.1:80",
        "cache": "hit",
    }


@pytest.mark.parametrize(
    "query,shown",
    [
        (b"api_key=hush&a=1", b"api_key=***&a=1"),
        (b"a=1&access_token=hush", b"a=1&access_token=***"),
        (b"X-Amz-Signature=hush", b"X-Amz-Signature=***"),
        (b"api%5Fk%65y=hush", b"api%5Fk%65y=***"),
        (b"PASSWORD=hush;b=2", b"PASSWORD=***;b=2"),
        (b"a=1;%74oken=hush", b"a=1;%74oken=***"),
        (b"token=abc;hush&a=1", b"token=***;***&a=1"),
        (b"token=&a=1", b"token=&a=1"),
        (b"monkey&token", b"monkey&token"),
        (b"page=2", b"page=2"),
    ],
)
def test_values_of_secret_looking_parameters_are_hidden(query, shown):
    assert redacted_query(query) == shown


def test_a_long_query_of_secret_words_takes_no_quadratic_time():
    began = time.process_time()
    redacted_query(b"sig" * 100_000)
    assert time.process_time() - began < 1.0  # a search from each word took minutes


@given(st.binary(max_size=40), st.binary(max_size=40), st.text(max_size=10))
def test_nothing_a_client_writes_ends_a_line_or_steers_a_terminal(path, query, method):
    written = entry(b"/" + path, query, method)
    line = JsonLines()(written, 0.0)
    assert json.loads(line)["method"] == method
    assert line.isascii()
    assert line.count("\n") == 1
    pretty = pretty_line(written, 0.0)
    assert pretty.count("\n") == 1
    assert pretty.count("\033") == 2  # our own colour, on and off


@pytest.mark.parametrize("path", [b"/" + b"a" * 9000, b"/" + b"\xff" * 9000, b'/"' * 9000])
def test_a_long_path_is_cut_so_that_its_line_stays_whole_in_a_pipe(path):
    line = JsonLines()(entry(path, b"token=hush"), 0.0)
    assert len(line) < LINE_BYTES_MAX
    shown = json.loads(line)["path"]
    assert shown.endswith("...")
    assert path.decode("latin-1").startswith(shown[:-3])
    assert len(pretty_line(entry(path), 0.0)) < LINE_BYTES_MAX


def test_auto_is_pretty_on_a_terminal_alone():
    assert line_format("auto", is_terminal=True) is pretty_line
    assert isinstance(line_format("auto", is_terminal=False), JsonLines)
    assert isinstance(line_format("json", is_terminal=True), JsonLines)
