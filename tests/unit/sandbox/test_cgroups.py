from pathlib import Path

import pytest

from berth_sandbox.cluster import cgroups


@pytest.fixture
def version_1(tmp_path: Path) -> Path:
    for controller in ("cpu,cpuacct", "cpuset", "memory"):
        (tmp_path / controller).mkdir()
    (tmp_path / "cpu").symlink_to("cpu,cpuacct")
    (tmp_path / "cpuset" / "cpuset.cpus").write_text("0-1")
    (tmp_path / "cpuset" / "cpuset.mems").write_text("0")
    return tmp_path


@pytest.fixture
def version_2(tmp_path: Path) -> Path:
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    return tmp_path


def test_version_1_has_one_group_for_each_controller(version_1: Path) -> None:
    cgroups.create("berth-demo", version_1)
    assert (version_1 / "memory" / "berth-demo").is_dir()
    assert (version_1 / "cpuset" / "berth-demo" / "cpuset.cpus").read_text() == "0-1"


def test_version_2_has_one_group(version_2: Path) -> None:
    cgroups.create("berth-demo", version_2)
    assert [each.name for each in version_2.iterdir() if each.is_dir()] == ["berth-demo"]


def test_groups_are_removed_from_the_leaves_up(version_2: Path) -> None:
    (version_2 / "berth-demo" / "kubepods" / "pod-1").mkdir(parents=True)
    (version_2 / "berth-other").mkdir()
    cgroups.remove("berth-demo", version_2)
    assert [each.name for each in version_2.iterdir() if each.is_dir()] == ["berth-other"]


def test_there_may_be_nothing_to_remove(version_1: Path) -> None:
    cgroups.remove("berth-demo", version_1)
