"""The device plugin of the emulated FPGAs, asked over gRPC as a kubelet does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from kubelet_side import KubeletSide, connected, plugged_in

from berth_sandbox.fpga.devices import Devices

RESOURCE = "fpga.example.com/arria10"
BOTH_WELL = {"acl0": "Healthy", "acl1": "Healthy"}
PATIENCE_SECONDS = 10


@pytest.fixture
def devices(tmp_path: Path) -> Devices:
    made = Devices(tmp_path / "devices", ["acl0", "acl1"])
    made.make()
    return made


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "plugin.sock"


@pytest.fixture
def kubelet(devices: Devices, socket: Path) -> Iterator[KubeletSide]:
    """A kubelet that has found the plugin's socket."""
    with plugged_in(devices, RESOURCE, socket):
        eventually(socket.exists)
        with connected(socket) as side:
            yield side


def test_a_kubelet_learns_what_the_socket_is(kubelet: KubeletSide) -> None:
    info = kubelet.info()
    assert (info.type, info.name, info.endpoint) == ("DevicePlugin", RESOURCE, "")
    assert list(info.supported_versions) == ["v1beta1"]


def test_a_kubelet_asks_for_nothing_before_a_container_starts(kubelet: KubeletSide) -> None:
    options = kubelet.options()
    assert not options.pre_start_required
    assert not options.get_preferred_allocation_available


def test_a_refusal_of_the_kubelet_is_in_the_log(
    kubelet: KubeletSide, caplog: pytest.LogCaptureFixture
) -> None:
    kubelet.notify(registered=False, error="no such version")
    assert f"refuses {RESOURCE}: no such version" in caplog.text


def test_devices_are_told_at_once_and_when_one_fails_or_is_mended(
    kubelet: KubeletSide, devices: Devices
) -> None:
    told = kubelet.watch()
    assert next(told) == BOTH_WELL
    file = devices.path("acl0") / "device"
    file.unlink()
    assert next(told) == {"acl0": "Unhealthy", "acl1": "Healthy"}
    file.touch()
    assert next(told) == BOTH_WELL


def test_two_kubelets_one_of_which_is_about_to_end_are_both_told(
    kubelet: KubeletSide, devices: Devices, socket: Path
) -> None:
    with connected(socket) as later:
        watches = [kubelet.watch(), later.watch()]
        assert [next(each) for each in watches] == [BOTH_WELL, BOTH_WELL]
        (devices.path("acl1") / "device").unlink()
        assert [next(each)["acl1"] for each in watches] == ["Unhealthy", "Unhealthy"]


def test_each_container_gets_its_devices(kubelet: KubeletSide, devices: Devices) -> None:
    first, second = kubelet.allocate(["acl1"], ["acl0", "acl1"]).container_responses
    (mount,) = first.mounts
    assert (mount.container_path, mount.read_only) == ("/dev/fpga/acl1", True)
    assert (Path(mount.host_path) / "device").exists()
    assert dict(first.envs) == {"FPGA_DEVICES": "acl1"}
    assert dict(second.envs) == {"FPGA_DEVICES": "acl0,acl1"}
    assert [each.host_path for each in second.mounts] == [str(devices.path(name)) for name in devices.names]


def test_a_device_is_open_to_every_user_but_not_writable(devices: Devices) -> None:
    for name in devices.names:
        assert devices.path(name).stat().st_mode & 0o777 == 0o755
        assert (devices.path(name) / "device").stat().st_mode & 0o777 == 0o444


def test_a_device_that_is_not_there_is_not_allocated(kubelet: KubeletSide) -> None:
    with pytest.raises(grpc.RpcError, match="no device acl7") as refused:
        kubelet.allocate(["acl0"], ["acl7"])
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    assert kubelet.allocate(["acl0"]).container_responses


def test_a_socket_that_a_kubelet_removed_is_made_anew(
    kubelet: KubeletSide, devices: Devices, socket: Path
) -> None:
    told = kubelet.watch()
    assert next(told) == BOTH_WELL
    before = socket.stat().st_ctime_ns
    socket.unlink()
    eventually(lambda: socket.exists() and socket.stat().st_ctime_ns != before)
    with pytest.raises(grpc.RpcError):
        next(told)
    (devices.path("acl0") / "device").unlink()
    with connected(socket) as restarted:
        assert restarted.info().name == RESOURCE
        assert next(restarted.watch())["acl0"] == "Unhealthy"


def test_a_plugin_that_starts_again_leaves_a_broken_device_broken(devices: Devices) -> None:
    (devices.path("acl1") / "device").unlink()
    devices.make()
    assert dict(devices.health()) == {"acl0": True, "acl1": False}


@pytest.mark.parametrize("killed", [False, True], ids=["ended", "killed"])
def test_a_plugin_is_followed_by_the_next_one(tmp_path: Path, killed: bool) -> None:
    socket = tmp_path / "fpga.example.com_arria10.sock"
    with process(tmp_path) as first:
        eventually(socket.exists)
        with connected(socket) as kubelet:
            assert next(kubelet.watch()) == BOTH_WELL
        first.send_signal(signal.SIGKILL if killed else signal.SIGTERM)
        assert first.wait(PATIENCE_SECONDS) == (-signal.SIGKILL if killed else 0)
    assert socket.exists() is killed
    with process(tmp_path) as second:
        with connected(socket) as kubelet:
            assert next(kubelet.watch()) == BOTH_WELL
        second.terminate()
    assert not socket.exists()


def process(folder: Path) -> "subprocess.Popen[bytes]":
    options = [f"--folder={folder}/devices", f"--registry={folder}", "--devices=acl0,acl1"]
    command = [sys.executable, "-m", "berth_sandbox.fpga", f"--resource={RESOURCE}", *options]
    return subprocess.Popen(command, env={**os.environ, "GRPC_VERBOSITY": "ERROR"})


def eventually(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)
