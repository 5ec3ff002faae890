"""The condition Corrector (CRT): a small U-Net that corrects the condition towards the prior."""

from torch import Tensor

from bench.diffusion.unet import UNet


class Corrector(UNet):
    """The released code's Corrector: an ADM U-Net conditioned on the initial condition y_T.

    y_T enters twice: a tenth of its channel mean is added to the features of the first
    convolution, and y_T itself to the output, so that the network learns a correction.
    """

    def forward(self, y: Tensor, t: Tensor, y_T: Tensor) -> Tensor:  # type: ignore[override]
        """Correct a condition [B, 3, H, W] at timesteps [B], given the initial condition."""
        return self.body(self.stem(y) + 0.1 * y_T.mean(dim=1, keepdim=True), t) + y_T
