"""The edge hub and the workload API of an emulated IoT Edge device."""
