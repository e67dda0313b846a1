"""A process whose event loop stands still, and what only looks like one."""

import asyncio
import os
import signal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tidegate.supervisor.hangs import Silences

PATIENT_S = 1.0


@given(st.lists(st.booleans(), min_size=1))
def test_silence_is_the_number_of_ticks_since_the_last_beat(heard: list[bool]) -> None:
    silences = Silences()
    silences.tick({1: 0})
    beats = 0
    for number, has_beaten in enumerate(heard, start=1):
        beats += has_beaten
        ticks = silences.tick({1: beats})[1]
        since = next((n for n, beat in enumerate(reversed(heard[:number])) if beat), number)
        assert ticks == since


def test_a_process_is_given_its_whole_time_from_when_it_is_first_seen() -> None:
    silences = Silences()
    silences.tick({1: 7})
    assert silences.tick({1: 7, 2: 0}) == {1: 1, 2: 0}
    assert silences.tick({2: 0}) == {2: 1}
    assert silences.tick({1: 7, 2: 0}) == {1: 0, 2: 2}


async def test_a_worker_whose_loop_stands_still_says_where_and_is_replaced(
    run_supervisor: Any, clients: Any
) -> None:
    supervisor = run_supervisor(workers=1, bounds={"silence_s": PATIENT_S})
    (victim,) = supervisor.workers()
    blocked = asyncio.create_task(supervisor.who("/block", timeout_s=15.0))
    await clients.eventually(lambda: f"Process {victim} hangs" in supervisor.said())
    assert (await supervisor.who(timeout_s=10.0))["pid"] != victim
    assert 'tiny_worker.py", line' in supervisor.said()
    assert f"Worker {victim} was ended by SIGKILL" in supervisor.said()
    assert isinstance((await asyncio.gather(blocked, return_exceptions=True))[0], Exception)


async def test_a_stopped_worker_hangs_too(run_supervisor: Any, clients: Any) -> None:
    supervisor = run_supervisor(workers=2, bounds={"silence_s": PATIENT_S})
    victim = min(supervisor.workers())
    os.kill(victim, signal.SIGSTOP)
    await clients.eventually(lambda: victim not in supervisor.workers())
    assert len(await supervisor.pids_that_answer(100)) == 2


async def test_a_machine_that_stood_still_has_no_hanging_workers(run_supervisor: Any) -> None:
    supervisor = run_supervisor(workers=2, bounds={"silence_s": PATIENT_S})
    workers = supervisor.workers()
    everybody = [supervisor.process.pid, *workers]
    for number in (signal.SIGCONT, signal.SIGSTOP, signal.SIGCONT):
        for pid in everybody:
            os.kill(pid, number)
        await asyncio.sleep(1.5 * PATIENT_S)  # so long it goes, stands still, and goes on
    assert supervisor.workers() == workers
    assert "hangs" not in supervisor.said()


async def test_a_supervisor_that_is_stopped_for_long_finds_its_workers_well(
    run_supervisor: Any,
) -> None:
    supervisor = run_supervisor(workers=2, bounds={"silence_s": PATIENT_S})
    workers = supervisor.workers()
    await asyncio.sleep(PATIENT_S)
    supervisor.signal(signal.SIGSTOP)
    await asyncio.sleep(1.5 * PATIENT_S)
    assert await supervisor.pids_that_answer() == workers  # nobody waits for it
    supervisor.signal(signal.SIGCONT)
    await asyncio.sleep(1.5 * PATIENT_S)
    assert supervisor.workers() == workers
