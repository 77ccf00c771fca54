"""Stand-in servers as processes: `engine_server.py`, started, asked how it is, and told to fail."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

PROGRAM = Path(__file__).parent / "engine_server.py"
ON_CPU = {"PYTHONPATH": str(PROGRAM.parents[1]), "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
START = 120
"""Seconds that a server may take to start on a machine that does other things too."""


class Served:
    """A server process."""

    def __init__(self, model: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address, self.model = f"http://127.0.0.1:{self.port}", model
        self.start()

    def start(self) -> None:
        command = [sys.executable, PROGRAM, self.model, str(self.port)]
        self.process = subprocess.Popen(command, env={**os.environ, **ON_CPU})

    def ready(self) -> None:
        """Waits for it to answer, started anew if it had died."""
        if self.process.poll() is not None:
            self.start()
        until = time.monotonic() + START
        while True:
            try:
                httpx.get(self.address + "/state", timeout=5, trust_env=False)
            except httpx.HTTPError:
                assert time.monotonic() < until, "the server does not start"
                time.sleep(0.2)
            else:
                return self.fault("")

    def fault(self, kind: str, times: int = 1, after: int = 0) -> None:
        body = {"kind": kind, "times": times, "after": after}
        httpx.post(self.address + "/fault", json=body, trust_env=False)

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = httpx.get(self.address + "/state", trust_env=False).json()
        return found
