"""What a server of a run holds in memory, minute by minute, while 8 clients ask; and that no answer is lost.

python benchmarks/serve_memory.py RUN [minutes] [requests a second]
"""

import asyncio
import re
import sys
import time
from pathlib import Path

from serve import clients, questions, serving


async def resident(port: int) -> float:
    """Return the memory that a server says it has, in MB."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    told = (await reader.read()).decode()
    writer.close()
    found = re.search(r"process_resident_memory_bytes ([\d.e+]+)", told)
    assert found
    return float(found[1]) / 1e6


async def watch(port: int, run: Path, minutes: float, rate: float) -> None:
    asking = asyncio.create_task(clients(8, port, questions(run), 60 * minutes, 8 / rate))
    began = time.perf_counter()
    while not asking.done():
        print(f"{(time.perf_counter() - began) / 60:.0f} min: {await resident(port):.1f} MB", flush=True)
        await asyncio.wait([asking], timeout=60 - (time.perf_counter() - began) % 60)
    print(f"{len(await asking)} requests, all answered as they should; {await resident(port):.1f} MB")


def main(run: str, minutes: str = "10", rate: str = "40") -> None:
    with serving(Path(run)) as server:
        asyncio.run(watch(server.port, Path(run), float(minutes), float(rate)))


if __name__ == "__main__":
    main(*sys.argv[1:])
