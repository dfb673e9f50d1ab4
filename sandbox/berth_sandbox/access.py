"""A cluster as its user sees it, whoever runs it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from berth_sandbox.images import Image
from berth_sandbox.runner import Runner


@dataclass(frozen=True)
class Access:
    """The kubeconfig of a running cluster and the programs that use it."""

    kubeconfig: Path
    programs: tuple[Path, Path]

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        """Run kubectl and return what it prints."""
        return self._runner.run(self.programs[0], *arguments, stdin=stdin)

    def helm(self, *arguments: str | Path) -> str:
        """Run helm and return what it prints."""
        return self._runner.run(self.programs[1], *arguments)

    @property
    def _runner(self) -> Runner:
        return Runner(environment={"KUBECONFIG": str(self.kubeconfig)})


class Provider(Protocol):
    """Something that runs clusters on this machine."""

    def up(self, name: str) -> Access:
        """Return the running cluster of this name, started now if needed."""

    def is_running(self, name: str) -> bool:
        """Tell whether the cluster of this name is there."""

    def running(self, name: str) -> AbstractContextManager[Access]:
        """Run a cluster for as long as the block lasts."""

    def load(self, name: str, images: Sequence[Image]) -> None:
        """Build the images that are new and give the cluster those that it has not got."""

    def down(self, name: str) -> None:
        """Remove every trace of the cluster; there may be none."""
