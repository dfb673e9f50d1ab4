"""The resources of `berth.dev/v1alpha1` as pydantic models: the only source of the CRDs."""
