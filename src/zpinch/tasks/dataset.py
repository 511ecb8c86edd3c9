"""An archive as PyTorch's loaders want it: map-style, in any number of workers, batches fetched at once."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from zpinch.tasks.archive import Archive

Item = Tensor | tuple[Tensor, int]


class ArchiveDataset(Dataset[Item]):
    """(image, label) for each image of an archive with labels, otherwise the image: float32 (c, h, w) in [0, 1]."""

    def __init__(self, archive: "Archive") -> None:
        self.archive = archive

    def __len__(self) -> int:
        return len(self.archive)

    def __getitem__(self, index: int) -> Item:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[Item]:
        found = self.archive.take(indices)
        images = torch.from_numpy(found.pixels).float().div_(255)
        if found.labels is None:
            return list(images)
        return list(zip(images, found.labels.tolist(), strict=True))
