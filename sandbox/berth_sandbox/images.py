"""The images of the cluster, built without Docker from the Dockerfiles that Docker users build."""

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from berth_sandbox import folders
from berth_sandbox.once import made
from berth_sandbox.progress import step
from berth_sandbox.runner import Runner

SUITE = "bookworm"
PACKAGES = "python3,python3-venv,ca-certificates"
CERTIFICATES = "/etc/ssl/certs"
PAUSE = "localhost/berth-pause:dev"
PAUSE_PROGRAM = Path("/usr/bin/catatonit")
PAUSE_DOCKERFILE = """\
FROM scratch
COPY catatonit /pause
ENTRYPOINT ["/pause", "-P"]
"""
KEY_LENGTH = 12
IGNORED = {"__pycache__"}


@dataclass(frozen=True)
class Image:
    """An image of this repository: its name, its Dockerfile and what it is made of."""

    name: str
    dockerfile: str
    inputs: tuple[str, ...]

    def key(self) -> str:
        """Return a digest that changes with anything that changes the image."""
        sources = (folders.REPOSITORY / each for each in (*self.inputs, self.dockerfile, ".dockerignore"))
        return digest(folders.REPOSITORY, _files(sources))


SHARED_INPUTS = ("pyproject.toml", "uv.lock", "sandbox/pyproject.toml", "scoring/pyproject.toml")
OPERATOR = Image(
    "localhost/berth:dev", "operator/Dockerfile", (*SHARED_INPUTS, "operator", "README.md", "LICENSE")
)
SCORING = Image("localhost/berth-scoring:dev", "scoring/Dockerfile", (*SHARED_INPUTS, "scoring"))
OWN = (OPERATOR, SCORING)


def digest(root: Path, files: Iterable[Path]) -> str:
    """Return a short digest of the base system and of files: their contents and places below `root`."""
    whole = hashlib.sha256(f"{SUITE} {PACKAGES}".encode())
    for file in files:
        whole.update(f"{file.relative_to(root)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:KEY_LENGTH]


def archive(image: Image) -> Path:
    """Return the OCI archive of one of this repository's images, built now if its inputs are new."""
    base, stem = base_image(), _file_name(image.name)

    def build(output: Path) -> None:
        with step(f"building the image {image.name}"):
            dockerfile = folders.REPOSITORY / image.dockerfile
            _build(image.name, folders.REPOSITORY, dockerfile, "--build-arg", f"BASE_IMAGE={base}")
            _export(image.name, output)
        for older in _archives().glob(f"{stem}-{'?' * KEY_LENGTH}.tar"):
            older.unlink()

    return made(_archives() / f"{stem}-{image.key()}.tar", build)


def pause_archive() -> Path:
    """Return the OCI archive of the image that holds a Pod's namespaces."""

    def build(output: Path) -> None:
        context = output.with_suffix(".context")
        context.mkdir(exist_ok=True)
        shutil.copy(PAUSE_PROGRAM, context)
        (context / "Dockerfile").write_text(PAUSE_DOCKERFILE)
        _build(PAUSE, context, context / "Dockerfile")
        _export(PAUSE, output)
        shutil.rmtree(context)

    return made(_archives() / f"pause-{digest(PAUSE_PROGRAM.parent, [PAUSE_PROGRAM])}.tar", build)


def base_image() -> str:
    """Return the name of a Debian image with Python, made from Debian's packages."""
    key = digest(folders.REPOSITORY, [])
    name = f"localhost/berth-base:{key}"

    def build(output: Path) -> None:
        with step(f"making a base image of Debian {SUITE} with Python"):
            Runner().run(
                "mmdebstrap", "--variant=minbase", "--format=tar", f"--include={PACKAGES}", SUITE, output
            )
            container = _buildah("from", "scratch").strip()
            _buildah("add", container, output)
            _buildah("commit", "--rm", container, name)

    made(_archives() / f"base-{key}.tar", build)
    return name


def _build(name: str, context: Path, dockerfile: Path, *options: str) -> None:
    # The host's certificates are seen while the image is built and are no part of it.
    mount = f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"
    where = ("--isolation=chroot", "--network=host", "--layers", mount)
    _buildah("build", *where, *options, f"--tag={name}", f"--file={dockerfile}", context)


def _export(name: str, output: Path) -> None:
    _buildah("push", name, f"oci-archive:{output}:{name}")


def _buildah(*arguments: str | Path) -> str:
    store = folders.cache() / "buildah"
    temporary = store / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    # Mounts that buildah leaves end with the namespace.
    prefix = ("unshare", "--mount", "--", "buildah", f"--root={store}/root", f"--runroot={store}/run")
    runner = Runner(prefix=prefix, environment={"TMPDIR": str(temporary)})
    return runner.run("--storage-driver=overlay", *arguments)


def _archives() -> Path:
    return folders.cache() / "images"


def _file_name(image: str) -> str:
    return image.rpartition("/")[2].partition(":")[0]


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sorted(each for each in found if not IGNORED.intersection(each.parts))
