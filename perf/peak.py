"""Share of the machine's peak rate that the prior's network reaches.

Compares its rate of floating-point operations on a batch (a multiply-add counts as two) with that
of a large matrix product in the same precision and process.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.diffusion.unet import UNet
from perf.measuring import timed
from perf.sampling import DEVICE, GPU, PRECISION, SETTING, counted

WIDTH = 8192 if GPU else 2048


def rates() -> tuple[float, float]:
    """Return the operations per second of the network and of the matrix product."""
    network = UNet(SETTING.prior).requires_grad_(False).eval()
    x = torch.randn(SETTING.images, 3, SETTING.size, SETTING.size, device=DEVICE)
    t = torch.zeros(SETTING.images, dtype=torch.long, device=DEVICE)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            network.to(DEVICE)(x, t)
        unet = counted(network, PRECISION)
        for _ in range(3):  # the first calls compile and record a graph
            unet(x, t)
        matrix = torch.randn(WIDTH, WIDTH, device=DEVICE)
        matrix = matrix.bfloat16() if GPU else matrix
        return (
            counter.get_total_flops() / timed(lambda: unet(x, t)),
            2 * WIDTH**3 / timed(lambda: matrix @ matrix),
        )
