"""The crops of a training set in one file, so that training does not decode whole photos.

    crops = PoseCrops(people, augment=True, pack=pack_crops(people))

Each person is stored as a JPEG of at most 384 × 384 px that shows the crop with a margin, enough for every scale and
rotation of `augmentation.draw_geometry`. A sample is warped from it as it would be from the photo. The file lies in
the cache folder under a hash of what it was made of. It is read through a memory map, which all workers share.

The file: the JPEGs, the arrays `offsets`, `matrices` and `sizes` in NumPy's format, where they begin, and the CRC-32 of
all before it. Each start compares that, so that no sample is ever made of damaged data.

Samples differ from those of the photos by JPEG noise, and where 384 px show less than the photo does: a person's crop
at scale 1 has 217 px a side in the pack. Where the pack does not hold what a sample shows (`Framing` can zoom in on a
half body, or move the crop), the sample comes from the photo.
"""

import math
import os
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import simplejpeg
from torch.utils.data import Dataset

from stacked_hourglass.annotations.people import People
from stacked_hourglass.samples.augmentation import LARGEST_SCALE
from utils.compute.cache import cache_folder, key_of
from utils.compute.distributed import ALONE, Processes
from utils.compute.worker_processes import WorkerLoader
from utils.console.progress import progress
from utils.files.arrays_in_files import read_header, read_values
from utils.imaging.images import (
    CROP_SIZE,
    ImageError,
    crop_image,
    crop_matrix,
    crop_photo,
    invert_affine,
    product_of_affine,
)
from utils.osutils import UserError, atomic_path, inform, warn

VERSION = 2
PACK_SIZE = 384  # px, most
QUALITY = 90  # of JPEG
PACK_MARGIN = LARGEST_SCALE * math.sqrt(2)  # side of what is stored / side of the crop: any scale, any rotation
# Px of the pack a px of the sample, below which a sample comes from the photo. At scale 0.75 it is 0.64.
LEAST_ZOOM = 0.6
EDGE = 1e-3  # px, for rounding
INDEX_BYTES, CHECKSUM_BYTES = 8, 4  # at the end of the file
PIECE = 1 << 20  # bytes


class CropPack:
    """A file of packed crops, open for reading.

    Attributes:
        path: the file.
        matrices: (N, 2, 3) float64, photo px -> px of the packed crop.
        to_photo: (N, 2, 3) float64, the inverse.
        sizes: (N,) int64, side of the packed crop, px; 0 where the photo could not be read.
    """

    def __init__(self, path: Path):
        """Raises UserError for a file that is damaged or no pack."""
        self.path = path
        try:
            with path.open("rb") as file:
                before = file.seek(-CHECKSUM_BYTES, os.SEEK_END)
                if _checksum(file, before) != int.from_bytes(file.read(), "little"):
                    raise ValueError("its checksum is wrong")
                file.seek(before - INDEX_BYTES)
                file.seek(int.from_bytes(file.read(INDEX_BYTES), "little"))
                self._offsets, self.matrices, self.sizes = (
                    read_values(file, read_header(file), path) for _ in range(3)
                )
        except (OSError, ValueError) as error:
            raise UserError(f"{path}: not a pack of crops, or damaged ({error})") from None
        self.to_photo = invert_affine(self.matrices)
        self._scales = np.sqrt(np.abs(np.linalg.det(self.matrices[:, :, :2])))  # px of the pack a px of the photo
        self._data: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    def __getstate__(self) -> dict:
        return self.__dict__ | {"_data": None}  # each process maps the file itself

    def crop(self, index: int, matrix: np.ndarray, size: int = CROP_SIZE) -> np.ndarray | None:
        """The crop (size, size, 3) uint8 RGB that `matrix` (2, 3), photo px -> crop px, shows of a person.

        None if the pack does not hold it, or at too low a resolution.
        """
        side = int(self.sizes[index])
        if not side:
            return None
        to_crop = product_of_affine(matrix, self.to_photo[index])  # px of the pack -> crop px
        rows = invert_affine(to_crop).tolist()
        (a, b, _), (c, d, _) = rows
        if abs(a * d - b * c) < LEAST_ZOOM**2 and self._scales[index] < 1:  # at 1 the photo has no more
            return None
        for along_x, along_y, start in rows:  # of the crop's corners, the least and the largest x, then y
            reach = along_x * (size - 1), along_y * (size - 1)
            low, high = start + sum(min(part, 0) for part in reach), start + sum(max(part, 0) for part in reach)
            if low < -EDGE - 0.5 or high > side - 0.5 + EDGE:
                return None
        return crop_image(self.decoded(index), to_crop, size)

    def decoded(self, index: int) -> np.ndarray:
        """The packed crop of a person, (side, side, 3) uint8 RGB. Raises ImageError where it is damaged."""
        if self._data is None:
            self._data = np.memmap(self.path, np.uint8, "r")
        try:
            return simplejpeg.decode_jpeg(self._data[self._offsets[index] : self._offsets[index + 1]])
        except ValueError:
            raise ImageError(f"{self.path}: the crop of person {index} (from 0) is damaged; delete the file") from None


def pack_crops(people: People, workers: int = 0, folder: Path | None = None, processes: Processes = ALONE) -> CropPack:
    """The pack of these people, made on first use.

    Args:
        workers: processes that decode and crop.
        folder: of the file; by default `cache_folder()`.
        processes: with several, rank 0 makes it. On a machine that does not share its disk, each process does.
    """
    path = (folder or cache_folder()) / f"crops_{key_of(_identity(people))}.pack"
    processes.on_main(lambda: _kept(path, len(people)) or _write(path, people, workers))
    return _kept(path, len(people)) or _write(path, people, workers)


def _kept(path: Path, count: int) -> CropPack | None:
    """The pack if it is there and whole; else None, and a damaged file goes."""
    if not path.is_file():
        return None
    try:
        pack = CropPack(path)
        if len(pack) != count:
            raise UserError(f"{path}: holds {len(pack)} crops, not {count}")
        return pack
    except UserError as error:
        warn(f"cache dropped: {error}; it is made again")
        path.unlink(missing_ok=True)
        return None


def _write(path: Path, people: People, workers: int) -> CropPack:
    path.parent.mkdir(parents=True, exist_ok=True)
    packed = WorkerLoader(_Packing(people), batch_size=None, num_workers=workers)
    offsets, matrices, sizes = [0], [], []
    with atomic_path(path) as temporary, temporary.open("w+b") as file:
        for data, matrix, size in progress(packed, len(packed), "packing crops (once)", "person"):
            file.write(data)
            offsets.append(offsets[-1] + len(data))
            matrices.append(matrix)
            sizes.append(size)
        for array in (np.array(offsets, np.int64), np.stack(matrices), np.array(sizes, np.int64)):
            buffer = BytesIO()
            np.save(buffer, array)
            file.write(buffer.getvalue())
        file.write(offsets[-1].to_bytes(INDEX_BYTES, "little"))
        file.write(_checksum(file, file.tell()).to_bytes(CHECKSUM_BYTES, "little"))
    inform(f"packed the crops of {len(people)} people, {path.stat().st_size / 1e6:.0f} MB: {path}")
    return CropPack(path)


def _checksum(file: BinaryIO, length: int) -> int:
    """CRC-32 of the first `length` bytes of a file, which is then at their end."""
    file.seek(0)
    checksum = 0
    for piece in iter(lambda: file.read(min(PIECE, length - file.tell())), b""):
        checksum = zlib.crc32(piece, checksum)
    return checksum


class _Packing(Dataset):
    """Person -> JPEG data, the map from photo to packed crop, and the packed crop's side; empty if unreadable."""

    def __init__(self, people: People):
        self._people = people

    def __len__(self) -> int:
        return len(self._people)

    def __getitem__(self, index: int) -> tuple[bytes, np.ndarray, int]:
        people = self._people
        side = float(people.side[index]) * PACK_MARGIN
        size = min(PACK_SIZE, max(1, math.ceil(side)))
        # A small person is stored at the photo's resolution, and a little wider, since the side is a whole number.
        matrix = crop_matrix(people.center[index], max(side, size), size)
        try:
            crop = crop_photo(people.photo(index), matrix, size)
        except ImageError:
            return b"", matrix, 0
        quality = [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
        return cv2.imencode(".jpg", crop[:, :, ::-1], quality)[1].tobytes(), matrix, size


def _identity(people: People) -> Iterator[str | bytes]:
    """What a pack is made of, for its name: the crops, photos as they are on the disk, settings."""
    yield f"v{VERSION} {PACK_SIZE} {QUALITY} {PACK_MARGIN}"
    yield from people.identity()
    for path in people.image_paths if people.images is None else []:
        state = path.stat() if path.is_file() else None
        yield f"{state.st_size} {state.st_mtime_ns}" if state else ""
