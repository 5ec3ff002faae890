"""DPI's dump: networks, masks, steps, loops, the Corrector's loss, the loader."""

from collections.abc import Iterator

import numpy as np

from bench.diffusion.corrector import Corrector
from bench.diffusion.prior import Prior
from bench.diffusion.schedule import Schedule
from bench.diffusion.unet import UNet, infer_config
from bench.dpi import masks
from bench.dpi.sampler import DPISettings, sample, step
from bench.images import resize_bicubic
from bench.metrics import find as find_metric
from bench.training.objectives import released_corrector_loss
from tests.recorded import Case, Dump, damped_corrector, tiny_eps


def check(dump: Dump) -> Iterator[Case]:
    """Compare DPI's released form: networks, masks, ancestral steps, DDIM loops, Corrector loss."""
    prior_unet = UNet(infer_config(dump.state("sd_prior"), head_channels=16))
    prior_unet.load_state_dict(dump.state("sd_prior"))
    crt = Corrector(infer_config(dump.state("sd_crt"), head_channels=16))
    crt.load_state_dict(dump.state("sd_crt"))
    prior = Prior(tiny_eps(prior_unet), Schedule.linear())
    corrector = damped_corrector(crt)

    if "unet_prior" in dump:
        x, t, y = dump["unet_x"], dump["unet_t"], dump["unet_y"]
        yield "unet_prior", dump.difference("unet_prior", prior_unet(x, t))
        yield "unet_crt", dump.difference("unet_crt", crt(x, t, y))
        yield "tiny_out", dump.difference("tiny_out", prior.network(x, t))

    published = DPISettings(tau=300, s=1.2, omega=750, form="released")
    for case, step_index in dump.cases(r"p(\d+)_sample"):
        index = int(step_index)
        noise = dump.noise(f"p{index}")
        x, y, y_T = dump["p_x"], dump["p_mask"], dump["p_mask0"]
        x, y, x0 = step(prior, corrector, x, y, y_T, index, published, noise)
        yield case, dump.difference(case, x)
        # x0_hat divides the network's rounding errors by sqrt(alpha_bar), 0.006 at t = 999, so
        # it is compared at the scale of x_t.
        signal = float(prior.schedule.alpha_bar[index]) ** 0.5
        yield f"p{index}_x0", signal * dump.difference(f"p{index}_x0", x0)
        yield f"p{index}_mask", dump.difference(f"p{index}_mask", y)
        yield f"p{index}_draws", float(noise.remaining)

    if "maskgen_prob" in dump:
        probability = masks.released_edge_probability(dump["p_mask"], k=2, s=1.2)
        yield "maskgen_prob", dump.difference("maskgen_prob", probability)
        m_a = masks.on_grid(dump.noise("maskgen").bernoulli(probability), k=2)
        yield "maskgen_out", dump.difference("maskgen_out", m_a.expand_as(dump["maskgen_out"]))

    for case, ddim, steps, eta in dump.cases(r"(ddim)?(\d+)_eta([\d.]+)_out"):
        settings = DPISettings(
            tau=7,
            s=1.4,
            omega=30,
            steps=int(steps),
            sampler="ddim",
            eta=float(eta),
            spacing="ddim" if ddim else "even",
            form="released",
        )
        noise = dump.noise(case.removesuffix("_out"))
        yield case, dump.difference(case, sample(prior, corrector, dump["base"], settings, noise))

    if "train_loss" in dump:
        noise = dump.noise("train")
        loss = released_corrector_loss(
            crt,
            prior.schedule,
            dump["gt"],
            dump["base"],
            dump["train_t"],
            noise.normal_like(dump["gt"]),
            noise.normal_like(dump["gt"]),
        )
        yield "train_loss", dump.difference("train_loss", loss)

    for case, scale in dump.cases(r"lr_x(\d+)"):
        gt = dump.arrays["gt256"]
        low = resize_bicubic(gt, len(gt) // int(scale))
        base = resize_bicubic(low, len(gt) // 2)
        yield case, float(np.abs(base.astype(int) - dump.arrays[case]).max())

    if "psnr" in dump and "lr_x8" in dump:
        gt = dump.arrays["gt256"]
        restored = resize_bicubic(dump.arrays["lr_x8"], len(gt))
        for metric in ("psnr", "ssim"):
            (value,) = find_metric(metric).score([restored], [gt])
            yield metric, abs(value - float(dump.arrays[metric]))
