"""Work on other machines through Ray: connection, code, and stateful workers.

Nothing here knows what the work is. Functions and items travel by pickle, files by their hash, so
no disk is shared; bench itself must be installed everywhere, and a worker with other code is
refused. Whatever dies, a worker or its machine, costs what it had in hand, which is
given to others.
"""

from bench.cluster.connection import Cluster
from bench.cluster.crew import Crew, Make, Unusable

__all__ = ["Cluster", "Crew", "Make", "Unusable"]
