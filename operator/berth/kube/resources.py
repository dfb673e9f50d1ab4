"""Re-exported until every caller names `berth.plan.resources`."""

from berth.plan.resources import (  # noqa: F401
    AUTOSCALERS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    EVENTS,
    LEASES,
    MODEL_DEPLOYMENTS,
    PODS,
    SECRETS,
    SERVICES,
    Resource,
)
