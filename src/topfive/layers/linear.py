"""The last layer of every classifier, in float32."""

from torch import Tensor, nn
from torch.nn import functional as F

from topfive.layers.precision import full_precision


class FullPrecisionLinear(nn.Linear):
    """A fully connected layer that runs in float32 even under autocast.

    bfloat16 has 8 significant bits, so that scores of nearby classes tie at the top; this layer costs next to nothing
    in float32 and its ties are real ones.
    """

    def forward(self, features: Tensor) -> Tensor:
        """features: (N, in) of any floating type. Returns (N, out) float32."""
        with full_precision(features.device):
            bias = None if self.bias is None else self.bias.float()
            return F.linear(features.float(), self.weight.float(), bias)
