"""Where a ModelDeployment for FPGA runs: its own settings over those of the ComputeTarget."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from berth.api.conditions import Reason
from berth.api.fpga_place import FpgaPlace, StockWeights
from berth.api.names import child_name
from berth.api.source import ModelFormat, ModelSource
from berth.core.errors import Terminal
from berth.plan.labels import CLAIMING, child_labels
from berth.plan.placement import PORT, Placement, Port
from berth.plan.pods import CERTIFICATE, grace_seconds
from berth.plan.resources import CLAIM_TEMPLATES
from berth.plan.subject import Subject

GRPC_PORT = 8500
WEIGHTS = "weights"
CLAIM = "device"

_HTTP_SERVICE_PORT = 5001
_NOWHERE = FpgaPlace()

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Device:
    """What each replica gets: an extended resource, or a device of a DRA class."""

    name: str
    count: int
    is_class: bool = False


class FpgaSubject(Subject):
    """A ModelDeployment for FPGA, with what its ComputeTarget says and what was counted."""

    place: FpgaPlace | None = None
    stock: tuple[StockWeights, ...] = ()
    """Weights for featurizers of which the ComputeTarget has none."""
    surge: int = 0
    """Replicas that a rollout may have too many, since there are devices for them."""
    lacking: int = 0
    """Replicas for which there are no devices, while others of its own have theirs."""

    @cached_property
    def placement(self) -> Placement:
        """Where in the cluster its Pods run; raises Terminal where the ComputeTarget lacks something."""
        fpga, place = self.spec.fpga_settings, self.place
        grpc = Port("grpc", GRPC_PORT, 443 if self.spec.tls else 80)
        pod, resources = _pod(self), _resources(self)
        weights = weights_of(self)
        reference = self.spec.tls.secret_ref if self.spec.tls else None
        scheduling: Json = {
            "node_selector": {**(fpga.node_selector or {}), **((place and place.node_selector) or {})},
            "tolerations": (*((place and place.tolerations) or ()), *(fpga.tolerations or ())),
            "image_pull_secrets": fpga.image_pull_secrets or (),
            "service_account_name": fpga.service_account_name,
            "labels": CLAIMING if self.device.is_class else {},
            "pod": pod,
            "resources": resources,
            "supplemental_groups": (place and place.supplemental_groups) or (),
            "server": _server(self, weights),
            "more": {WEIGHTS: weights} if weights else {},
            "tls_secret": reference.name if reference else None,
        }
        return Placement(
            **scheduling,
            expose=fpga.expose,
            progress_deadline_seconds=fpga.progress_deadline_seconds
            + grace_seconds(self.spec.requests.timeout_milliseconds),
            serving={name: _plain(value) for name, value in scheduling.items()},
            surge=self.surge,
            lacking=self.lacking,
            ports=(grpc, Port("http", PORT, _HTTP_SERVICE_PORT)),
            is_tls=self.spec.tls is not None,
        )

    @property
    def device(self) -> Device:
        """The devices of each replica; raises Terminal where nobody names them, or the pool has not such."""
        wanted, place = self.spec.fpga_settings.device, self.place
        if wanted.resource_name:
            return Device(wanted.resource_name, wanted.count)
        class_name = wanted.device_class_name or (place and place.device_class_name)
        if class_name and (place is None or not place.dynamic_resources):
            raise Terminal(
                Reason.TARGET_NOT_AVAILABLE,
                f"DeviceClass {class_name} needs a ComputeTarget with fpga.dynamicResources: true, "
                "since a container runtime without CDI starts Pods without their device",
            )
        if class_name:
            return Device(class_name, wanted.count, is_class=True)
        if place is None or place.resource_name is None:
            raise Terminal(Reason.CONFIG_INVALID, "Neither fpga.device nor the ComputeTarget names a device")
        return Device(place.resource_name, wanted.count)


def pool_device(place: FpgaPlace) -> Device:
    """Return a device of a pool; the API server takes none that names two or none."""
    name = place.resource_name or place.device_class_name or ""
    return Device(name, 1, is_class=place.resource_name is None)


def placed(
    subject: Subject,
    place: FpgaPlace | None,
    *,
    stock: tuple[StockWeights, ...] = (),
    surge: int = 0,
    lacking: int = 0,
) -> FpgaSubject:
    """Tell a ModelDeployment where it is."""
    return FpgaSubject(
        metadata=subject.metadata,
        spec=subject.spec,
        status=subject.status,
        place=place,
        stock=stock,
        surge=surge,
        lacking=lacking,
    )


def weights_of(subject: FpgaSubject) -> ModelSource | None:
    """Return the weights of the featurizer; raises Terminal where nobody has any."""
    fpga, place = subject.spec.fpga_settings, subject.place
    stock = {each.featurizer: each for each in (*subject.stock, *((place and place.featurizers) or ()))}
    origin = fpga.weights or (stock.get(fpga.featurizer) if fpga.featurizer else None)
    if origin is not None:
        known = origin.model_dump(include={"uri", "sha256", "credentials_secret_ref"})
        return ModelSource(name=_weights_name(subject), format=ModelFormat.ONNX, **known)
    if fpga.featurizer is None or subject.spec.has_own_server:
        return None
    raise Terminal(
        Reason.CONFIG_INVALID,
        f"There are no stock weights for {fpga.featurizer}: give fpga.weights, "
        "or ask who owns the ComputeTarget to add them to fpga.featurizers",
    )


def _weights_name(subject: Subject) -> str:
    """Name the weights among the models, where the classifier has another name."""
    taken = {model.name for model in subject.spec.all_models}
    return WEIGHTS if WEIGHTS not in taken else f"featurizer-{WEIGHTS}"


def claim_template(subject: FpgaSubject) -> Json | None:
    """Build the template of the claims on devices of a DRA class; it cannot change, so its name tells all."""
    device = subject.device
    if not device.is_class:
        return None
    exactly = {"deviceClassName": device.name, "allocationMode": "ExactCount", "count": device.count}
    devices = {"devices": {"requests": [{"name": CLAIM, "exactly": exactly}]}}
    return {
        "apiVersion": CLAIM_TEMPLATES.api_version,
        "kind": CLAIM_TEMPLATES.kind,
        "metadata": {
            "name": _template_name(subject, device),
            "namespace": subject.metadata.namespace,
            "labels": child_labels(subject),
            "ownerReferences": [subject.owner_reference],
        },
        "spec": {"metadata": {"labels": child_labels(subject)}, "spec": devices},
    }


def _template_name(subject: Subject, device: Device) -> str:
    return child_name(subject.metadata.name, f"{device.count}x", device.name)


def _pod(subject: FpgaSubject) -> Json:
    fpga, place, device = subject.spec.fpga_settings, subject.place, subject.device
    runtime_class = fpga.runtime_class_name or (place and place.runtime_class_name)
    claims = [{"name": CLAIM, "resourceClaimTemplateName": _template_name(subject, device)}]
    return {
        **({"runtimeClassName": runtime_class} if runtime_class else {}),
        **({"priorityClassName": fpga.priority_class_name} if fpga.priority_class_name else {}),
        **({"resourceClaims": claims} if device.is_class else {}),
    }


def _resources(subject: FpgaSubject) -> Json:
    device = subject.device
    pages = (subject.place and subject.place.hugepages) or {}
    if device.is_class:
        return {"limits": dict(pages), "claims": [{"name": CLAIM}]}
    return {"limits": {**pages, device.name: str(device.count)}}


def _server(subject: FpgaSubject, weights: ModelSource | None) -> Json:
    """Tell the container of the pipeline that it serves."""
    pipeline = {"pipeline": _pipeline(subject, weights)} if weights else {}
    return {"port": PORT, **pipeline, **_tls(subject)}


def _pipeline(subject: FpgaSubject, weights: ModelSource) -> Json:
    spec, fpga, place = subject.spec, subject.spec.fpga_settings, subject.place or _NOWHERE
    runtime: Json = {
        "provider": place.execution_provider,
        "providerOptions": place.provider_options,
        "devices": list(place.device_files or ()),
    }
    return {
        "featurizer": fpga.featurizer.value if fpga.featurizer else None,
        "weights": weights.name,
        "classifier": spec.model.name if spec.model else None,
        "port": GRPC_PORT,
        "inputTensor": fpga.input_tensor,
        "outputTensor": fpga.output_tensor,
        "maxBatch": fpga.batch_size,
        **{name: value for name, value in runtime.items() if value},
    }


def _tls(subject: Subject) -> Json:
    tls, metadata = subject.spec.tls, subject.metadata
    if tls is None:
        return {}
    if tls.self_signed:
        return {
            "tls": {
                "selfSignedFor": [tls.hostname or f"{child_name(metadata.name)}.{metadata.namespace}.svc"]
            }
        }
    return {"tls": {"dir": CERTIFICATE}}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any part of a placement
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value
