"""The models of examples/, each trained once for what it is made of, whichever checkout wants it."""

import shutil
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from berth_sandbox import folders
from berth_sandbox.once import locked, made
from berth_sandbox.progress import step
from berth_sandbox.runner import Runner

OUTPUT = "out"
MARK = "made-of"
KEY_LENGTH = 12


@dataclass(frozen=True)
class Example:
    """A folder of `examples/` whose script `train.py` writes files."""

    name: str
    about: str

    @property
    def folder(self) -> Path:
        """Return where its scripts are."""
        return folders.REPOSITORY / "examples" / self.name

    @property
    def output(self) -> Path:
        """Return where the script writes."""
        return self.folder / OUTPUT

    def trained(self) -> Path:
        """Return the folder of the files, which are written now if they are not there or of other scripts."""
        mark, key = self.output / MARK, self._key()
        kept = folders.cache() / "models" / f"{self.name}-{key}"
        with locked(folders.cache() / "models.lock"):
            if not mark.exists() or mark.read_text() != key:
                shutil.copytree(made(kept, self._train), self.output, dirs_exist_ok=True)
                mark.write_text(key)
        return self.output

    def _train(self, output: Path) -> None:
        with step(f"training {self.about}"):
            Runner().run(sys.executable, self.folder / "train.py", output)
        for older in output.parent.glob(f"{self.name}-{'?' * KEY_LENGTH}"):
            shutil.rmtree(older)

    def _key(self) -> str:
        sources = (*sorted(self.folder.glob("*.py")), folders.REPOSITORY / "uv.lock")
        return sha256(b"".join(each.read_bytes() for each in sources)).hexdigest()[:KEY_LENGTH]


IRIS = Example("iris", "a model on the iris data")
FLOWERS = Example("flowers", "a classifier of flowers on a ResNet-50")
ALL = (IRIS, FLOWERS)
