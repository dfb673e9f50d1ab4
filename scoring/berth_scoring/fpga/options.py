"""What the operator tells a container that serves a pipeline on a device."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from berth_scoring.reading import ConfigError, arguments, as_paths, camel

NUMBERS = ("batch_size", "grpc_port", "max_image_bytes", "max_image_pixels")
TEXTS = ("input_tensor", "output_tensor")


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsSource:
    """The graph of a featurizer with its weights, as ONNX."""

    uri: str
    source: Path | None = None
    """Where a Kubernetes volume already holds the content; none for https and file."""
    sha256: str | None = None
    credentials_dir: Path | None = None

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read `weights`."""
        return cls(**as_paths(arguments(cls, data), "source", "credentials_dir"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """A deep network on an exclusive device, behind the protocol of TensorFlow Serving."""

    featurizer: str
    weights: WeightsSource
    input_tensor: str = "images"
    output_tensor: str = "output_alias"
    batch_size: int = 1
    """Images that one request may hold at most."""
    grpc_port: int = 8500
    """Where gRPC is answered; HTTP stays on the server's own port."""
    provider: str | None = None
    """The execution provider of ONNX Runtime; without one that of the image, or the CPU."""
    provider_options: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    """Patterns of the files that the device plugin puts into the container, for instance `/dev/acl*`."""
    max_image_bytes: int = 10 * 1024 * 1024
    max_image_pixels: int = 25_000_000

    @classmethod
    def from_json(cls, data: object) -> Self:
        """Read `fpga`."""
        values = arguments(cls, data)
        values["weights"] = WeightsSource.from_json(values["weights"])
        for name in set(NUMBERS) & set(values):
            if type(values[name]) is not int or values[name] < 1:
                raise ConfigError(f"fpga.{camel(name)} must be a whole number of at least 1")
        for name in set(TEXTS) & set(values):
            if not isinstance(values[name], str) or not values[name]:
                raise ConfigError(f"fpga.{camel(name)} must be the name of a tensor")
        devices, options = values.get("devices", []), values.get("provider_options", {})
        if not isinstance(devices, list) or not all(isinstance(each, str) for each in devices):
            raise ConfigError("fpga.devices must be a list of patterns")
        if not isinstance(options, dict) or not all(isinstance(each, str) for each in options.values()):
            raise ConfigError("fpga.providerOptions must map names to texts")
        return cls(**values | {"devices": tuple(devices)})
