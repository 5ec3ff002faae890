"""Work on other machines through Ray: connection, code, and stateful workers.

This package is independent of the work. Functions and items are pickled and files are sent by hash,
so no shared disk is needed; bench itself must be installed everywhere, and a worker with other code
is refused. If a worker or machine dies, only its current work is lost, and others repeat it.
"""

from bench.cluster.connection import Cluster
from bench.cluster.crew import Crew
from bench.cluster.worker import Make, Unusable

__all__ = ["Cluster", "Crew", "Make", "Unusable"]
