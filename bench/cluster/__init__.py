"""Work on other machines through Ray: connection, code, and stateful workers.

Nothing here knows what the work is. Functions and items travel by pickle, files by their hash, so
no disk is shared; bench itself must be installed everywhere, and a worker with other code is
refused. A worker or machine that dies loses only its current work, which others repeat.
"""

from bench.cluster.connection import Cluster
from bench.cluster.crew import Crew
from bench.cluster.worker import Make, Unusable

__all__ = ["Cluster", "Crew", "Make", "Unusable"]
