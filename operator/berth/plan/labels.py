"""The labels of everything that Berth makes: a fixed set, never copied from the user's object."""

from berth.api.names import child_name
from berth.plan.subject import Subject

MANAGED_BY = "app.kubernetes.io/managed-by"
DEPLOYMENT = "berth.dev/deployment"
CLAIMING = {"berth.dev/devices": "claimed"}
"""What Pods carry that claim devices of a DRA class, so that they can be followed alone."""
SELECT_CLAIMING = ",".join(f"{name}={value}" for name, value in CLAIMING.items())
SELECT_OWN = f"{MANAGED_BY}=berth"


def selector_labels(subject: Subject) -> dict[str, str]:
    """Return the labels that a Deployment and its Service select Pods by; they can never change."""
    return {DEPLOYMENT: child_name(subject.metadata.name)}


def pod_selector(subject: Subject) -> str:
    """Return those labels as one expression, as lists of Pods are asked for."""
    return ",".join(f"{name}={value}" for name, value in selector_labels(subject).items())


def child_labels(subject: Subject) -> dict[str, str]:
    """Return all labels of a child and of its Pods."""
    return {
        "app.kubernetes.io/name": "berth-scoring",
        MANAGED_BY: "berth",
        **selector_labels(subject),
    }
