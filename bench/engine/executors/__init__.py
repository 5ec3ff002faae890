"""Executors: this process, the devices of this machine, or a cluster."""
