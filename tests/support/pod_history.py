"""What the Pods of a cluster went through, as a watch tells it."""

import json
import os
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from berth_sandbox.access import Access

Object = dict[str, Any]


@dataclass(frozen=True)
class PodHistory:
    """The events of a watch that still runs or has ended."""

    log: Path

    def events(self) -> Iterator[Object]:
        """Give the events so far, oldest first."""
        text, decoder = self.log.read_text().lstrip(), json.JSONDecoder()
        while text:
            try:
                event, end = decoder.raw_decode(text)
            except json.JSONDecodeError:  # the watch is writing
                return
            yield event
            text = text[end:].lstrip()

    def fewest_ready(self) -> int:
        """Return how many Pods were ready at least, from the moment at which the first ones were known."""
        ready: dict[str, bool] = {}
        counts = []
        for event in self.events():
            pod = event["object"]
            ready[pod["metadata"]["uid"]] = event["type"] != "DELETED" and _is_ready(pod)
            counts.append(sum(ready.values()))
        known = counts.index(max(counts))
        return min(counts[known:])

    def runs(self) -> dict[str, list[tuple[str, str]]]:
        """Give when the container of each Pod ran, from and to; without an end while it runs."""
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for event in self.events():
            pod = event["object"]
            for status in pod["status"].get("containerStatuses", ()):
                for state in (status.get("lastState", {}), status["state"]):
                    if times := state.get("terminated") or state.get("running"):
                        found[pod["metadata"]["name"]][times["startedAt"]] = times.get("finishedAt", "")
        return {pod: sorted(runs.items()) for pod, runs in found.items()}


def overlaps(runs: Mapping[str, list[tuple[str, str]]], devices: Mapping[str, str]) -> list[str]:
    """Name the devices that two containers had at the same time."""
    found = []
    for device in sorted(set(devices.values())):
        times = sorted(run for pod, name in devices.items() if name == device for run in runs[pod])
        ends = [end or "never" for _, end in times]
        if any(end > start for end, (start, _) in zip(ends, times[1:], strict=False)):
            found.append(device)
    return found


@contextmanager
def watched(access: Access, namespace: str) -> Iterator[PodHistory]:
    """Watch the Pods of a namespace for as long as the block lasts."""
    command = [str(access.programs[0]), "get", "pods", f"--namespace={namespace}", "--watch"]
    command += ["--output=json", "--output-watch-events"]
    environment = {**os.environ, "KUBECONFIG": str(access.kubeconfig)}
    with (
        tempfile.NamedTemporaryFile(suffix=".json") as log,
        subprocess.Popen(command, stdout=log, env=environment) as process,
    ):
        try:
            yield PodHistory(Path(log.name))
        finally:
            process.terminate()


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any((each["type"], each["status"]) == ("Ready", "True") for each in conditions)
