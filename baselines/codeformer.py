"""CodeFormer: blind face restoration by looking up a codebook (Zhou et al., NeurIPS 2022).

Details from the released code (S-Lab licence, non-commercial), for faces that are aligned.
"""

from dataclasses import dataclass

from torch import Tensor

from bench.methods import Method, Problem
from bench.methods.settings import Fraction
from bench.networks.restorers import restore_at_512


@dataclass(frozen=True)
class Settings:
    """`fidelity` is the paper's w, from 0 (quality) to 1 (fidelity to the input)."""

    fidelity: Fraction = 0.5


def restore(problem: Problem, settings: Settings) -> Tensor:
    """Restore in one pass at 512 px: [B, 3, h, w] to [B, 3, H, W]."""
    network = problem.network("codeformer")
    return restore_at_512(problem.lr, problem.size, lambda x: network(x, settings.fidelity)[0])


METHOD = Method(
    name="codeformer",
    title="CodeFormer",
    # w 0.5: the default of the released command, at every scale.
    settings=lambda scale: Settings(),
    restore=restore,
    needs=frozenset({"codeformer"}),
    paper="Zhou et al., Towards Robust Blind Face Restoration with Codebook Lookup Transformer, "
    "NeurIPS 2022",
    licence="S-Lab, non-commercial",
)
