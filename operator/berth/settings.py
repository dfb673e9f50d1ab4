"""The settings of the operator's process, read once from environment variables that start with `BERTH_`."""

from importlib.metadata import version
from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from berth.api.fpga_place import StockWeights


class Settings(BaseSettings):
    """What an installation decides; the chart sets all of it."""

    model_config = SettingsConfigDict(env_prefix="BERTH_", frozen=True)

    namespaces: Annotated[tuple[str, ...], NoDecode] = ()
    """Namespaces to serve, separated by commas; empty for all."""
    operator_namespace: str = "berth-system"
    """Where the lease lies."""
    pod_name: str = "berth"
    """The name under which this process holds the lease."""
    lease_name: str = "berth-leader"
    scoring_image: str = f"ghcr.io/berth-dev/berth-scoring:{version('berth')}"
    """The image for every ModelDeployment without one of its own."""
    scoring_image_pull_policy: str = "IfNotPresent"
    featurizers: tuple[StockWeights, ...] = ()
    """Stock weights for FPGA where a ComputeTarget has none, as JSON."""
    workers: Annotated[int, Field(ge=1, le=256)] = 16
    """ModelDeployments that are reconciled at the same time."""
    connections: Annotated[int, Field(ge=10, le=1000)] = 20
    """Connections to the API server, besides one for each watch."""
    resync_seconds: Annotated[float, Field(ge=10)] = 600.0
    """Time in which every object is looked at once, even if nothing changes."""
    orphan_grace_seconds: Annotated[float, Field(ge=600)] = 900.0
    """Time for which nobody wants a container group of this cluster before it is deleted."""
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8080
    """Where `/metrics`, `/healthz` and `/readyz` are served."""
    log_level: str = "INFO"
    shutdown_grace_seconds: Annotated[float, Field(ge=0)] = 20.0
    """Time for running passes to end."""

    def serves(self, namespace: str) -> bool:
        """Tell whether this operator looks after a namespace."""
        return not self.namespaces or namespace in self.namespaces

    @field_validator("namespaces", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name for part in value.split(",") if (name := part.strip()))
