"""The control groups of a cluster's Pods, which outlive the processes in them."""

from pathlib import Path

ROOT = Path("/sys/fs/cgroup")


def hierarchies(root: Path = ROOT) -> list[Path]:
    """List the cgroup hierarchies: one in version 2, one for each controller in version 1."""
    if (root / "cgroup.controllers").exists():
        return [root]
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.is_symlink())


def create(name: str, root: Path = ROOT) -> None:
    """Create the group in every hierarchy: the kubelet refuses to start below one that is missing."""
    for hierarchy in hierarchies(root):
        (hierarchy / name).mkdir(exist_ok=True)
        if hierarchy.name == "cpuset":
            # A new cpuset is empty and takes no process until it is given what its parent has.
            for file in ("cpuset.cpus", "cpuset.mems"):
                (hierarchy / name / file).write_text((hierarchy / file).read_text())


def remove(name: str, root: Path = ROOT) -> None:
    """Remove the group and all below it, in every hierarchy."""
    for hierarchy in hierarchies(root):
        group = hierarchy / name
        if group.is_dir():
            below = [path for path in group.rglob("*") if path.is_dir()]
            for each in [*sorted(below, reverse=True), group]:
                each.rmdir()
