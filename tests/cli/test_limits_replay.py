"""`tidegate limits replay`, on what a gateway has recorded, by the admin API and on the store."""

import asyncio
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from tidegate.config import load
from tidegate.config.schema import Redis
from tidegate.store import open_store
from tidegate.telemetry.decisions import STREAM
from tidegate.testing import open_kit

CONFIG = """\
version: 1
decisions: {{sample: 1}}
plans:
  {plan}
tenants:
  - name: {tenant}
    plan: pro
    keys: [{{name: greedy, value: {tenant}_1}}, {{name: modest, value: {tenant}_2}}]
services:
  - name: test
    targets: ["{upstream}"]
    routes: [{{name: api, paths: [/api]}}]
"""
GENEROUS = "pro: {rate: 100/s, burst: 100}"
NARROW = "pro: {rate: 1/h, burst: 3}"
TIGHT = "pro: {rate: 1/h, burst: 7}"


def written(folder: Path, name: str, plan: str, tenant: str) -> Path:
    path = folder / name
    path.write_text(CONFIG.format(plan=plan, tenant=tenant, upstream="http://127.0.0.1:9000"))
    return path


async def record(operated: Any, folder: Path, plan: str) -> None:
    """Ask eight times with one key and twice with another, of a gateway with this plan."""
    config = load(written(folder, "recorded.yaml", plan, operated.tenant))
    store = await open_store(Redis(timeout=5.0), operated.data_dir)
    try:
        await store.execute("DEL", STREAM)
        async with open_kit(store, config=config) as kit:
            for number in range(10):
                await kit.get("/api/x", key=f"{operated.tenant}_{1 if number < 8 else 2}")
    finally:
        await store.aclose()


@pytest.fixture
def replay(operated: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Record by one plan, then replay by another: `replay(recorded, proposed, *options)`."""
    monkeypatch.setenv("TIDEGATE_CONFIG", str(operated.config))

    def run(recorded: str, proposed: str, *options: str) -> Any:
        asyncio.run(record(operated, tmp_path, recorded))
        path = written(tmp_path, "proposed.yaml", proposed, operated.tenant)
        where = ("--config", str(path), "--data-dir", str(operated.data_dir))
        from tests.cli.conftest import plain

        return plain("limits", "replay", *where, *options)

    return run


def test_who_would_have_met_429_is_told_beside_what_was_met(replay: Any, tmp_path: Path) -> None:
    """Burst 3 of eight at once: five would be refused; two of the other key pass."""
    drawn = tmp_path / "replay.svg"
    told = replay(GENEROUS, NARROW, "--json", "--plot", str(drawn)).json
    assert (told["requests"], told["records"], told["weights"]) == (10, 10, [1])
    assert (told["met_429"], told["would_meet_429"], told["newly_refused"]) == (0, 5, 5)
    (sums,) = told["tenants"].values()
    assert sums == {"requests": 10, "met_429": 0, "would_meet_429": 5, "newly_refused": 5}
    greedy, modest = told["keys"]
    assert (greedy["key"], greedy["requests"], greedy["by_limit"]) == ("greedy", 8, {"steady": 5})
    assert greedy["would_meet_429_within"] == 0
    assert (modest["key"], modest["would_meet_429"]) == ("modest", 0)
    assert any("greedy" in (text.text or "") for text in ElementTree.parse(drawn).iter())


def test_what_was_refused_and_would_not_be_is_told(replay: Any) -> None:
    told = replay(NARROW, TIGHT, "--json").json
    assert (told["met_429"], told["would_meet_429"], told["no_longer_refused"]) == (5, 1, 4)
    assert told["newly_refused"] == 0


def test_the_same_limits_give_what_was_met(replay: Any) -> None:
    told = replay(NARROW, NARROW, "--json").json
    assert (told["met_429"], told["would_meet_429"]) == (5, 5)
    assert (told["newly_refused"], told["no_longer_refused"]) == (0, 0)


def test_people_get_a_table_and_what_is_not_known(replay: Any) -> None:
    said = replay(GENEROUS, NARROW).out
    first, _, heads, row, *rest = said.splitlines()
    assert first.startswith("10 requests by ")
    assert first.endswith(
        ": 5 that were admitted would meet 429 (1 tenant), 0 that met it would not."
    )
    assert " ".join(heads.split()) == "TENANT KEY REQUESTS MET 429 WOULD MEET SHARE SHADOW BY"
    assert row.split()[1:] == ["greedy", "8", "0", "5", "62.5%", "steady"]
    assert "asked once" in rest[-1]


def test_where_nothing_is_recorded_that_is_said(replay: Any) -> None:
    said = replay(GENEROUS, NARROW, "--since", "0s").out
    assert said.startswith("There are no decision records of limited requests in that time")


def test_a_time_that_is_none_is_a_mistake_of_the_command_line(run: Any) -> None:
    done = run("limits", "replay", "--config", "proposed.yaml", "--since", "yesterday")
    assert done.code == 2
    assert "write a number and a unit" in done.err


def test_a_picture_that_cannot_be_written_is_told(commands: Any) -> None:
    done = commands.run("limits", "replay", "--plot", "/nowhere/replay.svg")
    assert done.code == 1
    assert done.err.startswith("Error: /nowhere/replay.svg cannot be written: ")


def test_what_sampling_leaves_open_is_said(operated: Any, tmp_path: Path, replay: Any) -> None:
    """One in a hundred: estimates, and what had no room in the records."""
    from tests.cli.conftest import plain

    replay(GENEROUS, NARROW)

    async def as_sampled() -> None:
        store = await open_store(Redis(timeout=5.0), operated.data_dir)
        try:
            for entry, (_, kept) in await store.execute("XRANGE", STREAM, "-", "+"):
                said = json.loads(kept) | {"weight": 100, "unrecorded": 3}
                await store.execute("XDEL", STREAM, entry)
                await store.execute("XADD", STREAM, "*", "r", json.dumps(said))
        finally:
            await store.aclose()

    asyncio.run(as_sampled())
    path = tmp_path / "proposed.yaml"
    done = plain("limits", "replay", "-c", str(path), "--data-dir", str(operated.data_dir))
    assert done.out.startswith("About 1,000 requests")
    assert "a record stands for 100 requests" in done.out
    assert "30 more requests" in done.out
    assert "Limits finer than the sample (steady)" in done.out
