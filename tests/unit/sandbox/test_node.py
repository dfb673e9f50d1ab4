import json
import tomllib
from ipaddress import IPv4Network
from pathlib import Path

import yaml

from berth_sandbox.cluster import node
from berth_sandbox.cluster.certificates import KeyPair
from berth_sandbox.cluster.network import Network

NETWORK = Network(IPv4Network("10.192.0.0/18"), "berth-1")


def test_containerd_reads_its_configuration_and_finds_the_networks(tmp_path: Path) -> None:
    config = tomllib.loads(node.write_containerd_config(tmp_path, NETWORK).read_text())
    runtime = config["plugins"]["io.containerd.grpc.v1.cri"]
    assert runtime["sandbox_image"] == node.PAUSE_IMAGE
    conflist = json.loads(next(Path(runtime["cni"]["conf_dir"]).iterdir()).read_text())
    assert conflist["plugins"][0]["ipam"]["ranges"] == [[{"subnet": str(NETWORK.pods)}]]


def test_the_kubelet_keeps_to_the_machine_that_it_is_in(tmp_path: Path) -> None:
    path = node.write_kubelet_config(
        tmp_path,
        authority=tmp_path / "ca.crt",
        server=KeyPair(tmp_path / "k.crt", tmp_path / "k.key"),
        network=NETWORK,
        cgroup="berth-demo",
    )
    config = yaml.safe_load(path.read_text())
    assert config["cgroupRoot"] == "/berth-demo"
    assert config["volumePluginDir"].startswith("/var/lib/")
    assert config["authentication"]["anonymous"] == {"enabled": False}


def test_kube_proxy_and_kubelet_agree_on_the_name_of_the_node() -> None:
    where = {"node": "berth-demo", "network": NETWORK}
    kubelet = node.kubelet(Path("/b"), Path("/config"), Path("/kubeconfig"), **where)
    proxy = node.kube_proxy(Path("/b"), Path("/kubeconfig"), **where)
    assert "--hostname-override=berth-demo" in kubelet
    assert "--hostname-override=berth-demo" in proxy
    assert f"--cluster-cidr={NETWORK.pods}" in proxy


def test_the_way_out_does_not_lead_to_the_loopback_of_the_host() -> None:
    command = node.way_out(42, NETWORK)
    assert "--disable-host-loopback" in command
    assert "/proc/42/ns/net" in command
