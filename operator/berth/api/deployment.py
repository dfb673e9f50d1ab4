from berth.api.base import ApiModel, Rule
from berth.api.spec import ModelDeploymentSpec
from berth.api.status import ModelDeploymentStatus

GROUP = "berth.dev"
VERSION = "v1alpha1"
KIND = "ModelDeployment"
PLURAL = "modeldeployments"


class ModelDeployment(ApiModel):
    """Puts a trained model behind a scoring endpoint on one of four compute targets."""

    spec: ModelDeploymentSpec
    """What shall be served, where and how."""
    status: ModelDeploymentStatus = ModelDeploymentStatus(observed_generation=-1)
    """What was observed."""

    rules = (
        Rule(
            "self.metadata.name.size() <= 63 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            "metadata.name must start with a letter and hold only a-z, 0-9 and '-', at most 63 characters",
        ),
    )
