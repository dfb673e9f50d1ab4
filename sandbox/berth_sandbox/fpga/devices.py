"""Devices that are files of the node: one that is removed has failed, one that is made again is well."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

FILE = "device"


@dataclass(frozen=True)
class Devices:
    """Devices of one kind; each has a folder, which containers see, with its file."""

    folder: Path
    names: Sequence[str]

    def make(self) -> None:
        """Make the devices that have never been there; one that has failed stays so."""
        for name in self.names:
            if not self.path(name).exists():
                self.path(name).mkdir(mode=0o755, parents=True)
                (self.path(name) / FILE).touch(mode=0o444)

    def path(self, name: str) -> Path:
        """Return the folder of a device."""
        return self.folder / name

    def health(self) -> Iterator[tuple[str, bool]]:
        """Tell of each device whether it is well."""
        for name in self.names:
            yield name, (self.path(name) / FILE).exists()
