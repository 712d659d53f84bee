"""What a site says of itself: status, history, and whether everything is as it was written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lmdeploy.bundle import read_bundle, sha256_file
from lmdeploy.errors import DataError, LmdeployError
from lmdeploy.site import audit
from lmdeploy.site.anchor import check_anchor
from lmdeploy.site.config import SiteConfig, read_config
from lmdeploy.site.curate import PROVENANCE
from lmdeploy.site.gate import MIN_IMAGES
from lmdeploy.site.journal import read_states, refresh_folder
from lmdeploy.site.registry import BUNDLES, bundle_folder, champion, champion_path, read_alias
from lmdeploy.site.steps import GATE
from lmdeploy.site.store import FrameStore


def status(site: Path) -> dict[str, Any]:
    """The site now: what serves, what is stored, how the last refresh stands. Changes nothing."""
    config, serving = read_config(site), champion(site)
    candidate, factory = read_alias(site, "candidate"), read_alias(site, "factory")
    with FrameStore(site) as store:
        kept, evicted, size = store.counts()
    states = read_states(site)
    return {
        "schema_version": 1,
        "champion": serving.digest,
        "serial": serving.serial,
        "previous": serving.before[0] if serving.before else None,
        "candidate": candidate.digest if candidate else None,
        "factory": factory.digest if factory else None,
        "path": str(champion_path(site)),
        "collecting": config.collecting,
        "frames": kept,
        "frames_evicted": evicted,
        "frames_mb": round(size / 1e6, 3),
        "quota_mb": config.quota_mb,
        "gate_images": len(config.split.gate),
        "proposes_only": len(config.split.gate) < MIN_IMAGES,
        "refresh": states[-1].model_dump(mode="json", exclude={"schema_version"}) if states else None,
    }


def history(site: Path) -> list[dict[str, Any]]:
    """Every event of the log after checking its chain, oldest first."""
    read_config(site)  # a folder that is no site has no history either
    return [record.model_dump(mode="json") for record in audit.read_log(site)]


def verify(site: Path) -> int:
    """Check log, bundles, anchor, frames and the records of every refresh; returns the number of logged events.

    Changes nothing. DataError names everything that is missing or altered.
    """
    config = read_config(site)
    checks = (_check_log, _check_bundles, _check_anchor, _check_frames, _check_lineage)
    problems = [problem for check in checks for problem in _told(check, site, config)]
    if problems:
        raise DataError(f"{site}: {len(problems)} things are not as they were written", problems)
    return len(audit.read_log(site))


def _told(check: Callable[[Path, SiteConfig], list[str]], site: Path, config: SiteConfig) -> list[str]:
    """A check's own list of problems; an error that it raises is one."""
    try:
        return check(site, config)
    except LmdeployError as error:
        return [str(error)]


def _check_log(site: Path, config: SiteConfig) -> list[str]:
    records = audit.read_log(site)
    first = records[0].data if records else {}
    told = [] if first.get("factory") == config.factory else ["the log does not begin with this site's factory bundle"]
    return told + ([] if first.get("anchor") == config.anchor_sha256 else ["the log begins with another anchor"])


def _check_bundles(site: Path, config: SiteConfig) -> list[str]:
    told = _told(lambda s, _: [str(champion_path(s))][1:], site, config)
    told += [] if bundle_folder(site, config.factory).is_dir() else ["the factory bundle is missing"]
    for folder in sorted(p for p in (site / BUNDLES).iterdir() if not p.name.startswith(".")):
        try:
            digest = read_bundle(folder).digest
        except LmdeployError as error:
            told.append(str(error))
        else:
            told += [] if digest.startswith(folder.name) else [f"{folder}: holds another bundle"]
    return told


def _check_anchor(site: Path, config: SiteConfig) -> list[str]:
    check_anchor(site, config)
    return []


def _check_frames(site: Path, config: SiteConfig) -> list[str]:
    with FrameStore(site) as store:
        return store.problems()


def _check_lineage(site: Path, config: SiteConfig) -> list[str]:
    """Every logged refresh still has the provenance and the gate errors that were logged with it."""
    states = {state.number: state for state in read_states(site)}
    told = []
    for record in audit.read_log(site):
        number = record.data.get("refresh")
        if number is not None and number not in states:
            told.append(f"refresh {number:03d} of the log has no state file")
            continue
        if record.event == "refresh prepared":
            told += _differs(refresh_folder(site, int(str(number))) / PROVENANCE, record.data["provenance"])
        if record.event == "refresh gated" and states[int(str(number))].champion == record.data["champion"]:
            told += _differs(refresh_folder(site, int(str(number))) / GATE, record.data["gate_json"])
    return told


def _differs(path: Path, sha256: str) -> list[str]:
    if not path.is_file():
        return [f"{path}: missing"]
    return [] if sha256_file(path) == sha256 else [f"{path}: altered"]
