"""The process beside the workers: kept like one of them, and never in their way."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from tidegate.supervisor import ListenFailed, open_listener


async def companion(supervisor: Any, clients: Any) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(
        (await clients.get(supervisor.companion_port, "/", 10.0)).body
    )
    return answer


async def test_a_companion_answers_on_its_own_port_alone(run_supervisor: Any, clients: Any) -> None:
    supervisor = run_supervisor(companion="/no/illness")
    pid = (await companion(supervisor, clients))["pid"]
    assert pid in supervisor.workers()
    assert pid not in await supervisor.pids_that_answer()


async def test_a_companion_that_cannot_start_stops_nobody_and_is_tried_again(
    run_supervisor: Any, clients: Any, tmp_path: Path
) -> None:
    ill = tmp_path / "ill"
    ill.touch()
    supervisor = run_supervisor(companion=str(ill), bounds={"restart_delay_s_max": 0.3})
    assert len(await supervisor.pids_that_answer()) == 2
    await clients.eventually(lambda: supervisor.said().count("The companion did not start") >= 2)
    assert "the companion is ill" in supervisor.said()
    ill.unlink()
    assert (await companion(supervisor, clients))["pid"] in supervisor.workers()


async def test_a_killed_companion_is_replaced_and_its_queue_is_served(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor(companion="/no/illness")
    victim = (await companion(supervisor, clients))["pid"]
    workers = supervisor.workers() - {victim}
    os.kill(victim, signal.SIGKILL)
    assert (await companion(supervisor, clients))["pid"] not in {victim, *workers}
    assert workers < supervisor.workers()


async def test_a_reload_replaces_the_companion_too_and_refuses_nobody(
    run_supervisor: Any, clients: Any
) -> None:
    orders = {"companion": "/no/illness"}
    supervisor = run_supervisor(tag="old", **orders)
    assert (await companion(supervisor, clients))["tag"] == "old"
    async with clients.load(supervisor.companion_port) as load:
        supervisor.snapshot.write_text(json.dumps({"tag": "new", **orders}))
        supervisor.signal(signal.SIGHUP)
        await clients.eventually(lambda: "Replaced 2 workers" in supervisor.said())
    assert load.failures == []
    assert (await companion(supervisor, clients))["tag"] == "new"


async def test_a_companion_that_is_not_replaced_is_told_with_the_round(
    run_supervisor: Any, clients: Any, tmp_path: Path
) -> None:
    ill = tmp_path / "ill"
    supervisor = run_supervisor(workers=1, companion=str(ill))
    pid = (await companion(supervisor, clients))["pid"]
    ill.touch()
    supervisor.signal(signal.SIGHUP)
    told = f"Replaced 1 of 1 worker; not replaced: The companion {pid}\n"
    await clients.eventually(lambda: told in supervisor.said())
    assert "All run on it" not in supervisor.said()


async def test_a_companion_ends_with_its_supervisor_even_while_it_starts(
    run_supervisor: Any, clients: Any
) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        supervisor = run_supervisor(companion="/no/illness")
        everybody = supervisor.workers()
        supervisor.signal(number)
        await supervisor.ended()
        await clients.eventually(
            lambda pids=everybody: not any(Path(f"/proc/{pid}").exists() for pid in pids)
        )


async def test_a_taken_port_of_its_own_names_holder_and_option(run_supervisor: Any) -> None:
    supervisor = run_supervisor(companion="/no/illness")
    with pytest.raises(ListenFailed, match=r"is taken by pid .* --admin-port") as refused:
        open_listener("127.0.0.1", supervisor.companion_port, "--admin-")
    assert refused.value.is_taken
