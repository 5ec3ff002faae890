"""Where units of work run: this process, the devices of this machine, a cluster."""
