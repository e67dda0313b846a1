"""What it takes to look into answers for what they used: CPU a MiB, of answers of several kinds.

`python -m bench.usage_scan`. Each is looked at in pieces as a socket brings them; the best of five
runs counts.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from time import process_time
from typing import Any, Final

from tidegate.policies.event_usage import EventUsage
from tidegate.policies.json_usage import JsonUsage
from tidegate.policies.usage_paths import UsagePaths

PATHS: Final = UsagePaths(["usage.total_tokens"])
USAGE: Final = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
PIECE_BYTES: Final = 64 * 1024
RUNS: Final = 5
MIB: Final = 2**20


def answers() -> Iterator[tuple[str, Callable[[UsagePaths], Any], Sequence[bytes]]]:
    """Yield the name of a kind of answer, what looks into it, and one in pieces."""
    text = 'Some words, "quoted", and\nlines of them. ' * 25_000
    yield "a text in JSON", JsonUsage, _cut({"choices": [{"message": {"content": text}}]})
    numbers = [number / 1_000_003 for number in range(1536)]
    yield "embeddings", JsonUsage, _cut({"data": [{"embedding": numbers} for _ in range(32)]})
    rows = [{"id": n, "name": f"row {n}", "tags": ["a", "b"], "ok": True} for n in range(20_000)]
    yield "a table of small objects", JsonUsage, _cut({"data": rows})
    yield "brackets and nothing else", JsonUsage, [b'{"a":', *[b"[]" * (PIECE_BYTES // 2)] * 16]
    word = {
        "id": "chatcmpl-123456789012345678901234",
        "object": "chat.completion.chunk",
        "model": "model-2024-07-18",
        "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}],
    }
    yield "events", EventUsage, [_event({**word, "usage": None})] * 3000
    yield "events that all tell usage", EventUsage, [_event({**word, "usage": USAGE})] * 3000


def main() -> None:
    for name, scanner, pieces in answers():
        size_mib = sum(map(len, pieces)) / MIB
        best_s = min(_looked_at(scanner(PATHS), pieces) for _ in range(RUNS))
        each_us = best_s * 1e6 / len(pieces)
        print(f"{name:28}{best_s * 1e3 / size_mib:8.1f} ms a MiB{each_us:10.1f} us a piece")


def _looked_at(usage: Any, pieces: Sequence[bytes]) -> float:
    began = process_time()
    for piece in pieces:
        usage.feed(piece)
    usage.finish()
    return process_time() - began


def _cut(members: dict[str, Any]) -> list[bytes]:
    text = json.dumps({**members, "usage": USAGE}).encode()
    return [text[at : at + PIECE_BYTES] for at in range(0, len(text), PIECE_BYTES)]


def _event(members: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps(members).encode() + b"\n\n"


if __name__ == "__main__":
    main()
