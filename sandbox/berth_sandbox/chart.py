"""Berth in a cluster, by its Helm chart."""

import json

from berth_sandbox import folders, images
from berth_sandbox.access import Access
from berth_sandbox.progress import step

SYSTEM_NAMESPACE = "berth-system"


def install(access: Access) -> None:
    """Install Berth by its Helm chart, or upgrade it to what this checkout holds."""
    settings = [
        f"{role}.{key}={value}"
        for role, image in (("image", images.OPERATOR), ("scoringImage", images.SCORING))
        for key, value in (("repository", image.repository), ("tag", image.tag))
    ]
    with step("installing Berth by its Helm chart"):
        _clear_interrupted(access)
        access.helm(
            *("upgrade", "--install", "berth", folders.REPOSITORY / "charts" / "berth"),
            *("--namespace", SYSTEM_NAMESPACE, "--create-namespace", "--wait", "--timeout=5m"),
            *(f"--set-string={setting}" for setting in settings),
        )


def _clear_interrupted(access: Access) -> None:
    """Remove a release whose installation was cut off: Helm refuses to go on with it."""
    pending = json.loads(access.helm("list", "--pending", "--namespace", SYSTEM_NAMESPACE, "--output=json"))
    if pending:
        access.helm("uninstall", "berth", "--namespace", SYSTEM_NAMESPACE, "--wait")
