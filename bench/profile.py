"""Where a gateway's CPU goes under the bench's load: `python -m bench.profile native`.

py-spy samples the busiest process of the gateway from outside, native frames included. Prints
what each function costs by itself and what each file costs with all that it calls, as shares of
the busy samples and in µs a request; the folded stacks stay in bench/results/ for a flame graph.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from bench.gateways import GATEWAYS, running
from bench.jobs import ALLOWED, JOBS, Job
from bench.load import load
from bench.processes import busiest, cpu_us
from bench.surroundings import LOAD_CORE, Unfit, surroundings

RESULTS = Path(__file__).parent / "results"
SAMPLES_PER_S = 400
SHOWN = 30
JOB_BY_NAME = {job.name: job for job in JOBS}


class Costs(NamedTuple):
    samples: int
    own: Counter[str]
    """By function: the samples that were in it."""
    below: Counter[str]
    """By file: the samples that were in it or in what it called."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench.profile", description=__doc__.partition("\n")[0])
    parser.add_argument("gateway", choices=[gateway.name for gateway in GATEWAYS])
    parser.add_argument("--job", choices=list(JOB_BY_NAME), default=ALLOWED.name)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    try:
        job = JOB_BY_NAME[options.job]
        stacks, us_per_request = profiled(options.gateway, job, options.seconds)
    except Unfit as unfit:
        print(f"bench: {unfit}", file=sys.stderr)
        return 1
    costs = costs_of(stacks.read_text())
    for title, counter in (("by itself", costs.own), ("with what it calls", costs.below)):
        print(f"\n{title:>24}  {us_per_request:6.1f} µs a request (slowed by the sampling)")
        for name, samples in counter.most_common(SHOWN):
            share = samples / costs.samples
            print(f"{share:8.1%} {share * us_per_request:8.1f} µs  {name}")
    print(f"\nFolded stacks: {stacks}")
    return 0


def profiled(name: str, job: Job, seconds: int) -> tuple[Path, float]:
    """The file of folded stacks, and the CPU of a request while they were taken."""
    (gateway,) = (gateway for gateway in GATEWAYS if gateway.name == name)
    py_spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if not py_spy:
        raise Unfit("py-spy not found (pip install -r requirements-dev.txt)")
    RESULTS.mkdir(exist_ok=True)
    stacks = RESULTS / f"{name}-{job.name}.folded"
    with (
        tempfile.TemporaryDirectory(prefix="tidegate-bench-") as folder,
        surroundings(Path(folder)) as around,
        running(gateway, around) as one,
        ThreadPoolExecutor(1) as pool,
    ):
        load(one.url(job), job.key, seconds=1, core=LOAD_CORE)
        worker = busiest(one.pid)
        before = cpu_us(one.pid)
        loading = pool.submit(load, one.url(job), job.key, seconds=seconds + 2, core=LOAD_CORE)
        command = [py_spy, "record", "--native", "--format", "raw", "--output", str(stacks)]
        command += ["--rate", str(SAMPLES_PER_S), "--duration", str(seconds)]
        spied = subprocess.run(
            [*command, "--pid", str(worker)], capture_output=True, text=True, check=False
        )
        seen = loading.result()
        used = cpu_us(one.pid) - before
    if spied.returncode:
        raise Unfit(f"py-spy: {spied.stderr.strip()}")
    return stacks, used / max(1, seen.requests)


def costs_of(folded: str) -> Costs:
    """Each line: frames from the outermost to the innermost, joined by `;`, then the count."""
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    total = 0
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        samples = int(count)
        total += samples
        own[_function(frames[-1])] += samples
        for file in {_file(frame) for frame in frames if ".py" in frame}:
            below[file] += samples
    return Costs(total, own, below)


def _function(frame: str) -> str:
    name, _, place = frame.partition(" (")
    return f"{name} ({place.partition(':')[0].rstrip(')')})"


def _file(frame: str) -> str:
    return frame.partition(" (")[2].rstrip(")").partition(":")[0] or frame


if __name__ == "__main__":
    sys.exit(main())
