"""The configuration and the command lines of a node: containerd, kubelet, kube-proxy, scheduler."""

import json
from collections.abc import Mapping
from pathlib import Path

import yaml

from berth_sandbox.cluster import dns
from berth_sandbox.cluster.certificates import KeyPair
from berth_sandbox.cluster.network import Network

PAUSE_IMAGE = "localhost/berth-pause:dev"
CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CONTAINERD = f"""\
version = 2
# The opt plugin would make a folder in /opt of the host.
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.devmapper"]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE no container starts unless this is set.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{{cni}}"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def write_containerd_config(folder: Path, network: Network) -> Path:
    """Write containerd's configuration and that of its network plugins."""
    cni = folder / "cni"
    cni.mkdir(parents=True, exist_ok=True)
    (cni / "10-berth.conflist").write_text(json.dumps(_cni(network)))
    path = folder / "containerd.toml"
    path.write_text(CONTAINERD.replace("{cni}", str(cni)))
    return path


def _cni(network: Network) -> Mapping[str, object]:
    # Routed links, not a bridge: a bridge would need br_netfilter for a Pod to reach itself by a Service.
    link = {
        "type": "ptp",
        "ipMasq": True,
        "ipam": {
            "type": "host-local",
            "ranges": [[{"subnet": str(network.pods)}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "berth", "plugins": [link, ports]}


def write_kubelet_config(
    folder: Path, *, authority: Path, server: KeyPair, network: Network, cgroup: str
) -> Path:
    """Write the kubelet's configuration and the resolv.conf of the Pods."""
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {network.resolver}\n")
    config = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(authority)},
        },
        "authorization": {"mode": "Webhook"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup}",
        "clusterDNS": [str(network.node)],
        "clusterDomain": dns.DOMAIN,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "evictionHard": {},
        "failCgroupV1": False,
        "failSwapOn": False,
        "imageGCHighThresholdPercent": 100,
        "localStorageCapacityIsolation": False,
        "maxPods": 250,
        "resolvConf": str(resolver),
        "serializeImagePulls": False,
        "tlsCertFile": str(server.certificate),
        "tlsPrivateKeyFile": str(server.key),
        # The default is a folder in /usr of the host.
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    }
    path = folder / "kubelet.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def containerd(config: Path) -> list[str]:
    """Return the command line of containerd."""
    return ["containerd", f"--config={config}"]


def kubelet(binaries: Path, config: Path, kubeconfig: Path, *, node: str, network: Network) -> list[str]:
    """Return the command line of the kubelet."""
    return [
        f"{binaries}/kubelet",
        f"--config={config}",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node}",
        f"--node-ip={network.node}",
    ]


def kube_proxy(binaries: Path, kubeconfig: Path, *, node: str, network: Network) -> list[str]:
    """Return the command line of kube-proxy."""
    return [
        f"{binaries}/kube-proxy",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node}",
        f"--cluster-cidr={network.pods}",
        "--proxy-mode=iptables",
        "--conntrack-max-per-core=0",
        "--iptables-min-sync-period=100ms",
    ]


def scheduler(binaries: Path, kubeconfig: Path) -> list[str]:
    """Return the command line of the scheduler."""
    return [
        f"{binaries}/kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def way_out(pid: int, network: Network) -> list[str]:
    """Return the command line of the user-mode network that leads from the machine to the world."""
    return [
        "slirp4netns",
        "--configure",
        "--mtu=65520",
        "--disable-host-loopback",
        f"--cidr={network.outward}",
        "--netns-type=path",
        f"/proc/{pid}/ns/net",
        "tap0",
    ]
