"""Scoring as an IoT Edge module: messages by MQTT, beside HTTP; imported only where it is configured."""
