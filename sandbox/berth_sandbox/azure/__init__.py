"""Azure on one machine: Entra's tokens, and Azure Resource Manager for container instances."""
