"""Executors of units of work: this process, the devices of this machine, a cluster."""
