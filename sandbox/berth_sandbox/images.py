"""The images of the cluster, built without Docker from the Dockerfiles that Docker users build."""

import hashlib
import shutil
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from berth_sandbox import folders, models
from berth_sandbox.errors import SandboxError, explained
from berth_sandbox.once import made, shared
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


def _nothing() -> None:
    """Prepare an image that is made of the repository alone."""


@dataclass(frozen=True)
class Image:
    """An image of this repository: its name, its Dockerfile and what it is made of."""

    repository: str
    dockerfile: str
    inputs: tuple[str, ...]
    base: "Image | None" = None
    """The image that it adds to; a Debian with Python if there is none."""
    prepare: Callable[[], object] = _nothing
    """Writes what is copied into it and not part of the repository, unless that is there."""

    @cached_property
    def tag(self) -> str:
        """Return a tag that changes with anything that changes the image, so that Pods follow it."""
        sources = (folders.REPOSITORY / each for each in (*self.inputs, self.dockerfile, ".dockerignore"))
        return digest(folders.REPOSITORY, _files(sources))

    @property
    def reference(self) -> str:
        """Return the full name of the image as it is now."""
        return f"{self.repository}:{self.tag}"

    @property
    def file_name(self) -> str:
        """Return the last part of the repository."""
        return self.repository.rpartition("/")[2]


SHARED_INPUTS = ("pyproject.toml", "uv.lock", "sandbox/pyproject.toml", "scoring/pyproject.toml")
OPERATOR = Image(
    "localhost/berth", "operator/Dockerfile", (*SHARED_INPUTS, "operator", "README.md", "LICENSE")
)
BARE_SCORING = Image("localhost/berth-scoring-bare", "scoring/Dockerfile", (*SHARED_INPUTS, "scoring"))
WEIGHTS = "/opt/featurizers/resnet50.onnx"
SCORING = Image(
    "localhost/berth-scoring",
    "examples/flowers/Dockerfile",
    (*BARE_SCORING.inputs, BARE_SCORING.dockerfile, "examples/flowers/resnet50.py"),
    base=BARE_SCORING,
    prepare=models.FLOWERS.trained,
)
"""The scoring server with the weights of a featurizer, since a cluster here may reach no web."""
SANDBOX = Image(
    "localhost/berth-sandbox",
    "sandbox/Dockerfile",
    (*SHARED_INPUTS, "sandbox/berth_sandbox/azure", "sandbox/berth_sandbox/fpga"),
)
OWN = (OPERATOR, SCORING, SANDBOX)


def digest(root: Path, files: Iterable[Path]) -> str:
    """Return a short digest of the base system and of files: their contents and places below `root`."""
    whole = hashlib.sha256(f"{SUITE} {PACKAGES}".encode())
    for file in files:
        whole.update(f"{file.relative_to(root)}\0".encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()[:KEY_LENGTH]


def archive(image: Image) -> Path:
    """Return the OCI archive of one of this repository's images, built now if its inputs are new."""
    base_image()  # a step of its own

    def build(output: Path) -> None:
        image.prepare()
        sentence = (
            f"{image.dockerfile} could not be built: check the network, from which the Python packages come, "
            "then run this again."
        )
        with explained(sentence), step(f"building the image {image.reference}"), _building():
            _export(_built(image), output)
            _forget_older(image)
        for older in _archives().glob(f"{image.file_name}-{'?' * KEY_LENGTH}.tar"):
            older.unlink()
            older.with_name(f"{older.name}.lock").unlink(missing_ok=True)

    return made(_archives() / f"{image.file_name}-{image.tag}.tar", build)


def pause_archive() -> Path:
    """Return the OCI archive of the image that holds a Pod's namespaces."""

    def build(output: Path) -> None:
        context = output.with_suffix(".context")
        context.mkdir(exist_ok=True)
        shutil.copy(PAUSE_PROGRAM, context)
        (context / "Dockerfile").write_text(PAUSE_DOCKERFILE)
        with _building():
            _build(PAUSE, context, context / "Dockerfile")
            _export(PAUSE, output)
        shutil.rmtree(context)

    return made(_archives() / f"pause-{digest(PAUSE_PROGRAM.parent, [PAUSE_PROGRAM])}.tar", build)


def base_image() -> str:
    """Return the name of a Debian image with Python, made from Debian's packages."""
    key = digest(folders.REPOSITORY, [])
    name = f"localhost/berth-base:{key}"

    def build(output: Path) -> None:
        sentence = (
            f"The packages of Debian {SUITE} could not be fetched: check the network and "
            "/etc/apt/sources.list, then run this again."
        )
        with (
            explained(sentence),
            step(f"making a base image of Debian {SUITE} with Python"),
            _building(),
        ):
            Runner().run(
                "mmdebstrap", "--variant=minbase", "--format=tar", f"--include={PACKAGES}", SUITE, output
            )
            container = _buildah("from", "scratch").strip()
            _buildah("add", container, output)
            _buildah("commit", "--rm", container, name)

    made(_archives() / f"base-{key}.tar", build)
    return name


def _building() -> AbstractContextManager[None]:
    """Hold the store for a build; what builds that were cut off have left in it goes while no other runs."""
    return shared(_store() / "builds.lock", when_alone=lambda: _buildah("rm", "--all"))


def _built(image: Image) -> str:
    """Return the name of an image that is now in the store, after the one that it adds to."""
    base = _built(image.base) if image.base else base_image()
    dockerfile = folders.REPOSITORY / image.dockerfile
    _build(image.reference, folders.REPOSITORY, dockerfile, "--build-arg", f"BASE_IMAGE={base}")
    return image.reference


def _build(name: str, context: Path, dockerfile: Path, *options: str) -> None:
    # The host's certificates are seen while the image is built and are no part of it.
    mount = f"--volume={CERTIFICATES}:{CERTIFICATES}:ro"
    where = ("--isolation=chroot", "--network=host", "--layers", mount)
    _buildah("build", *where, *options, f"--tag={name}", f"--file={dockerfile}", context)


def _export(name: str, output: Path) -> None:
    _buildah("push", "--disable-compression", name, f"oci-archive:{output}:{name}")


def _forget_older(image: Image) -> None:
    """Leave in the store what the image is made of now: the layers of each change would fill the disk."""
    if image.base:
        _forget_older(image.base)
    listed = _buildah("images", "--format={{.Name}}:{{.Tag}}", f"--filter=reference={image.repository}")
    older = sorted(set(listed.split()) - {image.reference})
    for what in (*older, "--prune"):
        with suppress(SandboxError):  # one that another build holds stays
            _buildah("rmi", what)


def _buildah(*arguments: str | Path) -> str:
    store = _store()
    temporary = store / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    # Mounts that buildah leaves end with the namespace.
    prefix = ("unshare", "--mount", "--", "buildah", f"--root={store}/root", f"--runroot={store}/run")
    runner = Runner(prefix=prefix, environment={"TMPDIR": str(temporary)})
    return runner.run("--storage-driver=overlay", *arguments)


def _store() -> Path:
    return folders.cache() / "buildah"


def _archives() -> Path:
    return folders.cache() / "images"


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        found += [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sorted(each for each in found if not IGNORED.intersection(each.parts))
