"""IoT Edge devices whose modules really run, as Pods of the cluster that the emulator runs in."""
