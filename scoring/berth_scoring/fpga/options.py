"""What the operator tells a container that serves a pipeline on a device."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Self

from berth_scoring.reading import ConfigError, arguments, camel

NUMBERS = ("max_batch", "port", "max_image_bytes", "max_image_pixels")
TEXTS = ("input_tensor", "output_tensor")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """A deep network on an exclusive device, behind the protocol of TensorFlow Serving."""

    featurizer: str
    weights: str
    """The name of the model that holds the featurizer's graph."""
    classifier: str | None = None
    """The name of the model that holds the classifier's; without one the featurizer's outputs are sent."""
    input_tensor: str = "images"
    output_tensor: str = "output_alias"
    max_batch: int = 1
    """Images that one request may hold at most."""
    port: int = 8500
    """Where gRPC is answered; HTTP stays on the server's own port."""
    provider: str | None = None
    """The execution provider of ONNX Runtime; without one that of the image, or the CPU."""
    provider_options: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[str, ...] = ()
    """Patterns of the files that the device plugin puts into the container, for instance `/dev/acl*`."""
    max_image_bytes: int = 10 * 1024 * 1024
    max_image_pixels: int = 25_000_000

    @classmethod
    def from_json(cls, data: object, models: Collection[str]) -> Self:
        """Read `pipeline`, which names some of the models."""
        values = arguments(cls, data)
        for name in ("weights", "classifier"):
            if values.get(name) is not None and values[name] not in models:
                raise ConfigError(f"pipeline.{name} must be one of the models, not {values[name]!r}")
        for name in set(NUMBERS) & set(values):
            if type(values[name]) is not int or values[name] < 1:
                raise ConfigError(f"pipeline.{camel(name)} must be a whole number of at least 1")
        for name in set(TEXTS) & set(values):
            if not isinstance(values[name], str) or not values[name]:
                raise ConfigError(f"pipeline.{camel(name)} must be the name of a tensor")
        devices, options = values.get("devices", []), values.get("provider_options", {})
        if not isinstance(devices, list) or not all(isinstance(each, str) for each in devices):
            raise ConfigError("pipeline.devices must be a list of patterns")
        if not isinstance(options, dict) or not all(isinstance(each, str) for each in options.values()):
            raise ConfigError("pipeline.providerOptions must map names to texts")
        return cls(**values | {"devices": tuple(devices)})
