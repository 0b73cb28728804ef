"""Errors, states, clocks, retry and rate limits, threads and forks, log helpers."""
