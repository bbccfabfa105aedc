"""What we are measured beside: networks of torchvision and timm, per-image transforms, batches by fancy indexing."""

import importlib
from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

PADDING = 4  # px, of RandomCrop(32, 4) and of pad_crop


def random_pictures(images: int, side: int = 32) -> Tensor:
    """uint8 (images, 3, side, side) of noise, the same each time: no side's speed depends on what is in a picture."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (images, 3, side, side), dtype=torch.uint8, generator=generator)


def torchvision(part: str) -> Any:
    """`torchvision.<part>`; two operators, which its wheel lacks beside the CPU's torch, are declared first."""
    if not hasattr(torchvision, "library"):
        library = torch.library.Library("torchvision", "DEF")
        library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        torchvision.library = library  # kept: the declarations live as long as it does
    return importlib.import_module(f"torchvision.{part}")


def peer_network(name: str) -> nn.Module:
    """A network by its library and name, as "timm mobilenetv1_100", with weights drawn anew."""
    library, network = name.split()
    models = torchvision("models")  # also what timm imports
    if library == "timm":
        made: nn.Module = importlib.import_module("timm").create_model(network, pretrained=False)
        return made
    quickly = {"init_weights": False} if network in ("googlenet", "inception_v3") else {}
    drawn: nn.Module = getattr(models, network)(weights=None, **quickly)
    return drawn


class TorchvisionImages(Dataset[tuple[Tensor, int]]):
    """As `torchvision.datasets.CIFAR10`: (N, 32, 32, 3) uint8 in memory, each image transformed by itself."""

    def __init__(self, pictures: Tensor, labels: Tensor) -> None:
        transforms = torchvision("transforms")
        self.pictures = pictures.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels: list[int] = labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(pictures.shape[-1], PADDING),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
            ]
        )

    def __len__(self) -> int:
        """How many images there are."""
        return len(self.labels)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        """One image (3, 32, 32) float32 in [0, 1], and its label."""
        return self.transform(Image.fromarray(self.pictures[row])), self.labels[row]


def torchvision_batches(pictures: Tensor, labels: Tensor, batch_size: int, workers: int) -> DataLoader[Any]:
    """The usual loader: shuffled, its workers kept alive between epochs."""
    images = TorchvisionImages(pictures, labels)
    return DataLoader(
        images, batch_size, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0
    )


class GatheredBatches:
    """Batches by one fancy index into padded uint8 images: crop, mirror image and batch in a single gather."""

    def __init__(self, pictures: Tensor, labels: Tensor, batch_size: int) -> None:
        self.side, self.batch_size, self.labels = pictures.shape[-1], batch_size, labels
        self.padded = torch.nn.functional.pad(pictures, (PADDING,) * 4)
        self.span = torch.arange(self.side)
        self.channels = torch.arange(pictures.shape[1])[None, :, None, None]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """One epoch: float32 (N, 3, 32, 32) in [0, 1], contiguous, and labels."""
        for rows in torch.randperm(len(self.labels)).split(self.batch_size):
            if len(rows) == self.batch_size:
                yield self.batch(rows), self.labels[rows]

    def batch(self, rows: Tensor) -> Tensor:
        """The images of these rows, each with its own crop and flip."""
        top, left = torch.randint(0, 2 * PADDING + 1, (2, len(rows), 1))
        mirrored = torch.rand(len(rows), 1) < 0.5
        across = left + torch.where(mirrored, self.side - 1 - self.span, self.span)  # (N, 32)
        down = top + self.span
        pixels = self.padded[rows[:, None, None, None], self.channels, down[:, None, :, None], across[:, None, None, :]]
        return pixels.float() / 255
