"""`python -m perf.peak`: how near to the machine's limit the prior's network runs.

Printed are the rate of its floating-point operations (a multiplication and an addition are two) on
a batch, that of a product of two large matrices in the same precision and process, and their ratio.
"""

import torch
from torch.utils.flop_counter import FlopCounterMode

from bench.diffusion.unet import UNet
from bench.memory import keep_freed_memory
from perf.measuring import timed
from perf.sampling import DEVICE, GPU, PRECISION, SETTING, counted

WIDTH = 8192 if GPU else 2048


def rates() -> tuple[float, float]:
    """Operations per second of the network and of the product."""
    network = UNet(SETTING.prior).requires_grad_(False).eval()
    x = torch.randn(SETTING.images, 3, SETTING.size, SETTING.size, device=DEVICE)
    t = torch.zeros(SETTING.images, dtype=torch.long, device=DEVICE)
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            network.to(DEVICE)(x, t)
        unet = counted(network, PRECISION)
        for _ in range(3):  # PyTorch compiles and records a graph at the first calls
            unet(x, t)
        matrix = torch.randn(WIDTH, WIDTH, device=DEVICE)
        matrix = matrix.bfloat16() if GPU else matrix
        return (
            counter.get_total_flops() / timed(lambda: unet(x, t)),
            2 * WIDTH**3 / timed(lambda: matrix @ matrix),
        )


def main() -> None:
    """Print both rates and their ratio."""
    keep_freed_memory()
    network, product = rates()
    print(f"{network / 1e9:.0f} and {product / 1e9:.0f} GFLOP/s: {network / product:.2f}")


if __name__ == "__main__":
    main()
