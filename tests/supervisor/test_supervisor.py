"""The supervisor as a real process: replacing, crashing, draining and dying."""

import asyncio
import json
import os
import resource
import signal
import socket
from pathlib import Path
from typing import Any

import pytest


def alive(pids: set[int]) -> set[int]:
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


def descriptors(pid: int) -> set[int]:
    return {int(entry.name) for entry in Path(f"/proc/{pid}/fd").iterdir()}


async def test_every_slot_answers_and_nobody_else(run_supervisor: Any) -> None:
    supervisor = run_supervisor(workers=3)
    assert await supervisor.pids_that_answer(100) == supervisor.workers()
    assert len(supervisor.workers()) == 3


async def test_replacing_workers_under_load_loses_no_connection(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor(tag="old")
    before = supervisor.workers()
    async with clients.load(supervisor.port) as load:
        for tag in ("one", "two", "three"):
            supervisor.snapshot.write_text(json.dumps({"tag": tag}))
            supervisor.signal(signal.SIGHUP)
            rounds = supervisor.said().count("Replaced 2 workers")
            await clients.eventually(
                lambda n=rounds: supervisor.said().count("Replaced 2 workers") > n
            )
    assert load.failures == []
    assert load.answers[200] > 100
    assert await supervisor.tags_that_answer() == {"three"}
    await clients.eventually(lambda: not alive(before))


async def test_a_snapshot_that_does_not_load_changes_nothing(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor(tag="old")
    before = supervisor.workers()
    supervisor.snapshot.write_text("{not json")
    supervisor.signal(signal.SIGHUP)
    await clients.eventually(lambda: "stays as it is" in supervisor.said())
    assert supervisor.workers() == before
    assert await supervisor.tags_that_answer() == {"old"}


async def test_a_round_that_runs_out_of_descriptors_changes_nothing_and_ends_nothing(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor(tag="old")
    before = supervisor.workers()
    pid = supervisor.process.pid
    limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    # Room for the one file that holds the snapshot, none for a worker's pipes.
    taken = descriptors(pid)
    room = [number for number in range(max(taken) + 3) if number not in taken]
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (room[0] + 1, limits[1]))
    supervisor.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Too many open files" in supervisor.said())
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
    assert supervisor.workers() == before
    supervisor.snapshot.write_text(json.dumps({"tag": "new"}))
    supervisor.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Replaced 2 workers" in supervisor.said())
    assert await supervisor.tags_that_answer() == {"new"}


async def test_a_snapshot_on_which_no_worker_starts_changes_nothing(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor(tag="old")
    before = supervisor.workers()
    supervisor.snapshot.write_text(json.dumps({"fail": "the policy file is missing"}))
    supervisor.signal(signal.SIGHUP)
    await clients.eventually(lambda: "the policy file is missing" in supervisor.said())
    assert supervisor.workers() == before
    os.kill(min(before), signal.SIGKILL)
    await clients.eventually(lambda: len(supervisor.workers() - before) == 1)
    assert await supervisor.tags_that_answer() == {"old"}


async def test_a_round_that_leaves_a_worker_behind_says_which_and_nothing_of_changes(
    run_supervisor: Any, clients: Any, tmp_path: Path
) -> None:
    supervisor = run_supervisor(tag="old")
    before = supervisor.workers()
    orders = {"tag": "new", "only_first": str(tmp_path / "first")}
    supervisor.snapshot.write_text(json.dumps(orders))
    supervisor.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Replaced 1 of 2 workers; not replaced" in supervisor.said())
    await clients.eventually(lambda: len(alive(before)) == 1)
    (behind,) = alive(before)
    assert f"not replaced: Worker {behind}\n" in supervisor.said()
    assert "All run on it" not in supervisor.said()
    assert await supervisor.tags_that_answer() == {"old", "new"}
    supervisor.snapshot.write_text(json.dumps({"tag": "new"}))
    supervisor.signal(signal.SIGHUP)
    await clients.eventually(lambda: "All run on it\nReplaced 2 workers" in supervisor.said())


async def test_a_killed_worker_is_replaced_and_the_queue_of_its_slot_is_served(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor(bounds={"lived_s": 0.0})
    victim = min(supervisor.workers())
    os.kill(victim, signal.SIGKILL)
    await clients.eventually(lambda: not alive({victim}))
    answers = await asyncio.gather(*(supervisor.who(timeout_s=10.0) for _ in range(40)))
    assert {answer["pid"] for answer in answers} == supervisor.workers()
    assert len(supervisor.workers()) == 2
    assert f"Worker {victim} was ended by SIGKILL" in supervisor.said()


async def test_a_worker_that_drains_by_itself_is_replaced_before_it_is_gone(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor(workers=1, stay_s=2.0)
    old = min(supervisor.workers())
    os.kill(old, signal.SIGUSR1)
    async with asyncio.timeout(2.0):  # it stays 2 s; its last answers may come before the signal
        while (await supervisor.who())["pid"] == old:
            pass
    assert alive({old})


async def test_a_slot_that_cannot_start_takes_no_connections_from_the_others(
    run_supervisor: Any, clients: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    supervisor = run_supervisor(
        fail_if=str(broken), bounds={"lived_s": 60.0, "restart_delay_s_max": 0.5}
    )
    broken.touch()
    victim = min(supervisor.workers())
    os.kill(victim, signal.SIGKILL)
    await clients.eventually(lambda: supervisor.said().count("did not start") >= 2)
    answers = [await supervisor.who(timeout_s=1.0) for _ in range(40)]
    assert len({answer["pid"] for answer in answers}) == 1
    broken.unlink()
    async with asyncio.timeout(10):
        while len(await supervisor.pids_that_answer()) < 2:
            pass


async def test_a_new_snapshot_mends_slots_that_fail_on_the_old_one(
    run_supervisor: Any, clients: Any, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    supervisor = run_supervisor(fail_if=str(broken), bounds={"lived_s": 60.0})
    broken.touch()
    for pid in supervisor.workers():
        os.kill(pid, signal.SIGKILL)
    await clients.eventually(lambda: supervisor.said().count("did not start") >= 4)
    supervisor.snapshot.write_text(json.dumps({"tag": "mended"}))
    supervisor.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Replaced 2 workers" in supervisor.said())
    assert await supervisor.tags_that_answer() == {"mended"}


@pytest.mark.parametrize(
    ("orders", "reason"),
    [
        ({"fail": "no store at redis://10.0.0.9"}, "failed: no store at redis://10.0.0.9"),
        ({"fail_if": "/"}, "failed: it ended with exit status 4 before it was ready"),
        ({"hang": True}, "failed: it was not ready within 1 s"),
    ],
)
async def test_a_first_start_that_fails_ends_everything_with_the_workers_reason(
    run_supervisor: Any, orders: dict[str, Any], reason: str
) -> None:
    supervisor = run_supervisor(expect_ready=False, bounds={"ready_s": 1.0}, **orders)
    assert await supervisor.ended() == 1
    assert reason in supervisor.said()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_what_is_in_flight_and_ends_with_success(
    run_supervisor: Any, number: signal.Signals
) -> None:
    supervisor = run_supervisor()
    workers = supervisor.workers()
    slow = [asyncio.create_task(supervisor.who("/slow")) for _ in range(6)]
    await asyncio.sleep(0.2)  # all six are in a worker's hands: each answer takes 0.5 s
    supervisor.signal(number)
    assert {(await answer)["pid"] for answer in slow} <= workers
    assert await supervisor.ended() == 0
    assert not alive(workers)


async def test_a_second_signal_cuts_what_still_drains(run_supervisor: Any, clients: Any) -> None:
    supervisor = run_supervisor(stay_s=60.0, bounds={"drain_s": 60.0})
    workers = supervisor.workers()
    supervisor.signal(signal.SIGTERM)
    await asyncio.sleep(0.2)
    assert alive(workers) == workers
    supervisor.signal(signal.SIGTERM)
    assert await supervisor.ended() == 0
    assert not alive(workers)


async def test_a_worker_that_hangs_while_draining_is_cut(run_supervisor: Any) -> None:
    supervisor = run_supervisor(stay_s=60.0, bounds={"drain_s": 0.2, "drain_grace_s": 0.2})
    workers = supervisor.workers()
    supervisor.signal(signal.SIGTERM)
    assert await supervisor.ended() == 0
    assert not alive(workers)
    assert "did not drain in time" in supervisor.said()


async def test_workers_end_when_the_supervisor_is_killed_and_the_port_is_free(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor()
    workers = supervisor.workers()
    slow = asyncio.create_task(supervisor.who("/slow"))
    await asyncio.sleep(0.2)
    supervisor.process.kill()
    assert (await slow)["pid"] in workers
    await clients.eventually(lambda: not alive(workers))
    successor = run_supervisor(port=supervisor.port)
    assert (await successor.who())["pid"] in successor.workers()


async def test_a_port_that_is_taken_is_refused_with_its_holder(run_supervisor: Any) -> None:
    first = run_supervisor()
    second = run_supervisor(port=first.port, expect_ready=False)
    assert await second.ended() == 1
    said = second.said()
    assert f"Port {first.port} is taken by pid " in said
    assert "host.py" in said
    assert "--port" in said


async def test_no_descriptor_is_left_behind_by_replacements(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor()

    def open_files() -> int:
        return len(os.listdir(f"/proc/{supervisor.process.pid}/fd"))

    before = open_files()
    for rounds in (1, 2, 3):
        supervisor.signal(signal.SIGHUP)
        await clients.eventually(
            lambda n=rounds: supervisor.said().count("Replaced 2 workers") == n
        )
    await clients.eventually(lambda: len(supervisor.workers()) == 2)
    await clients.eventually(lambda: open_files() == before)


async def test_connections_made_before_the_workers_are_up_are_served(
    run_supervisor: Any,
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    supervisor = run_supervisor(port=port)
    assert (await supervisor.who())["pid"] in supervisor.workers()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
async def test_a_closed_terminal_drains_where_sighup_alone_replaces(
    run_supervisor: Any, clients: Any
) -> None:
    terminal, inside = os.openpty()
    supervisor = run_supervisor(controlling_terminal=inside)
    os.close(inside)
    workers = supervisor.workers()
    supervisor.signal(signal.SIGHUP)
    await clients.eventually(lambda: "Replaced 2 workers" in supervisor.said())
    await clients.eventually(lambda: not alive(workers))
    workers = supervisor.workers()
    os.close(terminal)
    assert await supervisor.ended() == 0
    assert not alive(workers)
