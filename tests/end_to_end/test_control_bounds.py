"""The admin port of a running gateway bounds what a stranger can make it hold."""

import asyncio
from pathlib import Path
from typing import Any, Final

BYTES_SENT_MAX: Final = 64 * 1024 * 1024
GROWTH_KIB_MAX: Final = 16 * 1024


def resident_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


async def test_fields_without_end_are_cut_and_leave_nothing_behind(running_gateway: Any) -> None:
    gateway = running_gateway(workers=1)
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.admin_port)
        writer.write(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        (pid,) = gateway.control()
        before, sent = resident_kib(pid), 0
        writer.write(b"GET /health HTTP/1.1\r\n")
        fields = b"X-Field: value\r\n" * 4096
        try:
            while sent < BYTES_SENT_MAX:
                writer.write(fields)
                await writer.drain()
                sent += len(fields)
        except ConnectionError:
            pass
        writer.close()
    assert sent < BYTES_SENT_MAX
    assert resident_kib(pid) - before < GROWTH_KIB_MAX
