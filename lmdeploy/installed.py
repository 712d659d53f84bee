"""Versions of installed packages."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version


def installed(name: str) -> str | None:
    """Version of an installed package, None when it is not."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def installed_versions(packages: Iterable[str]) -> dict[str, str]:
    """Versions of those packages that are installed, in the order given."""
    return {name: found for name in packages if (found := installed(name)) is not None}
