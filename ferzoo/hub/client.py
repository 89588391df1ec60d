"""Talking with a Hub: waiting where it asks to, and its refusals in one line that says what to do."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import CheckpointError, FerzooError, first_line
from ..weights.repository import split_name

__all__ = ["patiently", "refusals", "repository"]

_logger = logging.getLogger(__name__)
_HINTS = {
    401: "The token is missing or wrong: set HF_TOKEN to one with the right to write",
    403: "The token may not write to {repo}: use one that may",
    404: "There is no such repository or branch, or the token may not see it: set HF_TOKEN to one that may",
    409: "It was changed meanwhile: push again",
    412: "It was changed meanwhile: push again",
    429: "It asks for fewer requests: wait, and push again",
}


def repository(name: str) -> str:
    """Check the name of a repository to push to.

    Args:
        name: ``"org/repo"``, without prefix and revision.

    Returns:
        The name.

    Raises:
        CheckpointError: If it is none.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        repo, revision = split_name(name)
        validate_repo_id(repo)
        if "/" not in repo or revision or ":" in name:
            raise ValueError("it needs an organisation or user, and neither prefix nor revision")
    except (HFValidationError, ValueError, FerzooError) as error:
        raise CheckpointError(f"{name!r} is no repository to push to: write ORG/REPO ({error}).") from error
    return repo


def patiently(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the Hub, and again where it asks to wait: its client tries downloads again, and these calls not."""
    from huggingface_hub.errors import HfHubHTTPError

    for wait in (2.0, 8.0, 30.0, None):
        try:
            return call(*args, **kwargs)
        except HfHubHTTPError as error:
            response = getattr(error, "response", None)
            if getattr(response, "status_code", None) != 429 or wait is None:
                raise
            asked = str(response.headers.get("Retry-After", "")) if response is not None else ""
            seconds = min(float(asked), 300.0) if asked.isdigit() else wait
            _logger.warning("The Hub asks for fewer requests: trying again in %.0f s.", seconds)
            time.sleep(seconds)
    raise AssertionError("the last try returns or raises")


@contextmanager
def refusals(repo_id: str) -> Iterator[None]:
    """Turn the errors of the Hub's client into one line that says what to do.

    Args:
        repo_id: Repository that the calls inside are about.

    Raises:
        CheckpointError: In the place of whatever the client raises.
    """
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise CheckpointError("There is no token: set HF_TOKEN, or log in with `hf auth login`.") from error
    except OfflineModeIsEnabled as error:
        raise CheckpointError("HF_HUB_OFFLINE is set: nothing can be pushed.") from error
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        hint = _HINTS.get(status or 0, "Push again later").format(repo=repo_id)
        first = first_line(error).rstrip(".: ")
        raise CheckpointError(f"{constants.ENDPOINT} refused the push to {repo_id}: {first}. {hint}.") from error
    except FerzooError:
        raise
    except Exception as error:  # the client lets through those of whichever library carries its requests
        cause = error.__cause__ or error
        raise CheckpointError(
            f"The push to {repo_id} failed: {str(cause) or type(cause).__name__}. See {constants.ENDPOINT}/{repo_id} "
            "for what is there; pushing again is safe."
        ) from error
