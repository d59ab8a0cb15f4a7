"""When polars or pandas are imported, before or after this package, their frames get `.emcc`; neither is imported here.

A package that is there already is served at once. For the others a finder stands in front of `sys.meta_path`: it lets
the other finders find the package, and has the loader call `attach` when the package has run. It is gone once there is
nothing left to wait for.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

Attach = Callable[[ModuleType], None]


def attach_when_imported(attach: dict[str, Attach]) -> None:
    """Call attach[name] with the package of each name, now if it is imported, or as soon as it is."""
    finder = _Finder(attach)
    sys.meta_path.insert(0, finder)  # before looking, so that another thread's import is not missed
    for name in attach:
        if sys.modules.get(name) is not None:
            finder.serve(import_module(name))  # waits for a thread that is in the midst of importing it


class _Finder(MetaPathFinder):
    def __init__(self, attach: dict[str, Attach]) -> None:
        self.waiting = dict(attach)
        self.lock = threading.RLock()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.waiting:
            return None
        for finder in list(sys.meta_path):
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(fullname, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, self)
                return spec
        return None

    def serve(self, module: ModuleType) -> None:
        with self.lock:
            attach = self.waiting.pop(module.__name__, None)
            if not self.waiting and self in sys.meta_path:
                sys.meta_path.remove(self)
            if attach is not None:
                attach(module)


class _Loader(Loader):
    """The package's own loader, and `serve` after it. The package never sees this one."""

    def __init__(self, loader: Any, finder: _Finder) -> None:
        self._loader, self._finder = loader, finder

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._finder.serve(module)

    def __getattr__(self, name: str) -> Any:  # what is asked of a loader without importing, such as is_package
        return getattr(self._loader, name)
