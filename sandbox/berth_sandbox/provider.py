"""The choice of who runs the clusters."""

from pathlib import Path

from berth_sandbox import kind
from berth_sandbox.access import Provider
from berth_sandbox.kind import Kind
from berth_sandbox.own import Own


def choose(state: Path) -> Provider:
    """Return kind where it is installed and Docker answers, else our own; `state` is for kubeconfigs."""
    return Kind(state) if kind.usable() else Own()
