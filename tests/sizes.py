"""How many examples the larger random tests draw: a quarter by default, all of them with the profile `thorough`."""

from __future__ import annotations

from hypothesis import settings

DEFAULT, THOROUGH = 25, 100
"""Examples of a test that does not say how many."""


def examples(thorough: int) -> settings:
    """So many with --hypothesis-profile=thorough, and in proportion with others."""
    return settings(max_examples=max(1, thorough * settings.default.max_examples // THOROUGH), deadline=None)
