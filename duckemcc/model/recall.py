"""Functions of small arrays that are called with the same numbers again and again: many queries on one model share
their tables, and the sets that these are searched on. What is remembered is found by its numbers, not by who asks."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

import numpy as np

_R = TypeVar("_R")

LARGEST = 2**16
"""Bytes of the arguments of a call up to which it is remembered: to compare more would take as long as many calls."""

_KEPT = 512
"""Results of one function that are remembered."""


class Recall:
    """The last results of one pure function, which nobody may change."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._found: OrderedDict[Hashable, Any] = OrderedDict()

    def __call__(self, make: Callable[[], _R], *asked: Any) -> _R:
        """What `make` makes, which depends on nothing but what is asked: arrays and hashable values."""
        arrays = [a for a in asked if isinstance(a, np.ndarray)]
        if sum(a.nbytes for a in arrays) > LARGEST:
            return make()
        key = tuple((a.shape, a.dtype.str, a.tobytes()) if isinstance(a, np.ndarray) else a for a in asked)
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                found: _R = self._found[key]
                return found
        found = make()
        with self._lock:
            self._found[key] = found
            while len(self._found) > _KEPT:
                self._found.popitem(last=False)
        return found
