"""Which bundle serves: verified bundles by digest, and aliases that are switched in one step.

    bundles/<first 16 of the digest>/   complete bundles, never changed once they are there
    aliases/champion.json               what serves, and the stack of what served before
    aliases/factory.json                what the site was made with; every refresh starts from it
    aliases/candidate.json              the newest refreshed model, promoted or not

The stack `before` lies in the champion's own file, so that one rename moves both: `previous` is its first entry.
There are no symbolic links; a reader that opened the old bundle goes on using it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmdeploy.bundle import MANIFEST, Bundle, read_bundle, sha256_file
from lmdeploy.errors import BundleError, GateRefusedError, InputError
from lmdeploy.site import audit
from lmdeploy.site.durable import publish_folder, read_json, remove_folder, replace_json, sweep
from lmdeploy.site.lock import writer

KEEP = 5  # bundles kept for rollback beside the champion and the factory one
BUNDLES, ALIASES = "bundles", "aliases"
Name = Literal["champion", "candidate", "factory"]
T = TypeVar("T")


class Alias(BaseModel):
    """One alias file. serial counts the switches of this alias; rejected: digests a person rolled back from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = Field(default=1, le=1)
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    serial: int = 0
    event: Literal["init", "promote", "rollback", "propose"] = "init"
    origin: str = ""
    before: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()


def bundle_folder(site: Path, digest: str) -> Path:
    """Where the bundle of that digest lies, whether it is there or not."""
    return site / BUNDLES / digest[:16]


def add_bundle(site: Path, source: Path) -> Bundle:
    """Copy a bundle into the site, all of it or nothing; one that is already there and whole is left alone.

    Raises BundleError when the source does not verify.
    """
    bundle = read_bundle(source)
    target = bundle_folder(site, bundle.digest)
    with writer(site, "registry"):
        if target.exists():
            try:
                return read_bundle(target)
            except BundleError:
                remove_folder(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        sweep(target.parent)
        draft = target.with_name(f".{target.name}.part")
        draft.mkdir()
        for name in (MANIFEST, *bundle.manifest.files):
            shutil.copyfile(bundle.path / name, draft / name)
        publish_folder(draft, target)
        return read_bundle(target)


def read_alias(site: Path, name: Name) -> Alias | None:
    """The alias, None when it was never set; InputError when its file is damaged."""
    path = site / ALIASES / f"{name}.json"
    if not path.exists():
        return None
    try:
        return Alias.model_validate(read_json(path, "restore it from a copy"))
    except ValidationError as error:
        raise InputError(f"{path}: {error.errors()[0]['msg']}; restore it from a copy, or update lmdeploy") from error


def set_alias(site: Path, name: Name, alias: Alias) -> None:
    """Switch an alias in one atomic step, flushed to the disk; to be called under the registry lock."""
    (site / ALIASES).mkdir(exist_ok=True)
    sweep(site / ALIASES)
    replace_json(site / ALIASES / f"{name}.json", alias.model_dump(mode="json"))


def propose(site: Path, digest: str, origin: str) -> None:
    """Name a bundle of the site as the newest candidate; what serves does not change."""
    with writer(site, "registry"):
        now = read_alias(site, "candidate")
        if now is None or now.digest != digest:
            serial = now.serial + 1 if now else 0
            set_alias(site, "candidate", Alias(digest=digest, serial=serial, event="propose", origin=origin))


def champion(site: Path) -> Alias:
    """What serves now; InputError when the folder is no site."""
    alias = read_alias(site, "champion")
    if alias is None:
        raise InputError(f"{site}: no champion, so this is not a site; make one with 'lmdeploy site init'")
    return alias


def champion_path(site: Path) -> Path:
    """Folder of the bundle that serves now; opening it (`read_bundle`) verifies every file of it."""
    alias = champion(site)
    path = bundle_folder(site, alias.digest)
    try:
        whole = sha256_file(path / MANIFEST) == alias.digest
    except OSError:
        whole = False
    if not whole:
        raise BundleError(f"{path}: the champion's bundle is missing or altered; run 'lmdeploy site rollback {site}'")
    return path


def with_champion(site: Path, use: Callable[[Path], T]) -> T:
    """What `use` makes of the champion's folder; asked again when the champion was switched meanwhile.

    A bundle is kept for KEEP switches after it served, but a reader that is slower than these finds it gone.
    """
    while True:
        serial = champion(site).serial
        try:
            return use(champion_path(site))
        except BundleError:
            if champion(site).serial == serial:
                raise


def promote(site: Path, digest: str, *, expected: str, origin: str) -> Alias:
    """Make a bundle of the site the champion, verified first; a second call changes nothing.

    Args:
        site: the site's folder.
        digest: the new champion; its bundle was added before.
        expected: the champion that the gate compared with; another one serving by now is a refusal.
        origin: what led to this, for the history, e.g. `refresh-003`.
    """
    with writer(site, "registry"):
        now = _audited(site)
        if now.digest == digest:
            return now
        if now.digest != expected:
            raise GateRefusedError("the champion changed after the gate compared with it: call the refresh again")
        if digest in now.rejected:
            raise GateRefusedError("a person rolled back from exactly this model: it is not promoted again")
        read_bundle(bundle_folder(site, digest))
        before = (now.digest, *now.before)[:KEEP]
        change = {"digest": digest, "serial": now.serial + 1, "event": "promote", "origin": origin, "before": before}
        set_alias(site, "champion", now.model_copy(update=change))
        _prune(site)
        return _audited(site)


def rollback(site: Path) -> Alias:
    """Serve the newest earlier bundle that still verifies; needs neither network nor training.

    The model rolled back from is remembered and not promoted again. InputError when there is nothing to go back to.
    """
    with writer(site, "registry"):
        now = _audited(site)
        factory = read_alias(site, "factory")
        stack = [*now.before, *([factory.digest] if factory else [])]
        for position, digest in enumerate(stack):
            if digest == now.digest or not _verifies(site, digest):
                continue
            change = {
                "digest": digest,
                "serial": now.serial + 1,
                "event": "rollback",
                "origin": now.digest[:16],
                "before": now.before[position + 1 :],
                "rejected": (*now.rejected, now.digest)[-50:],
            }
            set_alias(site, "champion", now.model_copy(update=change))
            return _audited(site)
    raise InputError(f"{site}: there is no earlier bundle to go back to; {now.digest[:16]} keeps serving")


def _audited(site: Path) -> Alias:
    """The champion, after making sure that the log holds its last switch (a kill may have come between)."""
    alias = champion(site)
    data = {"digest": alias.digest, "serial": alias.serial, "origin": alias.origin}
    audit.append(site, alias.event, data, key=f"champion-{alias.serial}")
    return alias


def _verifies(site: Path, digest: str) -> bool:
    try:
        return read_bundle(bundle_folder(site, digest)).digest == digest
    except BundleError:
        return False


def _prune(site: Path) -> None:
    """Remove bundles that no alias and no entry of the stack names."""
    aliases = [read_alias(site, name) for name in ("champion", "candidate", "factory")]
    named = {d[:16] for alias in aliases if alias for d in (alias.digest, *alias.before)}
    for folder in (site / BUNDLES).iterdir():
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in named:
            remove_folder(folder)
