"""`evolve verify`: recompute every decision from the raw evidence."""

from __future__ import annotations
