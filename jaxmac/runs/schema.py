"""The schema of config.json. Whatever opens a run reads it by `config_from`, once; nothing missing gets a default.

The rows of metrics.csv are checked in `table.py`, and the settings against their ranges in `members.py`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from jaxmac.errors import RunDirectoryError, nearest
from jaxmac.runs.exact import json_value

FORMAT = 7  # version of the format of run directories


def _distinct(values: list[Any]) -> list[Any]:
    if len(set(values)) < len(values):
        raise ValueError("has a value twice")
    return values


def _setting(value: Any) -> Any:
    if not isinstance(value, bool | int | float | str):
        raise ValueError("must be a number, a text, true or false")
    return json_value("it", value)


Word = Annotated[str, Field(min_length=1)]
Diagnostics = Annotated[list[Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]], AfterValidator(_distinct)]
Count = Annotated[int, Field(ge=1, lt=2**31)]
Size = Annotated[int, Field(ge=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
Setting = Annotated[Any, AfterValidator(_setting)]
Option = Annotated[Any, AfterValidator(lambda value: json_value("it", value))]
SweptValues = Annotated[list[Setting], Field(min_length=1), AfterValidator(_distinct)]


class _Strict(BaseModel):
    """A JSON object with these fields and no others, whose values are not converted."""

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)


class EnvironmentSizes(_Strict):
    """The sizes of the environment that shape a learner."""

    num_actions: Annotated[list[Count], Field(min_length=1)]
    obs_sizes: Annotated[list[Size], Field(min_length=1)]
    state_size: Size


KeyType = Literal["threefry2x32", "threefry4x32", "rbg", "unsafe_rbg", "philox2x32", "philox4x32"]  # JAX's


class Versions(_Strict):
    """Versions of Python and of the packages that determine the numbers of a run; later versions may add some."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, str]

    python: str
    jaxmac: str
    jax: str
    jaxlib: str
    flax: str
    optax: str
    flashbax: str
    numpy: str


class RunConfig(_Strict):
    """config.json of a run of formats 2 to 6, which differ in checkpoints and settings (jaxmac.runs.formats)."""

    format: Literal[2, 3, 4, 5, 6]
    status: Literal["running", "finished", "interrupted", "failed", "non-finite loss"]
    algorithm: Word
    env: Word
    env_options: dict[str, Option]
    env_rebuildable: bool
    env_sizes: EnvironmentSizes
    preset: Word
    seeds: Annotated[list[Seed], Field(min_length=1), AfterValidator(_distinct)]
    episodes: Count
    sweep: dict[str, SweptValues]
    hyperparameters: dict[str, Setting]
    settings: dict[str, Setting]
    plugins: list[Word]
    optimal_return: float | None
    checkpoint_every: Count
    checkpoint_replay: bool
    diagnostics: Diagnostics = []  # runs before format 7 have none
    log: list[Word]
    log_id: Word | None
    versions: Versions
    backend: Word
    key_type: KeyType = "threefry2x32"  # runs of jaxmac 0.1.0 do not say
    finished: str = ""  # only once the run has ended
    identity: str = ""  # a digest of what decides the run's numbers, which its checkpoints have, too
    env_digest: str = ""  # of the attributes of an environment instance
    env_settings: dict[str, Option] = {}  # all options that the environment was built with; checked where they are


class CurrentRunConfig(RunConfig):
    """config.json of a run of format 7."""

    format: Literal[7]  # type: ignore[assignment]
    diagnostics: Diagnostics  # columns of metrics.csv


class FirstRunConfig(RunConfig):
    """config.json of a run of format 1, which jaxmac 0.1.0 wrote; one that was resumed since has `plugins`."""

    format: Literal[1]  # type: ignore[assignment]
    plugins: list[Word] = []


MODELS: dict[int, type[RunConfig]] = {1: FirstRunConfig} | dict.fromkeys(range(2, FORMAT), RunConfig)
MODELS[FORMAT] = CurrentRunConfig


def config_from(file: Path) -> dict[str, Any]:
    """The content of a config.json.

    Raises RunDirectoryError, in one line that names the file and the field, if it is missing or not a file, is not
    JSON with the fields of `RunConfig`, or has a format that is newer than this jaxmac.
    """
    config = _json_object(file)
    number = _format_of(file, config)
    try:
        MODELS[number].model_validate(config)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        more = f" (and {len(found) - 1} more such faults)" if len(found) > 1 else ""
        raise RunDirectoryError(f"{file} is damaged: {_fault(found[0])}{more}") from None
    if config["status"] != "running" and "finished" not in config:
        raise RunDirectoryError(f"{file} is damaged: it lacks the field finished, though the run has ended")
    if bool(config["log"]) != (config["log_id"] is not None):
        raise RunDirectoryError(f"{file} is damaged: log and log_id belong together, and one of them is missing")
    return config


def format_from(file: Path) -> int:
    """The format of the run of a config.json; RunDirectoryError as `config_from`. Its other fields are not read."""
    return _format_of(file, _json_object(file))


def identity_from(file: Path) -> str:
    """The identity of the run of a config.json, empty in one of an earlier version; errors as `config_from`."""
    return str(_json_object(file).get("identity", ""))


def _format_of(file: Path, config: dict[str, Any]) -> int:
    if "format" not in config:
        raise RunDirectoryError(f"{file} is damaged: it lacks the field format")
    number = config["format"]
    if type(number) is not int or number < min(MODELS):
        known = ", ".join(map(str, MODELS))
        raise RunDirectoryError(f"{file} is damaged: format is {_shown(number)}, but must be one of {known}")
    if number > FORMAT:
        raise RunDirectoryError(f"{file} has format {number}, this jaxmac reads up to {FORMAT}: upgrade it")
    return number


def _json_object(file: Path) -> dict[str, Any]:
    """The object in a file of JSON; RunDirectoryError if there is none."""
    try:
        content = file.read_bytes().decode()
        config = json.loads(content, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except FileNotFoundError:
        raise RunDirectoryError(f"{file.parent} is not a run directory: it has no config.json") from None
    except NotADirectoryError:
        raise RunDirectoryError(f"{file.parent} is a file, not a run directory") from None
    except UnicodeDecodeError as error:
        raise RunDirectoryError(f"{file} is damaged: it is not UTF-8 text (byte {error.start})") from None
    except RecursionError:
        raise RunDirectoryError(f"{file} is damaged: it is nested too deeply") from None
    except OSError as error:
        raise RunDirectoryError(f"{file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise RunDirectoryError(f"{file} is damaged: {error}") from None
    if not isinstance(config, dict):
        raise RunDirectoryError(f"{file} is damaged: it holds {_shown(config)}, but must hold an object")
    return config


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"it has {name} twice")
        found[name] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")


def _fault(error: Any) -> str:
    """One fault that the schema has found, in words."""
    place = ""
    for step in error["loc"]:
        place += f"[{step}]" if isinstance(step, int) else f".{step}" if place else step
    if error["type"] == "missing":
        return f"it lacks the field {place}"
    if error["type"] == "extra_forbidden":
        return f"it has the unknown field {place}; {nearest(place, CurrentRunConfig.model_fields)}"
    problem = error["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    joined = problem if problem.startswith("has ") else f"but {problem[0].lower()}{problem[1:]}"
    return f"{place} is {_shown(error['input'])}, {joined}".replace(", has a", " and has a")


def _shown(value: Any) -> str:
    """A value of JSON as one line of at most 60 characters."""
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."
