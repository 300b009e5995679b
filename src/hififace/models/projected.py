"""A discriminator that sees with a frozen network and learns heads alone (Projected GAN, arXiv 2111.01007).

Discriminators that begin from nothing learn slowly against a generator that is good already: 52 % right after 8,000
pairs (docs/lab-book.md). Features that tell textures and parts apart from the first step leave only small heads to
learn. Letters: B images, R their side, C channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from hififace.models.discriminator import DiscriminatorOutput, check_image
from hififace.models.normalisation import leaky
from hififace.models.params import DiscriminatorParams

FeatureMaps = Callable[[Tensor], Sequence[Tensor]]
"""(B, 3, R, R) RGB 0..1 to maps (B, C, h, w), high resolution first."""


class ProjectedDiscriminator(nn.Module):
    """A head for each of the frozen network's maps; a verdict for every patch of each.

    Maps go through a 1x1 convolution that stays as it was drawn ("cross-channel mixing": section 3.2 of the paper), so
    that no single channel gives the answer away, then through halving convolutions under spectral normalisation down
    to the size of the coarsest map. No gradient penalty is needed: `r1_gamma` of 0 leaves it out.

    Args:
        params: of kind "projected": `channels` are those of the maps, `stem_channels` the heads' width.
        features: the frozen network. It is not a part of this module: neither its weights nor its device are.
    """

    def __init__(self, params: DiscriminatorParams, features: FeatureMaps) -> None:
        super().__init__()
        self.params = params
        self._frozen = (features,)  # a tuple: a module as an attribute would be trained and saved along
        width, last = params.stem_channels, len(params.channels) - 1
        for index, channels in enumerate(params.channels):
            mixing = torch.empty(width, channels, 1, 1)
            nn.init.kaiming_normal_(mixing, nonlinearity="linear")
            self.register_buffer(f"mixing_{index}", mixing)
        self.heads = nn.ModuleList(_Head(width, last - index, params.num_logits) for index in range(last + 1))

    def forward(self, image: Tensor) -> DiscriminatorOutput:
        """(B, 3, R, R), RGB 0..1 -> logits (B, n, 1, 1), those of all maps. Raises ValueError at any other size."""
        check_image(image, self.params)
        logits, features = [], []
        for index, (seen, head) in enumerate(zip(self._frozen[0](image), self.heads, strict=True)):
            mixed = F.conv2d(seen, getattr(self, f"mixing_{index}").to(seen.dtype))
            verdict, feature = head(mixed)
            logits.append(verdict.flatten(1))
            features.append(feature)
        return DiscriminatorOutput(torch.cat(logits, dim=1)[:, :, None, None], features)


class _Head(nn.Module):
    """Halves a map `halvings` times, then gives a verdict for each place of what is left."""

    def __init__(self, width: int, halvings: int, num_logits: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(
            spectral_norm(nn.Conv2d(width, width, 4, stride=2, padding=1)) for _ in range(halvings)
        )
        self.context = spectral_norm(nn.Conv2d(width, width, 3, padding=1))
        self.head = spectral_norm(nn.Conv2d(width, num_logits, 3, padding=1))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        for stage in (*self.stages, self.context):
            x = leaky(stage(x))
        return self.head(x), x
