"""KDEF (Lundqvist et al. 1998): person, expression and head angle are read from the file names."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..labels import KDEF
from .dataset import Dataset, Found, Query, first_few, warn
from .layouts import SUFFIXES
from .lazy_images import ImageFiles

__all__ = ["COUNTS", "KDEF_DATASET"]

#: 2 sessions of 35 women and 35 men, 7 expressions, 5 angles; the splits by the person's number.
COUNTS = {"all": 4900, "train": 3500, "validation": 700, "test": 700}
PERSONS = {"all": range(1, 36), "train": range(1, 26), "validation": range(26, 31), "test": range(31, 36)}
EXPRESSIONS = {"AF": "afraid", "AN": "angry", "DI": "disgusted", "HA": "happy", "NE": "neutral", "SA": "sad"}
EXPRESSIONS["SU"] = "surprised"
#: Yaw in degrees: full and half left profile, straight, half and full right profile.
ANGLES = {"FL": -90.0, "HL": -45.0, "S": 0.0, "HR": 45.0, "FR": 90.0}
NAME = re.compile(r"(?P<session>[AB])(?P<sex>[FM])(?P<person>\d\d)(?P<code>[A-Z]*)", re.I)
CODES = tuple(expression + angle for expression in EXPRESSIONS for angle in ANGLES)


def _files(folder: Path) -> tuple[dict[tuple[str, str], str], list[str]]:
    """Files by subject (session, sex, person: ``"AF01"``) and code (``"ANFL"``), and the images of other names.

    A file without a whole code takes the one code that its subject lacks: the original has two such names.
    """
    named: dict[tuple[str, str], str] = {}
    partial: dict[str, list[str]] = defaultdict(list)
    others: list[str] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "__MACOSX")))
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)
            if name.startswith(".") or suffix.lower() not in SUFFIXES:
                continue
            path, match = os.path.join(place, name), NAME.fullmatch(stem)
            if match is None or not 1 <= int(match["person"]) <= 35:
                others.append(path)
                continue
            subject, code = stem[:4].upper(), match["code"].upper()
            if code not in CODES:
                partial[subject].append(path)
            elif (subject, code) in named:
                raise DataError(f"{named[subject, code]} and {path} have the same name: keep one of them.")
            else:
                named[subject, code] = path
    for subject, paths in partial.items():
        lacking = [code for code in CODES if (subject, code) not in named]
        if len(paths) == 1 and len(lacking) == 1:
            named[subject, lacking[0]] = paths[0]
            warn(f"{paths[0]} is taken for {subject}{lacking[0]}, the only image that is missing of {subject}.")
        else:
            others += paths
    return named, others


def read(query: Query) -> Found:
    """Read a split of KDEF; images may lie in folders of any depth."""
    named, others = _files(query.folder)
    if not named:
        query.not_found(f"no file is named like AF01ANFL.JPG; other images: {first_few(others) or 'none'}")
    if others:
        warn(f"{len(others)} images below {query.folder} are not named like AF01ANFL.JPG: {first_few(others)}.")
    rows = [(s, c) for s, c in sorted(named) if int(s[2:]) in PERSONS[query.split]]
    return Found(
        images=ImageFiles([named[row] for row in rows]),
        labels=np.array([KDEF.index(EXPRESSIONS[code[:2]]) for _, code in rows], dtype=np.int64),
        where=query.folder,
        angles=np.array([ANGLES[code[2:]] for _, code in rows], dtype=np.float32),
        # The person, in either session: women 0 to 34, men 35 to 69.
        groups=np.array([35 * (s[1] == "M") + int(s[2:]) - 1 for s, _ in rows], dtype=np.int64),
    )


KDEF_DATASET = Dataset(
    name="kdef",
    title="KDEF",
    summary="70 actors in a studio, 562x762 colour, 7 expressions from 5 angles, two sessions.",
    labels=KDEF,
    counts=COUNTS,
    layouts={
        "images named like AF01ANFL.JPG, in folders of any depth": (
            "FOLDER/\n  AF01/\n    AF01AFFL.JPG ...\n  AF02/ ...            or all images directly in FOLDER"
        )
    },
    obtain="Ask for it at the web site of Karolinska Institutet's KDEF and AKDEF.",
    citation=(
        "D. Lundqvist, A. Flykt, A. Öhman: The Karolinska Directed Emotional Faces (KDEF). Department of Clinical "
        "Neuroscience, Psychology section, Karolinska Institutet, 1998"
    ),
    terms="Non-commercial research; the authors' conditions restrict which images may be printed.",
    read=read,
    notes=(
        "A name gives session (A, B), sex (F, M), person (01 to 35), expression (AF, AN, DI, HA, NE, SA, SU) and "
        "angle: FL, HL, S, HR, FR are -90, -45, 0, 45, 90 degrees. KDEF has no official split: `all` is everything, "
        "and train, validation and test are the persons 01 to 25, 26 to 30 and 31 to 35 of each sex, so that nobody is "
        "in two of them. Cross-validation keeps the images of a person in one fold. Images of other names, as "
        "the averaged faces of AKDEF, are left out with a warning."
    ),
)
