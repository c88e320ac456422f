"""Owns what OpenColorIO says: which config, colour space and view are meant, how much light a code is, how it looks.

A config is a file, or one that the library brings along (ocio://...).  Which one it was stays with everything that was
decided by it: its name, and a digest of its text, of the variables in it, and of the tables that the space needs.
Configs are opened once a process, and the library is imported when the first one is.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from restore.errors import SetupError

PREFIX = "OCIO:"
"""Of a colour space's name where others are possible, too."""
BUILT_IN = "ocio://"
USUAL_CONFIG = "ocio://studio-config-latest"
"""Where neither the caller nor $OCIO names one: it has the spaces of ACES and of the usual cameras."""
_LIGHT = "scene_linear"
_SCREEN_LIGHT = "lin_rec709_srgb"
"""What the library calls linear light with the primaries of sRGB; it finds its like in any config with ACES in it."""
_MOST = np.float32(65504)
"""Of a half: light beyond it is this, and nothing is infinite."""
_NEAREST = 6
_VARIABLE = re.compile(r"\$\{?(\w+)|%(\w+)%")


@dataclass(frozen=True)
class Space:
    """A colour space of a config."""

    name: str
    config: str = ""
    """A file's absolute path, or ocio://NAME; "": not settled yet."""
    sha256: str = ""
    """Of what the config says about it."""

    def __str__(self) -> str:
        return f"{PREFIX}{self.name}"


@dataclass(frozen=True)
class View:
    """How a config shows scenes on one of its displays."""

    config: str
    display: str
    name: str


def space_of(name: str, config: str | None = None) -> Space:
    """The space that `name` means: a colour space, an alias or a role; `config` as `--ocio-config` has it.

    Raises SetupError where the config, the space or the library isn't there, or the space holds no colours.
    """
    label = _label(config)
    opened = _config(label)
    canonical = str(opened.getCanonicalName(name))
    if not canonical:
        known = {
            alias: one.getName() for one in opened.getColorSpaces() for alias in (one.getName(), *one.getAliases())
        }
        raise SetupError(f"OCIO:{name}: {label} has no such colour space: {_nearest(name, known)}; {_see_all(label)}")
    if opened.getColorSpace(canonical).isData():
        raise SetupError(f"OCIO:{name}: {label} says that it holds data, not colours: name the space of the frames")
    return Space(canonical, label, _digest(label, canonical))


def settled(space: Space, config: str | None = None) -> Space:
    """`space` as a plan has it, with its config: the plan's own, or `config`, which must say the same.  SetupError."""
    found = space_of(space.name, config or space.config or None)
    if space.sha256 not in ("", found.sha256):
        raise SetupError(
            f"{space}: {found.config} is not what this was planned with ({space.config or 'another one'}, sha256"
            f" {space.sha256[:12]}...): name that config by --ocio-config, or give --input-colour to take this one"
        )
    return found


def view_of(name: str, config: str | None = None) -> View:
    """The view that `name` means, VIEW or DISPLAY/VIEW; the default display's, if it has it.  SetupError."""
    label = _label(config)
    found: dict[str, View] = {}
    for display, names in views(label).items():
        for one in names:
            view = View(label, display, one)
            found.setdefault(one.casefold(), view)
            found.setdefault(f"{display}/{one}".casefold(), view)
    if name.casefold() not in found:
        texts = (f"{view.display}/{view.name}" if "/" in name else view.name for view in found.values())
        known = {text: text for text in texts}
        raise SetupError(f"--view {name}: {label} has no such view: {_nearest(name, known)}; {_see_all(label)}")
    return found[name.casefold()]


def views(config: str | None = None) -> dict[str, list[str]]:
    """Display -> its views, the default display first.  SetupError."""
    opened = _config(_label(config))
    displays = sorted(opened.getDisplays(), key=lambda one: one != opened.getDefaultDisplay())
    return {display: list(opened.getViews(display)) for display in displays}


def spaces(config: str | None = None) -> dict[str, list[str]]:
    """Encoding ("log", "scene-linear", ...; "" where the config doesn't say) -> colour spaces.  SetupError."""
    found: dict[str, list[str]] = {}
    for space in _config(_label(config)).getColorSpaces():
        if not space.isData():
            found.setdefault(space.getEncoding(), []).append(space.getName())
    return found


def config_meant() -> str:
    """The config that is used where none is named: $OCIO, or one that the library brings along.  SetupError."""
    return _label(None)


def grey_light(space: Space, codes: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N,) -> (N,): the scene-linear light of greys with these values, finite; white is about 1.

    SetupError where the config isn't the one that `space` was settled with, or doesn't say what light is.
    """
    processor = _processor(space, "light")
    light = _applied(processor, np.repeat(codes[:, None], 3, axis=1)).mean(axis=1)
    return np.asarray(light, np.float32)


def screen_light(space: Space, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, W, 3) as stored -> the same as light with the primaries of sRGB, where the config knows them."""
    return _applied(_processor(space, "screen"), picture)


def viewed(view: View, picture: NDArray[np.float32], space: Space | None) -> NDArray[np.float32]:
    """(H, W, 3) as stored in `space`, or, where that is None, light with the primaries of sRGB, as `view` shows it."""
    return _applied(_view_processor(view, space), picture)


def _applied(processor: Any, picture: NDArray[np.float32]) -> NDArray[np.float32]:
    result = np.array(picture, np.float32, order="C")
    processor.applyRGB(result)
    np.nan_to_num(result, copy=False, nan=0.0)
    return np.clip(result, -_MOST, _MOST, out=result)


def _library() -> Any:
    try:
        import PyOpenColorIO
    except ImportError as error:
        raise SetupError(
            f'OpenColorIO is not installed ({error}): pip install "restore-sr[film]", or choose an --input-colour'
            " without OCIO:"
        ) from error
    PyOpenColorIO.SetLoggingLevel(PyOpenColorIO.LOGGING_LEVEL_NONE)  # it would write between the lines of reports
    return PyOpenColorIO


def _label(wish: str | None) -> str:
    """The config's own name.  SetupError when it can't be opened."""
    named = wish or os.environ.get("OCIO") or USUAL_CONFIG
    if not named.startswith(BUILT_IN):
        return str(Path(named).absolute())
    return BUILT_IN + str(_config(named).getName())  # ...-latest may be another one tomorrow


@lru_cache(maxsize=8)
def _config(label: str) -> Any:
    library = _library()
    try:
        return library.Config.CreateFromFile(label)
    except (library.Exception, library.ExceptionMissingFile) as error:
        there = ", ".join(BUILT_IN + one[0] for one in library.BuiltinConfigRegistry().getBuiltinConfigs())
        raise SetupError(
            f"{label}: OpenColorIO can't read this config: {' '.join(str(error).split())}; --ocio-config and $OCIO"
            f" take a file, or one of {there}"
        ) from error


def _digest(label: str, name: str) -> str:
    """Of all that decides what a space of a config means."""
    opened = _config(label)
    try:
        files = _made(opened, name).getProcessorMetadata().getFiles()
        if label.startswith(BUILT_IN):
            text = str(_library().BuiltinConfigRegistry()[label.removeprefix(BUILT_IN)]).encode()
        else:
            text = Path(label).read_bytes()
        # An archive (.ocioz) holds its tables itself.
        tables = sorted(hashlib.sha256(Path(one).read_bytes()).hexdigest() for one in files if Path(one).is_absolute())
    except OSError as error:
        raise SetupError(f"{error.filename}: {error.strerror}: the colour config needs it") from error
    context = opened.getCurrentContext()
    names = sorted({a or b for a, b in _VARIABLE.findall(opened.serialize())})
    values = [f"{one}={context.resolveStringVar('$' + one)}" for one in names]
    return hashlib.sha256(b"\0".join([text, *(one.encode() for one in (*values, *tables))])).hexdigest()


def _made(opened: Any, name: str) -> Any:
    """The way from a space to light.  SetupError."""
    if not opened.hasRole(_LIGHT):
        raise SetupError(f"OCIO:{name}: its config has no role {_LIGHT}, so nothing says what light is: add one")
    return _tried(name, lambda: opened.getProcessor(name, _LIGHT))


def _tried(name: str, make: Any) -> Any:
    try:
        return make()
    except (_library().Exception, _library().ExceptionMissingFile) as error:
        raise SetupError(f"{name}: OpenColorIO can't convert it: {' '.join(str(error).split())}") from error


@lru_cache(maxsize=8)
def _processor(space: Space, towards: str) -> Any:
    opened = _config(space.config)
    if _digest(space.config, space.name) != space.sha256:
        raise SetupError(f"{space}: {space.config} was changed since this was planned: run again to plan anew")
    if towards == "light":
        made = _made(opened, space.name)
    else:
        try:
            made = _library().Config.GetProcessorToBuiltinColorSpace(opened, space.name, _SCREEN_LIGHT)
        except _library().Exception:  # a config that nothing of ACES is known in
            made = _made(opened, space.name)
    return made.getOptimizedCPUProcessor(_library().OPTIMIZATION_LOSSLESS)


@lru_cache(maxsize=8)
def _view_processor(view: View, space: Space | None) -> Any:
    library, opened = _library(), _config(view.config)
    source = _LIGHT if space is None else space.name
    shown = library.DisplayViewTransform(src=source, display=view.display, view=view.name)
    steps = [_tried(f"--view {view.name}", lambda: opened.getProcessor(shown)).createGroupTransform()]
    if space is None:
        try:
            light = library.Config.GetProcessorFromBuiltinColorSpace(_SCREEN_LIGHT, opened, _LIGHT)
            steps.insert(0, light.createGroupTransform())
        except library.Exception:  # as in `_processor`: its primaries have to do
            pass
    return opened.getProcessor(library.GroupTransform(steps)).getDefaultCPUProcessor()


def _nearest(name: str, known: Mapping[str, str]) -> str:
    """A question with what is meant by the names that are most like `name`."""
    by_key = {text.casefold(): meant for text, meant in known.items()}
    key = name.casefold()
    near = [*get_close_matches(key, by_key, _NEAREST, 0.5), *(one for one in by_key if key and key in one)]
    if not near:
        return "no name is like it"
    return f"did you mean {' or '.join(list(dict.fromkeys(by_key[one] for one in near))[:_NEAREST])}?"


def _see_all(label: str) -> str:
    return f"all of them: OCIO={shlex.quote(label)} restore doctor"
