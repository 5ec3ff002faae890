"""One side of a training comparison: `python -m perf.training ours|float32|diffusers prior`.

Both sides train the same network (the embedded prior's shape) on the same images in bfloat16
autocast. "diffusers" restates the loop of that project's example for unconditional generation:
`add_noise`, mean squared error, gradient clipping, AdamW, a learning-rate schedule and `EMAModel`.
It has no learned variance, which ours trains too. "float32" is our loop without autocast.
"""

import sys
from dataclasses import replace
from typing import Any

import torch
from torch.nn import functional as F

from bench.core.memory import keep_freed_memory
from bench.networks.torchvision_guard import import_torchvision
from bench.training.data import TrainingImages
from bench.training.loop import TrainingRun
from bench.training.processes import accelerated
from bench.training.settings import SMALL, TrainingSettings
from bench.training.tasks import prior_task
from perf.measuring import timed

SIZE, STEPS, BATCH = 64, 4, 16
SETTINGS = replace(SMALL, batch=BATCH, precision="bfloat16")


def images() -> TrainingImages:
    """Return noise: the cost of a step does not depend on the images."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (4 * BATCH, 3, SIZE, SIZE), generator=generator)
    return TrainingImages(pixels.to(torch.uint8), "noise")


def ours(settings: TrainingSettings = SETTINGS) -> float:
    """Return the seconds for `STEPS` steps of our loop."""
    keep_freed_memory()
    task = prior_task(SIZE, "eps")
    with accelerated(settings) as accelerator:
        network = task.network(task.card.unet)
        run = TrainingRun(network, task.objective, images(), settings, accelerator)

        def steps() -> None:
            for _ in range(STEPS):
                run.advance()

        return timed(steps)


def float32() -> float:
    """Return the seconds for `STEPS` steps of our loop without autocast."""
    return ours(replace(SETTINGS, precision="float32"))


def diffusers() -> float:
    """Return the seconds for `STEPS` steps of the example's loop."""
    import_torchvision()  # imported by diffusers if installed
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel

    task = prior_task(SIZE, "eps")
    network = task.network(task.card.unet)
    scheduler: Any = DDPMScheduler(num_train_timesteps=1000)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4, weight_decay=1e-6)
    rates = get_scheduler("cosine", optimizer, num_warmup_steps=500, num_training_steps=10_000)
    average = EMAModel(network.parameters(), decay=0.9999, use_ema_warmup=True)
    data = images().pixels.float() / 127.5 - 1

    def steps() -> None:
        for step in range(STEPS):
            clean = data[step * BATCH : (step + 1) * BATCH]
            noise = torch.randn_like(clean)
            t = torch.randint(0, 1000, (BATCH,))
            noisy = scheduler.add_noise(clean, noise, t)
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.mse_loss(network(noisy, t)[:, :3].float(), noise)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            rates.step()
            optimizer.zero_grad()
            average.step(network.parameters())

    return timed(steps)


if __name__ == "__main__":
    print({"ours": ours, "float32": float32, "diffusers": diffusers}[sys.argv[1]]())
