"""SIFT at key-points: Lowe 2004, IJCV 60(2), as OpenCV computes it.

Unlike on a grid, every image has as many descriptors as it has corners and blobs, and each is turned and scaled to its
own. OpenCV's C++ runs on the CPU, an image at a time; such an entry can not be exported.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from topfive.errors import MissingExtra
from topfive.features.door import check_counts, check_images, check_weights
from topfive.features.sift import LENGTH


class KeypointSift(nn.Module):
    """Grey images to descriptors of their key-points, the strongest first.

    most: key-points of an image. contrast: Lowe's threshold against faint ones (sec. 4), of pixels in [0, 1]. Raises
    MissingExtra when it is used without OpenCV.
    """

    def __init__(self, most: int, contrast: float = 0.04) -> None:
        super().__init__()
        check_counts("KeypointSift", most=most)
        check_weights("KeypointSift", contrast=contrast)
        self.most, self.contrast = most, contrast

    def places(self, height: int, width: int) -> Tensor:
        """Of `most` patches: (M, 2), all in the middle, since no image has been seen."""
        return torch.full((self.most, 2), 0.5)

    def found(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Of one image (1, H, W): where its M key-points lie, as shares of its sides (M, 2), and descriptors (M, 128).

        Descriptors have length 1.
        """
        check_images("KeypointSift", image[None], 1)
        pixels = (image[0] * 255).round().clamp(0, 255).byte().cpu().numpy()
        points, described = self._machine().detectAndCompute(pixels, None)
        if described is None:
            return image.new_zeros(0, 2), image.new_zeros(0, LENGTH)
        strongest = np.argsort([-point.response for point in points], kind="stable")[: self.most]
        places = np.array([points[rank].pt[::-1] for rank in strongest]) / image.shape[1:]  # down, right
        descriptors = torch.from_numpy(described[strongest]).to(image)
        return torch.from_numpy(places).to(image), nn.functional.normalize(descriptors, dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 1, H, W) in [0, 1] -> (N, most, 128), zeros for key-points that an image does not have."""
        check_images("KeypointSift", images, 1)
        every = images.new_zeros(len(images), self.most, LENGTH)
        for image, rows in zip(images, every, strict=True):
            described = self.found(image)[1]
            rows[: len(described)] = described
        return every

    def _machine(self) -> Any:
        try:
            import cv2
        except ImportError:
            raise MissingExtra("SIFT at key-points: needs OpenCV; pip install 'topfive[keypoints]'") from None
        return cv2.SIFT.create(contrastThreshold=self.contrast)

    def extra_repr(self) -> str:
        """The constants, for print(network)."""
        return f"most={self.most}, contrast={self.contrast}"
