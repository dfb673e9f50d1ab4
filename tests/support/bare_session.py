"""Run a graph as the pipeline does, but alone: bare_session.py GRAPH ARRAY, then one run for each line.

Prints the seconds of each run.
"""

import sys
import time
from pathlib import Path

import numpy as np

from berth_scoring.fpga.stages import Provider, open_session


def main(graph: str, array: str) -> None:
    """Answer each line with the time that a run takes."""
    session = open_session(Path(graph), Provider("CPUExecutionProvider", {}, 1))
    images = np.load(array)
    (name,) = [node.name for node in session.get_inputs()]
    for _ in sys.stdin:
        started = time.perf_counter()
        session.run(None, {name: images})
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
