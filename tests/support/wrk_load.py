"""Requests per second of a server on loopback, asked by `wrk` from one core."""

import re
import subprocess
from pathlib import Path


def requests_per_second(port: int, path: str, body: str, *, core: str, seconds: int, work: Path) -> float:
    """Ask over 8 connections that stay open; every answer must be good."""
    script = work / f"{port}.lua"
    header = 'wrk.headers["Content-Type"] = "application/json"'
    script.write_text(f"wrk.method = 'POST'\nwrk.body = '{body}'\n{header}\n")
    load = ["wrk", "-t1", "-c8", f"-d{seconds}s", "-s", str(script), f"http://127.0.0.1:{port}{path}"]
    output = subprocess.run(["taskset", "-c", core, *load], check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in output, output
    assert "Socket errors" not in output, output
    match = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert match, output
    return float(match[1])
