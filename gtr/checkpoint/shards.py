"""Shares of tensors as torch's distributed checkpoint wrote them, in a folder that may come from anybody."""

import io
import pickle
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta

from gtr.report.inside import LARGEST, read_inside

NOTES = ".metadata"
TORCH = "torch.distributed.checkpoint"
MADE_OF = {
    *((f"{TORCH}.metadata", name) for name in ("Metadata", "TensorStorageMetadata", "TensorProperties", "StorageMeta")),
    *((f"{TORCH}.metadata", name) for name in ("ChunkStorageMetadata", "MetadataIndex", "_MEM_FORMAT_ENCODING")),
    *((f"{TORCH}.filesystem", "_StorageInfo"), ("torch", "Size"), ("torch.serialization", "_get_layout")),
    *(("pathlib", name) for name in ("PosixPath", "WindowsPath")),
}
"""What torch's notes on which share lies where are made of."""


class Reader(FileSystemReader):
    """Reads shares, whose notes are a pickle: of it nothing is made but what such notes hold, and nothing is run."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """Raises `pickle.UnpicklingError`, `Unreadable`, or another error for notes that are damaged or do more."""
        found = _Notes(io.BytesIO(read_inside(Path(self.path), NOTES, LARGEST))).load()
        if not isinstance(found, Metadata):
            raise pickle.UnpicklingError("they are no notes")
        for one in (found.storage_data or {}).values():
            if Path(one.relative_path).name != one.relative_path:
                raise pickle.UnpicklingError(f"they name {one.relative_path!r}, outside of the folder")
        found.storage_meta = found.storage_meta or StorageMeta()
        found.storage_meta.load_id = self.load_id
        return found


class _Notes(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        is_type = module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)
        if is_type or (module, name) in MADE_OF:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"they would bring in {module}.{name}")
