"""Helpers that the tests share: peers, clocks, frames and recordings."""
