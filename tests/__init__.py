"""Tests, in folders that mirror the packages; `tests.support` holds what several of them share."""
