"""Numbers in npz files, which are read as if a stranger had written them: no pickles, and every fault is one line.

An npz file is a zip of numpy arrays, each with its name, its dtype and its shape; the zip has checksums of them.
Memory layout is kept as far as numpy keeps it: by rows or by columns.
"""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mep_hw.errors import ScheduleError
from mep_hw.files import write_atomic

FLOATS = (torch.float32, torch.float64)
# What numpy and zipfile raise for damaged files, found by altering bytes.
_BROKEN = (ValueError, EOFError, KeyError, NotImplementedError, RuntimeError, OverflowError, MemoryError)


class Entries:
    """The arrays of one file, taken out one after the other.

    where: the file, as messages name it.
    """

    def __init__(self, where: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        self.where, self._left = where, dict(arrays)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str, dtypes: tuple[torch.dtype, ...] = FLOATS, dims: int | None = None) -> Tensor:
        """The entry as a tensor with one of these dtypes, finite, not empty in its first dimension.

        Args:
            dims: number of dimensions; None: at least one.

        Raises:
            ScheduleError: it is missing, of another kind, or holds NaN or infinity.
        """
        array = self._pop(name)
        kinds = [str(dtype).removeprefix("torch.") for dtype in dtypes]
        if array.dtype.name not in kinds or not array.dtype.isnative:
            raise self.wrong(name, array.dtype, f"must be {' or '.join(kinds)}", "convert it with astype")
        if array.ndim == 0 or (dims is not None and array.ndim != dims):
            rule = f"must have {'at least one dimension' if dims is None else f'{dims} dimensions'}"
            raise self.wrong(f"shape of {name}", array.shape, rule, "reshape it")
        tensor = torch.from_numpy(array)
        if not bool(tensor.isfinite().all()):
            raise self.wrong(name, "nan", "must be finite", "make the update again")
        return tensor

    def text(self, name: str) -> str:
        """The entry as text.

        Raises:
            ScheduleError: it is missing, or no text.
        """
        array = self._pop(name)
        if array.dtype.kind != "U" or array.ndim:
            raise self.wrong(name, array.dtype, "must be text", "write the file with mep_hw")
        return str(array)

    def number(self, name: str) -> float:
        """The entry as one finite number.

        Raises:
            ScheduleError: it is missing, or none.
        """
        array = self._pop(name)
        if array.ndim or array.dtype.kind not in "fiu" or not np.isfinite(array):
            raise self.wrong(name, array, "must be one finite number", "write for example scale=0.5")
        return float(array)

    def finish(self) -> None:
        """Raises ScheduleError for entries that nobody has taken."""
        if self._left:
            name = sorted(self._left)[0]
            raise self.wrong(name, None, "is not an entry of such a file", "leave it out")

    def wrong(self, field: str, value: object, rule: str, fix: str) -> ScheduleError:
        """The error for an entry; value None: none is told."""
        if value is None:
            return ScheduleError(self.where, field, rule=rule, fix=fix)
        return ScheduleError(self.where, field, value, rule=rule, fix=fix)

    def _pop(self, name: str) -> NDArray[Any]:
        if name not in self._left:
            known = ", ".join(sorted(self._left)) or "nothing else"
            raise self.wrong(name, None, "is missing", f"the file holds {known}")
        return self._left.pop(name)


def read(path: str | Path) -> Entries:
    """All entries of a file.

    Raises:
        ScheduleError: there is no such file, or it is no whole npz file, or holds Python objects.
    """
    where, fix = str(path), "give an npz file that was written by mep_hw or numpy.savez"
    try:
        file = np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ScheduleError(where, rule="is a single array, not an npz file", fix=fix)
        with file:
            arrays: dict[str, Any] = {name: file[name] for name in file.files}
    except OSError as error:
        raise ScheduleError(where, rule=f"cannot be read ({error.strerror or error})", fix=fix) from None
    except ScheduleError:
        raise
    except (*_BROKEN, zipfile.BadZipFile, zlib.error) as error:
        raise ScheduleError(where, rule=f"is not a whole npz file of numbers ({error})", fix=fix) from None
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise ScheduleError(where, name, rule="is not an array", fix=fix)
    return Entries(where, arrays)


def write(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """The arrays as a compressed npz file, which is whole or not there.

    Raises:
        InputError: the folder does not exist or cannot be written to.
    """
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    write_atomic(path, content.getvalue())


def array(name: str, tensor: Tensor) -> NDArray[Any]:
    """A tensor as numpy holds it, off the accelerator.

    Raises:
        ScheduleError: numpy has no such numbers, as bfloat16.
    """
    if tensor.dtype not in (*FLOATS, torch.int8, torch.int32):
        fix = "convert it to float32"
        raise ScheduleError("schedule", name, tensor.dtype, rule="is a kind of number that files do not hold", fix=fix)
    return tensor.detach().cpu().numpy()
