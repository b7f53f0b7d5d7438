"""Measuring translations: what a system writes, where it stops, how good that is, and whether it is better.

Nothing heavy is imported before it is used.
"""

from __future__ import annotations
