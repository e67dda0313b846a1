"""Sums over workers: exact, kept when one dies however it dies, never backwards, never twice."""

import subprocess
import sys
import threading
from pathlib import Path

from tidegate.telemetry import exposition, worker_files
from tidegate.telemetry.worker_files import ENDED, WorkerFile, read_sum

WORKER = """
import sys, pathlib
from tidegate.telemetry.worker_files import WorkerFile
file = WorkerFile(pathlib.Path(sys.argv[1]), continues=True)
file.write({"tidegate_response_bytes": {"s\\x1fr": int(sys.argv[2])}, "tidegate_workers": {"": 1}})
print("written", flush=True)
sys.stdin.read()
"""


def worker(directory: Path, count: int) -> "subprocess.Popen[bytes]":
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(directory), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"written\n"
    return process


def killed(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.communicate()


def counted(directory: Path) -> tuple[object, object]:
    total = read_sum(directory)
    return total["tidegate_response_bytes"]["s\x1fr"], total.get("tidegate_workers", {}).get("")


def test_counters_outlive_workers_killed_with_9_and_gauges_do_not(tmp_path):
    first, second = worker(tmp_path, 10), worker(tmp_path, 5)
    try:
        assert counted(tmp_path) == (15, 2)
        killed(first)
        assert counted(tmp_path) == (15, 1)
        third = worker(tmp_path, 100)
        try:
            assert (tmp_path / ENDED).exists()
            assert counted(tmp_path) == (115, 2)
            assert len(list(tmp_path.glob("*-*.json"))) == 2
        finally:
            killed(third)
    finally:
        killed(first)
        killed(second)
    assert counted(tmp_path) == (115, None)


def test_a_fold_that_was_cut_short_counts_nothing_twice(tmp_path):
    dead = worker(tmp_path, 7)
    killed(dead)
    saved = {path: path.read_bytes() for path in tmp_path.glob(f"{dead.pid}-*")}
    WorkerFile(tmp_path, continues=True).close()
    # As if the folding worker had died between its one write and the removals.
    for path, content in saved.items():
        path.write_bytes(content)
    assert counted(tmp_path) == (7, None)
    WorkerFile(tmp_path, continues=True).close()
    WorkerFile(tmp_path, continues=True).close()
    assert counted(tmp_path) == (7, None)


def test_a_first_worker_that_is_alone_starts_from_nothing(tmp_path):
    killed(worker(tmp_path, 7))
    WorkerFile(tmp_path, continues=False).close()
    assert read_sum(tmp_path) == {}


def of(count: int) -> worker_files.Series:
    return {"tidegate_response_bytes": {"s\x1fr": count}}


def test_the_last_writing_waits_for_one_that_was_given_up(tmp_path, monkeypatch):
    began, may_end, both = threading.Event(), threading.Event(), threading.Event()
    replace = worker_files._replace

    def slow_at_first(path, value):
        if began.is_set():
            both.set()
        began.set()
        assert may_end.wait(5)
        replace(path, value)

    file = WorkerFile(tmp_path, continues=False)
    monkeypatch.setattr(worker_files, "_replace", slow_at_first)
    given_up = threading.Thread(target=file.write, args=(of(1),))
    last = threading.Thread(target=file.close, args=(of(2),))
    given_up.start()
    assert began.wait(5)
    last.start()
    assert not both.wait(0.1)
    may_end.set()
    given_up.join()
    last.join()
    assert counted(tmp_path) == (2, None)


def test_a_writing_that_comes_after_the_end_changes_nothing(tmp_path):
    file = WorkerFile(tmp_path, continues=False)
    file.close(of(2))
    file.write(of(1))
    assert counted(tmp_path) == (2, None)


def test_the_text_is_prometheus_own(tmp_path):
    file = WorkerFile(tmp_path, continues=False)
    histogram = [0] * 15 + [0.0]
    histogram[3], histogram[-1] = 2, 0.0015
    file.write(
        {
            "tidegate_requests": {"s\x1fr\x1f200\x1fupstream": 3},
            "tidegate_store_trip_seconds": {"": histogram},
            "of_another_version": {"": 1},
        }
    )
    text = exposition(tmp_path).decode()
    file.close()
    assert (
        'tidegate_requests_total{route="r",service="s",source="upstream",status="200"} 3.0' in text
    )
    assert 'tidegate_store_trip_seconds_bucket{le="0.0005"} 0.0' in text
    assert 'tidegate_store_trip_seconds_bucket{le="0.001"} 2.0' in text
    assert 'tidegate_store_trip_seconds_bucket{le="+Inf"} 2.0' in text
    assert "of_another_version" not in text


def test_without_workers_there_is_a_text_all_the_same(tmp_path):
    assert b"# TYPE tidegate_requests_total counter" in exposition(tmp_path / "nowhere")
